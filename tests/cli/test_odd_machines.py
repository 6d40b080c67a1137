"""A machine without homes, with a full disk or with long names is no bug in ctisync."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.cli.conftest import DEADLINE, Ctisync
from tests.support.feed_simulator import FeedSimulator
from tests.support.forked import shared_process
from tests.support.printed_error import assert_two_lines

ROOT: Final = Path(__file__).parents[2]

NOBODY: Final = 4_242
"""A user id without a name, and so without a home."""


class Ended(NamedTuple):
    returncode: int
    stderr: str


def as_nobody(ctisync: Ctisync, folder: Path, *arguments: str, **environ: str) -> Ended:
    """In a container that was started with `--user 4242`."""
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    names = ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")
    kept = {name: value for name, value in ctisync.environ.items() if name not in names}
    job = {
        "arguments": arguments,
        "environ": {**kept, **environ},
        "folder": str(folder),
        "user": NOBODY,
        "streams": ["/dev/null", "out", "err"],
    }
    (code,) = shared_process(ctisync.environ).run([job])
    return Ended(code, (folder / "err").read_text())


@pytest.fixture
def reachable(tmp_path: Path) -> Iterator[Path]:
    """A folder that every user gets to, and that is NOBODY's."""
    folder = Path("/tmp") / f"ctisync-test-{tmp_path.name}-{os.getpid()}"  # noqa: S108  # pytest's own are root's
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


def test_one_setting_is_shown_however_long_it_is(ctisync: Ctisync) -> None:
    shown = ctisync.run("config", "show", "store.url", XDG_STATE_HOME="/" + "x" * 150)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "x" * 150 in shown.stdout


def test_a_user_without_a_home_gets_the_setting_to_set(ctisync: Ctisync, reachable: Path) -> None:
    ended = as_nobody(ctisync, reachable, "status")
    assert ended.returncode == 3
    assert_two_lines(ended.stderr, "HOME is not set", "CTISYNC_STATE_DIR")


def test_a_state_folder_is_all_that_a_user_without_a_home_needs(ctisync: Ctisync, reachable: Path) -> None:
    state = reachable / "state"
    for command in (["status"], ["config", "show"]):
        ended = as_nobody(ctisync, reachable, *command, CTISYNC_STATE_DIR=str(state))
        assert (ended.returncode, ended.stderr) == (0, ""), command


def test_a_folder_that_may_not_be_entered_is_a_result_of_doctor(ctisync: Ctisync, reachable: Path) -> None:
    state = reachable / "state"
    state.mkdir(mode=0o000)
    ended = as_nobody(ctisync, reachable, "doctor", CTISYNC_STATE_DIR=str(state))
    assert (ended.returncode, ended.stderr) == (2, "")
    assert "lock             vd_1.0.0/vd_4.8.0: a pass cannot use" in (reachable / "out").read_text()


def test_so_is_a_database(ctisync: Ctisync, reachable: Path) -> None:
    ended = as_nobody(ctisync, reachable, "status", CTISYNC_STORE__URL=f"sqlite:///{reachable}/ctisync.db")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_tilde_without_a_home_is_a_wrong_name(ctisync: Ctisync) -> None:
    for command in (["init-snapshot", "--from"], ["demo", "--keep"]):
        ended = ctisync.run(*command, "~nobody-of-this-name/given.zip")
        assert ended.returncode == 2
        assert_two_lines(ended.stderr, f"{command[1]}: ~nobody-of-this-name", "write the absolute path")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["status", "config show", "--help", "doctor --json"])
def test_an_output_that_is_full_is_an_error(ctisync: Ctisync, command: str, unbuffered: str) -> None:
    with Path("/dev/full").open("wb") as full:
        running = subprocess.run(
            ctisync.command(*command.split()),
            env={**ctisync.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
    assert running.returncode == 2
    assert_two_lines(
        running.stderr, "cannot write to standard output: No space left", "a disk with free space"
    )


ASCII: Final = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""As cron has it, where Python's ways out of it are closed."""


@pytest.mark.parametrize("where", ["variable", "url", "file"])
def test_a_locale_without_the_letters_of_a_path_reads_and_writes_the_file_of_that_name(
    ctisync: Ctisync, feed: FeedSimulator, where: str
) -> None:
    """A name is UTF-8 there as everywhere: not another file, and no refusal of what is UTF-8."""
    folder = ctisync.home / "données"
    folder.mkdir(mode=0o700)
    url = f"sqlite:///{folder}/ctisync.db"
    settings, options = ctisync.home / "é.toml", list[str]()
    if where == "file":
        settings.write_text(f'store.url = "{url}"\nhooks.on_update = ["touch", "{folder}/ö"]\n')
        options = ["--config", str(settings)]
    else:
        named = {"variable": {"CTISYNC_STATE_DIR": str(folder)}, "url": {"CTISYNC_STORE__URL": url}}[where]
        ctisync.environ |= {**named, "CTISYNC_HOOKS__ON_UPDATE": json.dumps(["touch", f"{folder}/ö"])}
    ended = ctisync.run("sync", "-q", *options, **ASCII)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert {"ctisync.db", "ö"} <= {each.name for each in folder.iterdir()}
    assert ctisync.run("status", "--check", *options, **ASCII).returncode == 0
    assert ctisync.run("verify", "-q", *options, **ASCII).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "environ", "code", "named"),
    [
        (["status"], {"CTISYNC_STORE__URL": "sqlite:///x.db"}, 3, "CTISYNC_STORE__URL: x.db"),
        (["sync"], {"CTISYNC_STATE_DIR": "x"}, 3, "state_dir: x"),
        (["sync", "--metrics", "x.prom"], {}, 2, "--metrics: x.prom"),
        (["demo", "--keep", "x"], {}, 2, "--keep: x"),
    ],
)
def test_a_relative_path_in_a_removed_folder_is_an_error_with_its_setting(
    ctisync: Ctisync, tmp_path: Path, arguments: list[str], environ: dict[str, str], code: int, named: str
) -> None:
    (tmp_path / "gone").mkdir()
    ended = subprocess.run(
        ["/bin/sh", "-c", 'rmdir "$PWD"; exec "$@"', "sh", *ctisync.command(*arguments)],
        env={**ctisync.environ, **environ},
        cwd=tmp_path / "gone",
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ended.returncode == code
    assert_two_lines(
        ended.stderr, f"{named} is relative, and the working folder has been removed", "absolute path"
    )


def test_a_log_of_as_many_lines_as_a_number_can_say_is_all_of_it(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    assert ctisync.run("sync", "-q").returncode == 0
    shown = [ctisync.run("log", "--last", number).stdout for number in ("100", "9" * 19, "9" * 400)]
    assert shown[0] == shown[1] == shown[2] != ""
