"""The mutants: what is planted, that every module is looked at, and that the list of survivors is true."""

import ast
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.mutants import __main__ as program
from tests.mutants import plan
from tests.mutants.plan import ROOT
from tests.mutants.planting import mutants_of
from tests.mutants.survivors import PAGE, Survivor, survivors

SURVIVORS = survivors(PAGE.read_text(encoding="utf-8"))
A_RULE, A_STEP, AN_AUDIT = plan.WHOLE


def changed(source: str) -> set[str]:
    """What each mutant makes of a piece of code, as text."""
    asts = set()
    for mutant in mutants_of(source):
        with mutant.planted() as tree:
            asts.add(ast.unparse(tree))
    return asts


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


def test_a_condition_becomes_always_true_and_never_true() -> None:
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
    for module in plan.modules():
        names = [mutant.name for mutant in mutants_of(module.source.text)]
        assert len(set(names)) == len(names)


def test_code_of_a_module_is_named_by_what_it_gives_a_name_to() -> None:
    code = "LIMIT = f(a=1)\nif x:\n  LOW: int = 2\n  class C:\n    y = 3\n    def f(self): g()\nh(4)\n"
    names = {mutant.name.partition(",")[0] for mutant in mutants_of(code)}
    assert names == {"`LIMIT`", "`LOW`", "`C`", "`C.f`", "`module`"}


def test_the_result_of_a_mutant_is_kept_when_only_imports_change() -> None:
    code = "from a.b import c\nx = 1\ndef f():\n    from d import e\n    return e(2)\n"
    texts = [mutant.function_text for mutant in mutants_of(code)]
    moved = code.replace("from a.b import", "from a.h.b import").replace("from d import", "from g import")
    assert [mutant.function_text for mutant in mutants_of(moved)] == texts
    changed = [mutant.function_text for mutant in mutants_of(moved.replace("e(2)", "e(3)"))]
    assert not set(changed) & set(texts)


def test_no_module_of_the_core_or_of_the_pass_is_forgotten() -> None:
    assert plan.unplanned() == set()


def test_modules_that_moved_are_in_the_plan_and_new_ones_are_missed(tree: Path) -> None:
    core, sync = tree / "core", tree / "sync"
    (core / "rules").mkdir()
    (core / f"of_{A_RULE}.py").rename(core / "rules" / "steps.py")
    (core / "new.py").touch()
    (core / "rules" / "new.py").touch()
    (core / "rules" / "__init__.py").touch()
    (tree / "stores" / "new.py").touch()
    (sync / f"of_{A_STEP}.py").rename(sync / "__init__.py")
    sync.rename(tree / "one_pass")
    (tree / "one_pass/new.py").touch()
    modules = {module.anchor: module for module in plan.modules(root=tree.parents[1])}
    assert modules.keys() == plan.TESTS.keys()
    assert modules[A_RULE].name == "core/rules/steps"
    assert modules[A_STEP].name == "one_pass"
    assert [each.anchor for each in plan.modules(["core/rules", A_STEP], tree.parents[1])] == [
        A_RULE,
        A_STEP,
    ]
    missed = {"ctisync.core.new", "ctisync.core.rules.new", "ctisync.one_pass.new"}
    assert plan.unplanned(tree.parents[1]) == missed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["core/fodl"], "no module has a name that begins with 'core/fodl'; near: core/fold"),
        (["core/fold", "LeaseHodler"], "begins with 'LeaseHodler'; near: LeaseHolder"),
        (["xyz"], "no module has a name that begins with 'xyz'; there are: core/pass_report, PassReport, "),
    ],
)
def test_a_name_that_no_module_has_is_an_error_instead_of_a_run_without_mutants(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "prepare", lambda: pytest.fail("a run began"))
    with pytest.raises(SystemExit) as ended:
        program.main(words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        (f"core/of_{A_RULE}.py", "", f"knows a module by its `{A_RULE}`, but no module defines that"),
        (f"core/of_{A_RULE}.py", f"from a import {A_RULE}", f"its `{A_RULE}`, but no module defines that"),
        (
            "new.py",
            f"def {A_RULE}(): ...",
            rf"`{A_RULE}`, but ctisync\.core\.\w+ and ctisync\.new define that",
        ),
        ("new.py", f"from a import {A_RULE}", None),
        ("new.py", f"class C:\n    def {A_RULE}(): ...", None),
        (
            f"core/of_{A_RULE}.py",
            f"class {A_RULE}: ...\nclass {A_STEP}: ...",
            f"`{A_STEP}`, but ctisync.core.of_{A_RULE} and ctisync.sync.of_{A_STEP} define that",
        ),
    ],
)
def test_a_name_must_belong_to_one_module(tree: Path, path: str, code: str, message: str | None) -> None:
    (tree / path).write_text(code)
    with pytest.raises(plan.Unplanned, match=message) if message else nullcontext():
        plan.modules(root=tree.parents[1])


