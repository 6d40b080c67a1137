"""A pipe into which nobody writes, where a file is expected: refused at once, instead of waited for."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Ctisync
from tests.support.feed_simulator import FeedSimulator
from tests.support.printed_error import assert_two_lines

WAITS = 20.0
"""Seconds: far more than a command needs."""


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def _ended(ctisync: Ctisync, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    began = time.monotonic()
    ended = ctisync.run(*arguments, **environ)
    assert time.monotonic() - began < WAITS
    return ended


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
def test_a_pipe_beside_the_database_holds_no_command(ctisync: Ctisync, feed: FeedSimulator, end: str) -> None:
    assert ctisync.run("sync", "-q").returncode == 0
    before = ctisync.run("export", "-q").stdout
    path = ctisync.database.with_name(f"ctisync.db{end}")
    path.unlink(missing_ok=True)
    os.mkfifo(path)

    for command in ("status", "export", "verify", "log", "init-snapshot"):
        ended = _ended(ctisync, command, "-q")
        assert ended.returncode == 3, command
        assert f"{path} is not a regular file" in ended.stdout + ended.stderr, command
    ended = _ended(ctisync, "sync", "-q")
    assert ended.returncode == 3
    assert_two_lines(ended.stderr, f"{path} is not a regular file", f"try: rm {path}; then: ctisync sync")

    subprocess.run(["/bin/sh", "-c", f"rm {path}"], check=True, stdout=subprocess.DEVNULL)
    assert ctisync.run("sync", "-q").returncode == 0
    assert ctisync.run("export", "-q").stdout == before


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
def test_a_pipe_that_waits_for_a_database_holds_no_command(
    ctisync: Ctisync, feed: FeedSimulator, end: str
) -> None:
    ctisync.database.parent.mkdir(mode=0o700, parents=True)
    os.mkfifo(ctisync.database.with_name(f"ctisync.db{end}"))
    assert _ended(ctisync, "sync", "-q").returncode == 3
    assert _ended(ctisync, "status").returncode == 3


def test_a_pipe_as_ones_own_settings_is_refused_at_once(ctisync: Ctisync, pipe: Path) -> None:
    ended = _ended(ctisync, "status", "--config", str(pipe))
    assert ended.returncode == 3
    assert_two_lines(ended.stderr, f"settings: cannot read {pipe}: it is not a regular file", "ls -l")

    home = ctisync.home / "config" / "ctisync"
    home.mkdir(parents=True)
    pipe.rename(home / "config.toml")
    assert _ended(ctisync, "sync", "-q").returncode == 3


@pytest.mark.parametrize(
    "setting", ["store.password_file", "cti.token_file", "cti.ca_file", "store.client_cert", "ping_url_file"]
)
def test_a_pipe_as_a_file_that_a_setting_names_is_refused_at_once(
    ctisync: Ctisync, pipe: Path, setting: str
) -> None:
    variable = "CTISYNC_" + setting.upper().replace(".", "__")
    for command in (["sync", "-q"], ["config", "check"], ["status"]):
        ended = _ended(ctisync, *command, **{variable: str(pipe), "CTISYNC_STORE__USERNAME": "x"})
        assert ended.returncode == 3
        assert f"{variable}: cannot read {pipe}: it is not a regular file" in ended.stdout + ended.stderr


def test_a_pipe_as_a_credential_of_systemd_is_refused_at_once(ctisync: Ctisync, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "cti.token")
    ended = _ended(ctisync, "status", CREDENTIALS_DIRECTORY=str(tmp_path))
    assert ended.returncode == 3
    assert "credential cti.token" in ended.stderr


def test_settings_that_a_shell_passes_through_a_pipe_are_read(ctisync: Ctisync) -> None:
    """As `--config <(...)` and `--config /dev/stdin`."""
    for script in (
        '"$@" --config <(echo history = 7)',
        'echo history = 7 | "$@" --config /dev/stdin',
        '"$@" --config /dev/stdin <<< "history = 7"',
    ):
        ended = subprocess.run(
            ["/bin/bash", "-c", script, "bash", *ctisync.command("config", "get", "history")],
            env=ctisync.environ,
            cwd=ctisync.home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stdout) == (0, "7\n"), ended.stderr
    assert ctisync.run("status", "--config", "/dev/null").returncode in (0, 10)
