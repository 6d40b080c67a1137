"""The planted bugs fit the code of today, say what they break, and name tests that exist."""

import textwrap
from pathlib import Path

import pytest

from tests.planted import __main__ as program
from tests.planted import patching
from tests.planted.patching import DoesNotFit, Hunk, Patch
from tests.planted.places import Source, places, sources

ROOT = Path(__file__).resolve().parents[2]
PATCHES = patching.all_patches()
SOURCES = sources(ROOT)


def test_there_are_twenty_of_them() -> None:
    assert len(PATCHES) >= 20


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.name)
def test_a_planted_bug_fits_says_what_it_breaks_and_names_its_tests(patch: Patch) -> None:
    assert len(patch.breaks.split()) >= 8
    assert patch.hunks
    for hunk in patch.hunks:
        source, text = fitted(patch, hunk)
        assert text != source.text
        compile(text, source.path, "exec")
    paths = [word for word in patch.tests if word.startswith("tests/")]
    assert paths
    assert all((ROOT / path).exists() for path in paths)


def fitted(patch: Patch, hunk: Hunk) -> tuple[Source, str]:
    """Fails with nothing but what does not fit."""
    message = ""
    try:
        return patching.broken(hunk, SOURCES)
    except DoesNotFit as error:
        message = f"planted bug {patch.name}: {error}"
    pytest.fail(message, pytrace=False)


def test_the_one_that_contributors_are_shown_is_one_of_them() -> None:
    shown = (
        (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("```diff\n")[2].partition("```")[0]
    )
    assert shown in [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.patch")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gpa"], "no planted bug has 'gpa' in its name; near: gap_not_confirmed"),
        (["crc", "fsinc"], "no planted bug has 'fsinc' in its name; near: fsync_skipped"),
        (["gap_not_confrmed"], "no planted bug has 'gap_not_confrmed' in its name; near: gap_not_confirmed"),
        (["xyz"], "no planted bug has 'xyz' in its name; there are: advance_before_content, advance_owes"),
    ],
)
def test_a_name_that_no_planted_bug_has_is_an_error_instead_of_a_run_without_bugs(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "judge", lambda patch: pytest.fail(f"{patch.name} was planted"))
    with pytest.raises(SystemExit) as ended:
        program.main(words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


CODE = """\
import os as system

LIMIT: int = 1
if LIMIT:
    LOW, HIGH = 0, 9


class Writer:
    @property
    def state(self):
        return 1

    def apply(self):
        def inner():
            return 2

        return inner
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write(tmp_path, "stores/writer.py", CODE)
    return tmp_path


def write(tree: Path, path: str, code: str) -> Path:
    file = tree / "src" / "ctisync" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(code)
    return file


def planted(tree: Path, hunks: str) -> None:
    patch = tree / "a_bug.patch"
    patch.write_text(f"Breaks: nothing\nTests: none\n\n{hunks}")
    patching.apply(patching.read(patch), tree)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("Writer", "class Writer:"),
        ("Writer.state", "    @property"),
        ("Writer.apply", "    def apply(self):"),
        ("Writer.apply.inner", "        def inner():"),
        ("LIMIT", "LIMIT: int = 1"),
        ("HIGH", "    LOW, HIGH = 0, 9"),
        ("system", "import os as system"),
    ],
)
def test_a_definition_is_located_by_its_name(tree: Path, name: str, lines: str) -> None:
    (place,) = places(sources(tree), name)
    assert place.source.module == "ctisync.stores.writer"
    assert place.lines[0] == lines


def test_a_planted_bug_fits_wherever_its_function_lies_and_however_deep(tree: Path) -> None:
    (tree / "src/ctisync/stores/writer.py").unlink()
    file = write(tree, "elsewhere/__init__.py", "if True:\n" + textwrap.indent(CODE, "    "))
    planted(tree, "@@ Writer.apply.inner @@\n def inner():\n-    return 2\n+    x = 2\n+    return 3\n")
    assert "            def inner():\n                x = 2\n                return 3\n" in file.read_text()
    assert "return 2" not in file.read_text()


def test_all_places_of_a_planted_bug_are_altered_also_in_one_module(tree: Path) -> None:
    planted(tree, "@@ LIMIT @@\n-LIMIT: int = 1\n+LIMIT: int = 7\n@@ Writer.state @@\n-return 1\n+return 7\n")
    expected = CODE.replace("return 1", "return 7").replace("int = 1", "int = 7")
    assert (tree / "src/ctisync/stores/writer.py").read_text() == expected


def test_of_two_functions_with_one_name_that_is_meant_which_holds_the_lines(tree: Path) -> None:
    other = write(tree, "other.py", "class Writer:\n    def apply(self):\n        return 5\n")
    planted(tree, "@@ Writer.apply @@\n-return 5\n+return 6\n")
    assert "return 6" in other.read_text()
    assert (tree / "src/ctisync/stores/writer.py").read_text() == CODE


@pytest.mark.parametrize(
    ("hunk", "message"),
    [
        (
            "@@ Reader.apply @@\n-return 1\n+return 3\n",
            "a_bug: nothing in src/ctisync is called `Reader.apply`; its lines stand in ctisync.stores",
        ),
        (
            "@@ Writer.apply @@\n-return 1\n+return 3\n",
            "a_bug: `Writer.apply` in ctisync.stores.writer does not hold its lines, which stand in ",
        ),
        ("@@ Writer.apply @@\n-return 9\n+return 3\n", "its lines, which stand nowhere:\n    return 9"),
        ("@@ Writer.state @@\n-turn 1\n+return 3\n", "its lines, which stand nowhere"),
    ],
)
def test_a_planted_bug_that_does_not_fit_any_more_is_refused_by_name(
    tree: Path, hunk: str, message: str
) -> None:
    with pytest.raises(DoesNotFit) as refused:
        planted(tree, hunk)
    assert message in str(refused.value)
    assert (tree / "src/ctisync/stores/writer.py").read_text() == CODE


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("other.py", CODE, "2 times, not once, in ctisync.other and ctisync.stores.writer"),
        ("stores/writer.py", CODE + "\n    def apply(self):\n        return 2\n", "2 times, not once, in "),
    ],
)
def test_a_planted_bug_that_fits_in_two_places_is_refused_and_names_their_modules(
    tree: Path, path: str, code: str, message: str
) -> None:
    write(tree, path, code)
    with pytest.raises(DoesNotFit, match=f"a_bug: `Writer.apply` holds its lines {message}"):
        planted(tree, "@@ Writer.apply @@\n-return 2\n+return 3\n")


@pytest.mark.parametrize(
    "hunks",
    [
        "@@ Writer.apply @@\n+return 3\n",
        "@@ Writer.apply @@\nreturn 2\n+return 3\n",
        "@@ -1,2 +1,2 @@\n-return 2\n+return 3\n",
    ],
    ids=["nothing that stands there", "a line without its mark", "a place by number"],
)
def test_what_is_no_hunk_is_refused(tree: Path, hunks: str) -> None:
    with pytest.raises(ValueError, match=r"lines that stand there|a_bug\.patch: before its first"):
        planted(tree, hunks)
