"""The mutants: what is planted, that every module is looked at, and that the list of survivors is true."""

import ast

import pytest

from tests.mutants import plan
from tests.mutants.plan import ROOT, Module
from tests.mutants.planting import mutants_of
from tests.mutants.survivors import PAGE, Known, known

KNOWN = known(PAGE.read_text(encoding="utf-8"))


def changed(source: str) -> set[str]:
    """What each mutant makes of a piece of code, as text."""
    found = set()
    for mutant in mutants_of(source):
        with mutant.planted() as tree:
            found.add(ast.unparse(tree))
    return found


@pytest.mark.parametrize(
    ("code", "mutants"),
    [
        ("x = a < b", {"x = a <= b"}),
        ("x = a is None", {"x = a is not None"}),
        ("x = a and b", {"x = a or b", "x = a", "x = b"}),
        ("x = not a", {"x = a"}),
        ("x = a + b", {"x = a - b"}),
        ("x = 1", {"x = 2", "x = 0"}),
        ("x = True", {"x = False"}),
        ("x = 'word'", {"x = 'wordx'"}),
        ("x = f(a, b=c)", {"x = f(a)"}),
        ("x = min(a)", {"x = max(a)"}),
        ("x = [a, b]", {"x = [a]", "x = [b]"}),
        ("x = {a: b, c: d}", {"x = {a: b}", "x = {c: d}"}),
        ("x = a if b else c", {"x = a if True else c", "x = a if False else c"}),
        ("x = [a for a in b if c]", {"x = [a for a in b if True]", "x = [a for a in b if False]"}),
        ("f(a)", {"pass"}),
        ("raise E", {"pass"}),
        ("x.y = a", {"pass"}),
        ("x += a", {"pass", "x -= a"}),
    ],
)
def test_a_piece_of_code_has_these_mutants(code: str, mutants: set[str]) -> None:
    assert changed(code) == mutants


def test_a_condition_is_taken_for_always_so_and_for_never_so() -> None:
    assert changed("if a == b:\n    g()") == {
        "if True:\n    g()",
        "if False:\n    g()",
        "if a == b:\n    pass",
    }


def test_what_a_function_gives_back_is_left_out() -> None:
    assert changed("def f():\n    return g") == {"def f():\n    return None"}
    assert changed("def f():\n    yield g") == {"def f():\n    yield from ()"}


def test_each_exception_that_is_caught_is_let_through() -> None:
    code = "try:\n    x = a\nexcept (A, B):\n    x = b"
    assert {
        f"except {name}:" in text or f"except ({name},):" in text for text in changed(code) for name in "AB"
    }
    assert len(changed(code)) == 4


def test_each_case_of_a_match_is_left_out() -> None:
    code = "match a:\n    case 'b':\n        x = c\n    case _:\n        x = d"
    assert "match a:\n    case _:\n        x = d" in changed(code)


@pytest.mark.parametrize(
    "code",
    [
        "'''A docstring.'''",
        "x = 'text for people'",
        "x = f'text {a + b} for people'",
        "import a",
        "assert a < b",
        "x: Literal['a'] = a",
        "Kind = Literal['a', 'b']",
        "raise AssertionError('never')",
        "x = f(a, hint='ctisync')",
        "x = g",
    ],
)
def test_text_for_people_and_what_no_promise_rests_on_stay_as_they_are(code: str) -> None:
    assert changed(code) == set()


def test_two_mutants_of_one_line_have_different_names() -> None:
    for name in plan.TESTS:
        names = [mutant.name for mutant in mutants_of(Module(name).source)]
        assert len(set(names)) == len(names)


def test_no_module_of_the_core_or_of_the_pass_is_forgotten() -> None:
    assert plan.unplanned() == set()


def test_the_tests_that_are_planned_exist() -> None:
    paths = {path for stages in plan.TESTS.values() for stage in stages for path in stage}
    assert [path for path in paths if not (ROOT / path.partition("::")[0]).exists()] == []
    for path, _, name in (path.partition("::") for path in paths if "::" in path):
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("module", sorted({each.module for each in KNOWN}))
def test_a_mutant_that_is_known_to_live_still_can_be_planted(module: str) -> None:
    """Otherwise the code has moved on: run `make mutants` for this module and look at what it says."""
    names = {mutant.name for mutant in mutants_of(Module(module).source)}
    assert [each.name for each in KNOWN if each.module == module and each.name not in names] == []


def test_each_mutant_that_is_known_to_live_has_a_reason() -> None:
    assert [each for each in KNOWN if len(each.why.split()) < 4] == []
    assert len(set(KNOWN)) == len(KNOWN)


def test_a_reason_holds_for_the_mutants_that_follow_it() -> None:
    page = (
        "# Title\n\nWords.\n\n## core/a\n\nOne reason,\nin two lines.\n- `f`, `x = 1`, `1 → 2`\n"
        "- `f`, `x = 1`, `1 → 0` (2)\n\nAnother.\n- `g`, `y`, `left out`\n"
    )
    assert known(page) == [
        Known("core/a", "`f`, `x = 1`, `1 → 2`", "One reason, in two lines."),
        Known("core/a", "`f`, `x = 1`, `1 → 0` (2)", "One reason, in two lines."),
        Known("core/a", "`g`, `y`, `left out`", "Another."),
    ]
