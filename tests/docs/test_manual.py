"""The manual page is roff that shows what it should: nothing is taken for a request, nothing swallowed."""

import ast
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from ctisync.cli.help import EXIT_CODES
from ctisync.settings import SYSTEM_FILE, Settings, load_settings
from ctisync.settings.sources import proxies
from tests.docs import manual, settings_table
from tests.docs.command_tree import commands
from tests.docs.shell import ROOT

PAGE: Final = (ROOT / "docs" / "man" / "ctisync.1").read_text()
LINES: Final = PAGE.splitlines()

MACROS: Final = {".TH", ".SH", ".SS", ".PP", ".TP", ".B", ".br"}
ESCAPES: Final = {"\\-": "-", "\\e": "\\", "\\&": "", "\\fB": "", "\\fR": "", "\\(aq": "'", "\\(ga": "`"}
ESCAPES_OF_SIGNS: Final = {"\\(ti": "~", "\\(ha": "^", "\\(dq": '"'}
_ESCAPE: Final = re.compile(r"\\(?:\(..|f.|.)")


def text(line: str) -> str:
    """What a reader sees of it."""
    signs = ESCAPES | ESCAPES_OF_SIGNS
    shown = re.sub(r'^\.(?:SS "(.*)"|B (.*))$', r"\1\2", line)
    return _ESCAPE.sub(lambda match: signs.get(match[0], match[0]), shown)


def test_no_text_line_looks_like_a_roff_request() -> None:
    requests = {line.split(" ")[0] for line in LINES if line.startswith(".") and not line.startswith('.\\"')}
    assert requests == MACROS
    assert [
        line for line in LINES if line.startswith("'") or not line.isascii() or line != line.rstrip()
    ] == []


def test_every_escape_is_one_that_a_reader_of_roff_knows() -> None:
    used = {escape for line in LINES if not line.startswith('.\\"') for escape in _ESCAPE.findall(line)}
    assert used <= ESCAPES.keys() | ESCAPES_OF_SIGNS.keys()
    assert [line for line in LINES if line.count("\\fB") != line.count("\\fR")] == []


def test_every_entry_has_a_head_and_a_text() -> None:
    for number, line in enumerate(LINES):
        if line == ".TP":
            head, below = LINES[number + 1 : number + 3]
            assert head.startswith(".B "), head
            assert not below.startswith("."), head


def test_what_a_reader_sees_is_what_the_program_says() -> None:
    shown = {text(line) for line in LINES}
    for command in commands():
        rows = [*command.arguments, *command.options]
        examples = () if command.is_group else command.help_text.examples
        rows += [(example.typed, example.why) for example in examples]
        assert command.is_group or command.call in shown
        assert [row for row in rows if not shown.issuperset(part.replace("`", "") for part in row)] == []
    assert {each.shown for each in EXIT_CODES} <= shown
    assert [
        name
        for name, _ in settings_table.every(Settings)
        if not any(line == name or line.startswith(f"{name}, ") for line in shown)
    ] == []


@pytest.mark.parametrize(
    "typed", ["-", "~/.zfunc", "a'b`c", 'say "so"', "2^63", "\\n", ".hidden", "--no-such"]
)
def test_what_is_copied_from_the_page_is_what_was_meant(typed: str) -> None:
    assert text(manual.code(typed)) == typed
    assert not manual.code(typed).startswith((".", "'"))


def test_readers_of_roff_find_nothing_wrong() -> None:
    """Where there is one: what is looked at above holds everywhere."""
    if groff := shutil.which("groff"):
        ended = subprocess.run(
            [groff, "-man", "-ww", "-z", "-Tutf8"], input=PAGE, capture_output=True, text=True, check=True
        )
        assert ended.stderr == ""


def test_each_variable_that_is_read_is_in_the_page_and_each_there_is_read() -> None:
    read = {
        name
        for path in (ROOT / "src" / "ctisync").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _names_read(node)
    }
    documented = {name.strip() for names, _ in manual.ENVIRONMENT for name in names.split(",")}
    by_libraries = {"XDG_STATE_HOME"}
    ours = documented - by_libraries - {"CTISYNC_..."}
    assert read <= ours
    for name in ours - read:
        assert proxies({name: "http://proxy"}) == {name: "http://proxy"}


def _names_read(node: ast.AST) -> list[str]:
    match node:
        case (
            ast.Call(
                func=ast.Attribute(value=ast.Name(id="environ") | ast.Attribute(attr="environ"), attr="get"),
                args=[ast.Constant(value=str(name)), *_],
            )
            | ast.Subscript(
                value=ast.Name(id="environ") | ast.Attribute(attr="environ"),
                slice=ast.Constant(value=str(name)),
            )
        ):
            return [name]
    return []


def test_each_file_is_where_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    loaded = load_settings(None, {"HOME": str(tmp_path)}, system_file=tmp_path / "none")
    listed = [name.replace("~", str(tmp_path)) for name, _ in manual.FILES]
    state = loaded.settings.state_dir
    assert listed == [str(SYSTEM_FILE), str(loaded.files[1]), f"{state}/ctisync.db", f"{state}/*.lock"]
