"""What `--help` teaches: each command ends with examples that it understands, and with how it can end."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from ctisync.cli.help import EXIT_CODES, HELP_TEXTS
from tests.cli.conftest import Ctisync
from tests.docs.command_tree import Command, commands, parse, root
from tests.docs.shell import ROOT

COMMANDS = commands()
EXAMPLES = [(each.path, example.typed) for each in COMMANDS for example in each.help_text.examples]

NARROW = 80
"""Columns of a terminal that shows an example in one line."""


def help_of(ctisync: Ctisync, path: str) -> str:
    ended = ctisync.run(*path.split(), "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def test_a_name_alone_lists_the_commands_and_is_no_mistake(ctisync: Ctisync) -> None:
    for words, listed in (([], ["sync", "config", "help"]), (["config"], ["show", "check", "init"])):
        ended = ctisync.run(*words)
        assert (ended.returncode, ended.stderr) == (0, "")
        commands = ended.stdout.split("Commands:\n")[1].split("\n\n")[0]
        assert set(listed) <= {line.split()[0] for line in commands.splitlines()}
        assert f"ctisync help {' '.join([*words, 'COMMAND'])}" in ended.stdout


def test_a_package_without_its_examples_still_has_its_help(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src" / "ctisync", tmp_path / "ctisync")
    command = [sys.executable, "-m", "ctisync", "status", "--help"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("path", ["", "config"])
def test_no_summary_in_a_list_of_commands_is_cut(ctisync: Ctisync, path: str) -> None:
    inner = [each for each in COMMANDS if each.path.startswith(path) and each.path.count(" ") == bool(path)]
    listed = " ".join(help_of(ctisync, path).split("Commands:\n")[1].split("\n\n")[0].split())
    for each in inner:
        if each.path not in ("", path):
            assert f"{each.about.split('. ')[0].rstrip('.')}." in listed
    assert "..." not in listed


@pytest.mark.parametrize("words", [["-h"], ["sync", "-h"], ["config", "-h"], ["config", "show", "-h"]])
def test_the_short_option_shows_the_same_help(ctisync: Ctisync, words: list[str]) -> None:
    ended = ctisync.run(*words)
    assert (ended.returncode, ended.stdout) == (0, help_of(ctisync, " ".join(words[:-1])))


def test_the_short_option_prints_the_same_version(ctisync: Ctisync) -> None:
    assert ctisync.run("-V").stdout == ctisync.run("--version").stdout != ""


@pytest.mark.parametrize("path", ["", "sync", "config", "config show", "help"])
def test_help_is_a_command_too(ctisync: Ctisync, path: str) -> None:
    ended = ctisync.run("help", *path.split())
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == help_of(ctisync, path)


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["synk"], "unknown command synk", "ctisync help sync"),
        (["config", "shw"], "unknown command config shw", "ctisync help config show"),
        (["sync", "now"], "unknown command sync now", "ctisync help sync"),
        (["frobnicate"], "unknown command frobnicate", "ctisync help"),
        (["--man", "sync"], "--man", "ctisync help --man"),
    ],
)
def test_help_for_what_is_not_there_says_what_is(
    ctisync: Ctisync, words: list[str], message: str, hint: str
) -> None:
    ended = ctisync.run("help", *words)
    assert (ended.returncode, ended.stdout) == (2, "")
    first, second = ended.stderr.splitlines()
    assert message in first
    assert second == f"  try: {hint}"


def test_help_says_where_the_manual_lies(ctisync: Ctisync) -> None:
    ended = ctisync.run("help", "--man")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert Path(ended.stdout.strip()).read_text() == (ROOT / "docs" / "man" / "ctisync.1").read_text()


def test_each_command_has_a_help_text_and_nothing_else_has() -> None:
    assert {each.path for each in COMMANDS} == HELP_TEXTS.keys()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: each.call)
def test_a_help_ends_with_examples_and_with_the_codes_that_the_command_can_give(
    ctisync: Ctisync, command: Command
) -> None:
    before, after = help_of(ctisync, command.path).split("\nExamples:\n")
    examples, *endings = re.split(r"\n(Exit codes.*):\n", after)

    assert "Options:" in before
    shown = [line.strip() for line in examples.splitlines() if line.startswith("  ctisync ")]
    assert shown == [example.typed for example in command.help_text.examples]
    assert endings[0] == "Exit codes"
    rows = re.findall(r"(?m)^  (\d+(?:, \d+)*)  ", endings[1])
    codes = {int(code) for row in rows for code in row.split(", ")}
    assert codes == command.help_text.codes
    assert len(endings) == (2 if not command.help_text.with_option else 4)


def test_the_codes_that_an_option_changes_are_in_the_help(ctisync: Ctisync) -> None:
    codes = help_of(ctisync, "status").split("Exit codes with --check:\n")[1]
    assert [line.split() for line in codes.splitlines()] == [
        ["0", "OK"],
        ["1", "WARNING"],
        ["2", "CRITICAL"],
        ["3", "UNKNOWN"],
    ]


@pytest.mark.parametrize(("path", "typed"), EXAMPLES, ids=map(": ".join, EXAMPLES))
def test_an_example_is_understood_by_the_command_that_it_is_for(path: str, typed: str) -> None:
    program, *words = shlex.split(typed)
    assert program == "ctisync"
    assert words[: len(path.split())] == path.split() or path == "config"
    parse(words)
    assert len(typed) < NARROW - 2, "a terminal would break it"


@pytest.mark.parametrize(
    "words",
    [["sync", "--no-such-option"], ["synk"], ["show"], ["config", "shew"], ["status", "--warn-behind", "x"]],
)
def test_an_example_that_is_not_understood_would_be_noticed(words: list[str]) -> None:
    with pytest.raises(AssertionError):
        parse(words)


def test_a_narrow_terminal_breaks_no_example() -> None:
    command = root().commands["init-snapshot"]
    context = typer.Context(command, info_name="ctisync init-snapshot", terminal_width=40)
    lines = command.get_help(context).splitlines()
    assert {example.typed for example in HELP_TEXTS["init-snapshot"].examples} <= {
        line.strip() for line in lines
    }


def test_every_exit_code_is_explained_once() -> None:
    codes = [code for each in EXIT_CODES for code in each.codes]
    assert codes == sorted(set(codes))
    assert all(each.codes <= set(codes) for each in HELP_TEXTS.values())
    assert all(each.own.keys() <= each.codes for each in HELP_TEXTS.values())


def test_a_command_without_a_help_text_still_has_a_help() -> None:
    command = root().commands["sync"]
    printed = command.get_help(typer.Context(command, info_name="ctisync unheard-of"))
    assert "Options:" in printed
    assert "Examples:" not in printed
