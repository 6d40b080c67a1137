"""What a shell offers at Tab, asked the way its script asks."""

import shutil
import subprocess

import pytest

from tests.cli.conftest import Ctisync

TWO = '[{}, {"consumer": "vd_4.9.0", "index": "other"}]'


def offered(ctisync: Ctisync, typed: str, **environ: str) -> list[str]:
    """At the end of what is typed in bash, behind a space or within a word."""
    request = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1)}
    ended = ctisync.run(**request, **environ, _CTISYNC_COMPLETE="complete_bash")
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("ctisync sy", ["sync"]),
        ("ctisync status --crit", ["--crit-behind", "--crit-age"]),
        ("ctisync config sc", ["schema"]),
        ("ctisync config show hooks.on_u", ["hooks.on_update"]),
        ("ctisync completion z", ["zsh"]),
        ("ctisync sync --consumer ", ["vd_4.8.0", "vd_4.9.0"]),
        ("ctisync sync --consumer vd_4.9", ["vd_4.9.0"]),
    ],
)
def test_commands_options_consumers_and_settings_are_offered(
    ctisync: Ctisync, typed: str, words: list[str]
) -> None:
    assert offered(ctisync, typed, CTISYNC_CONSUMERS=TWO) == words


def test_consumers_are_those_of_the_settings_that_were_named(ctisync: Ctisync) -> None:
    (ctisync.home / "other.toml").write_text('[[consumers]]\nconsumer = "named"\n')
    assert offered(ctisync, "ctisync sync --config other.toml --consumer ") == ["named"]


def test_settings_that_cannot_be_read_offer_nothing_and_say_nothing(ctisync: Ctisync) -> None:
    assert offered(ctisync, "ctisync sync --consumer ", CTISYNC_STORE__URL="nonsense") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_it_understands(ctisync: Ctisync, shell: str) -> None:
    ended = ctisync.run("completion", shell)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "_CTISYNC_COMPLETE" in ended.stdout
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=ended.stdout, text=True, check=True)