def test_a_module_that_the_plan_has_twice_is_refused(tree: Path) -> None:
    (tree / f"core/of_{A_RULE}.py").write_text(f"class {A_RULE}: ...\nclass {A_STEP}: ...")
    (tree / f"sync/of_{A_STEP}.py").unlink()
    with pytest.raises(plan.Unplanned, match=f"of_{A_RULE} twice, by its `{A_RULE}` and `{A_STEP}`"):
        plan.modules(root=tree.parents[1])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A module for each name of the plan."""
    package = tmp_path / "src" / "ctisync"
    for name in plan.TESTS:
        room = package / {A_RULE: "core", A_STEP: "sync", AN_AUDIT: "verify"}.get(name, "stores")
        room.mkdir(parents=True, exist_ok=True)
        (room / f"of_{name}.py").write_text(f"class {name}: ...\n")
    return package


def test_the_tests_that_are_planned_exist() -> None:
    paths = {path for stages in plan.TESTS.values() for stage in stages for path in stage}
    assert [path for path in paths if not (ROOT / path.partition("::")[0]).exists()] == []
    for path, _, name in (path.partition("::") for path in paths if "::" in path):
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")
    assert plan.TESTS.keys() >= plan.WITH_A_SERVER


def test_a_listed_survivor_can_still_be_planted_in_one_module() -> None:
    """Otherwise the code has moved on: run `make mutants` for its module and look at what it says."""
    if misfitting := misfits(SURVIVORS, {each.source.module: each.source.text for each in plan.modules()}):
        pytest.fail("\n".join(["survivors.md lists what does not fit:", *misfitting]), pytrace=False)


def test_a_listed_survivor_that_fits_nowhere_or_in_two_modules_is_named() -> None:
    gone, kept = "`f`, `return a`, `return a → return None`", "`g`, `return b`, `return b → return None`"
    listed = [Survivor(gone, "why"), Survivor(kept, "why")]
    two = "def g():\n    return b\n"
    assert misfits(listed, {"ctisync.one": two, "ctisync.two": "def f():\n    return a\n"}) == []
    assert misfits(listed, {"ctisync.one": two, "ctisync.two": two}) == [
        f"{gone}: in no module of the plan",
        f"{kept}: in ctisync.one and ctisync.two",
    ]


def misfits(listed: list[Survivor], texts: dict[str, str]) -> list[str]:
    """Those of the listed that are not in one module alone, and in which they are."""
    where: dict[str, list[str]] = {}
    for module, text in texts.items():
        for mutant in mutants_of(text):
            where.setdefault(mutant.name, []).append(module)
    return [
        f"{each.name}: in {' and '.join(where.get(each.name, ['no module of the plan']))}"
        for each in listed
        if len(where.get(each.name, [])) != 1
    ]


def test_each_listed_survivor_has_a_reason() -> None:
    assert [each for each in SURVIVORS if len(each.why.split()) < 4] == []
    assert len(set(SURVIVORS)) == len(SURVIVORS)


def test_a_reason_holds_for_the_mutants_that_follow_it() -> None:
    page = (
        "# Title\n\nWords.\n\n## A heading\n\nOne reason,\nin two lines.\n- `f`, `x = 1`, `1 → 2`\n"
        "- `f`, `x = 1`, `1 → 0` (2)\n\nAnother.\n- `g`, `y`, `left out`\n\n## More\n- `h`, `y`, `left out`\n"
    )
    assert survivors(page) == [
        Survivor("`f`, `x = 1`, `1 → 2`", "One reason, in two lines."),
        Survivor("`f`, `x = 1`, `1 → 0` (2)", "One reason, in two lines."),
        Survivor("`g`, `y`, `left out`", "Another."),
        Survivor("`h`, `y`, `left out`", ""),
    ]
