"""`doctor` as its users run it: one line a check, none hides another, and nothing is changed."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ctisync.core.model import Consumer
from ctisync.stores.sqlite.schema import MIGRATIONS
from ctisync.system.clock import SystemClock
from ctisync.system.locks import host_lock, lock_beside
from tests.cli.conftest import Ctisync
from tests.support import feed_failures as failures
from tests.support.command_manager import CommandManagerStandIn
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator, unused_port
from tests.support.schema_versions import create_with

Check = dict[str, Any]
SECRET = "canary-of-a-token"


def doctor(ctisync: Ctisync, code: int, *arguments: str, **environ: str) -> dict[str, Check]:
    """The checks by their names; those that are not ok say what to type."""
    ended = ctisync.run("doctor", "--json", *arguments, **environ)
    assert (ended.returncode, ended.stderr) == (code, "")
    document = json.loads(ended.stdout)
    assert {0: "ok", 1: "warning", 2: "failed", 3: "failed"}[code] == document["health"]
    for check in document["checks"]:
        assert check.keys() == {"check", "consumer", "health", "said", "to_do"}
        assert check["health"] == "ok" or check["to_do"], check
    return {check["check"]: check for check in document["checks"]}


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file, with its bytes and the time of its last change."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def stored(ctisync: Ctisync, feed: FeedSimulator) -> FeedSimulator:
    churn(feed.history, 30)
    assert ctisync.run("sync", "-q").returncode == 0
    feed.requests.clear()
    return feed


def test_all_is_well_and_nothing_is_changed_or_sent(
    ctisync: Ctisync, stored: FeedSimulator, tmp_path: Path
) -> None:
    before = tree(tmp_path)
    with CommandManagerStandIn() as manager:
        checks = doctor(ctisync, 0, CTISYNC_COMMAND_MANAGER__URL=manager.url)
        assert manager.requests == []

    assert {name for name, check in checks.items() if check["health"] != "ok"} == set()
    assert checks.keys() == {
        *("versions", "settings", "folder", "lock", "disk", "feed", "clock", "snapshot", "sqlite", "store"),
        *("content", "command-manager"),
    }
    assert tree(tmp_path) == before
    assert [(request.method, request.kind) for request in stored.requests] == [
        ("GET", "info"),
        ("GET", "snapshot"),
    ]


@pytest.mark.usefixtures("feed")
def test_before_the_first_pass_nothing_is_made_and_the_missing_content_is_a_warning(
    ctisync: Ctisync, tmp_path: Path
) -> None:
    checks = doctor(ctisync, 1)
    assert checks["content"]["to_do"] == "ctisync sync"
    assert "first pass" in checks["folder"]["said"]
    assert list(tmp_path.iterdir()) == []


def test_for_people_it_is_a_line_a_check_and_below_it_what_to_type(
    ctisync: Ctisync, stored: FeedSimulator
) -> None:
    stored.fail("info", failures.status(401), times=None)
    lines = ctisync.run("doctor").stdout.splitlines()
    words = [line.split()[0] for line in lines]
    assert set(words) == {"ok", "failed", "try:"}
    assert words[words.index("failed") + 1] == "try:"

    ended = ctisync.run("doctor", "-q")
    assert [line.split()[0] for line in ended.stdout.splitlines()] == ["failed", "try:"]
    assert "cti.token" in ended.stdout
    stored.heal()
    assert ctisync.run("doctor", "-q").stdout == ""


def test_one_check_that_fails_hides_no_other(ctisync: Ctisync, stored: FeedSimulator) -> None:
    """Feed, store, lock and Command Manager at once."""
    ctisync.database.write_bytes(b"no database" * 1000)
    lock = lock_beside(ctisync.database, Consumer())
    lock.unlink()
    lock.mkdir()
    nobody = f"http://127.0.0.1:{unused_port()}"
    urls = {"CTISYNC_CTI__URL": nobody, "CTISYNC_COMMAND_MANAGER__URL": nobody}
    checks = doctor(ctisync, 2, **urls)

    failed = {name for name, check in checks.items() if check["health"] == "failed"}
    assert failed == {"feed", "store", "lock", "command-manager"}
    assert {"versions", "settings", "folder", "disk", "sqlite"} <= checks.keys()
    assert "not an SQLite database" in checks["store"]["said"]


def test_settings_that_cannot_be_used_fail_and_are_unknown_to_monitoring(ctisync: Ctisync) -> None:
    checks = doctor(ctisync, 3, CTISYNC_STORE__URL="nonsense")
    assert checks["settings"]["health"] == "failed"
    checks = doctor(ctisync, 3, "--consumer", "nobody")
    assert "nobody" in checks["settings"]["said"]


@pytest.mark.usefixtures("stored")
def test_likely_mistakes_in_the_settings_are_warnings(ctisync: Ctisync, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(SECRET)
    file.chmod(0o644)
    checks = doctor(ctisync, 1, CTISYNC_CTI__TOKEN_FILE=str(file))
    assert checks["settings"]["to_do"] == f"chmod 600 {file}"


def test_whatever_a_server_says_back_no_secret_and_no_control_character_is_shown(
    ctisync: Ctisync, stored: FeedSimulator
) -> None:
    body = f'{{"errors": "{SECRET}\x1b[2J"}}'.encode()
    stored.fail("info", failures.status(403, {"Content-Type": "application/json"}, body), times=None)
    for arguments in (("doctor",), ("doctor", "--json"), ("doctor", "-v")):
        ended = ctisync.run(*arguments, CTISYNC_CTI__TOKEN=SECRET)
        assert ended.returncode == 2
        assert "403" in ended.stdout
        for stream in (ended.stdout, ended.stderr):
            assert SECRET not in stream
            assert "\x1b" not in stream
            assert "Traceback" not in stream


def test_a_pass_at_work_is_named_and_not_turned_away(ctisync: Ctisync, stored: FeedSimulator) -> None:
    lock = lock_beside(ctisync.database, Consumer())
    with host_lock(lock, SystemClock(), "ctisync sync"):
        checks = doctor(ctisync, 0)
        assert f"ctisync sync, process {os.getpid()}" in checks["lock"]["said"]
        assert "ctisync sync" in lock.read_text(), "its holder is still told"
    assert "free" in doctor(ctisync, 0)["lock"]["said"]


def test_a_file_of_an_older_ctisync_is_examined_and_stays_as_old(
    ctisync: Ctisync, feed: FeedSimulator, tmp_path: Path
) -> None:
    ctisync.database.parent.mkdir(parents=True)
    create_with(ctisync.database, *MIGRATIONS[:1])
    before = tree(tmp_path)
    checks = doctor(ctisync, 1)
    assert "schema version is 1" in checks["store"]["said"]
    assert tree(tmp_path) == before


@pytest.mark.usefixtures("stored")
def test_a_file_of_a_newer_ctisync_has_failed(ctisync: Ctisync) -> None:
    with closing(sqlite3.connect(ctisync.database)) as other:
        other.execute("PRAGMA user_version = 99")
    assert "99" in doctor(ctisync, 2)["store"]["said"]


def test_a_folder_that_somebody_chose_and_that_is_not_there_has_failed(
    ctisync: Ctisync, feed: FeedSimulator, tmp_path: Path
) -> None:
    checks = doctor(ctisync, 2, CTISYNC_STORE__URL=f"sqlite:///{tmp_path}/gone/ctisync.db")
    assert checks["folder"]["to_do"] == f"mkdir -p {tmp_path}/gone"
    assert checks["store"]["health"] == "failed"


def test_a_block_has_failed_and_an_owed_command_is_a_warning(ctisync: Ctisync, stored: FeedSimulator) -> None:
    nobody = f"http://127.0.0.1:{unused_port()}"
    churn(stored.history, 5, seed=7)
    assert ctisync.run("sync", "-q", CTISYNC_COMMAND_MANAGER__URL=nobody).returncode == 8
    with CommandManagerStandIn() as manager:
        checks = doctor(ctisync, 1, CTISYNC_COMMAND_MANAGER__URL=manager.url)
    assert "not accepted" in checks["content"]["said"]

    stored.history.update("CVE-1", [{"op": "remove", "path": "/there/is/nothing"}])
    assert ctisync.run("sync", "-q").returncode == 6
    assert "blocked" in doctor(ctisync, 2)["content"]["said"]


NO_OVERRIDE = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(24, 1, 0, 0, 0);"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
"""Runs Python without root's right to write everywhere: PR_CAPBSET_DROP, CAP_DAC_OVERRIDE."""


def test_a_folder_without_the_right_to_write_has_failed(
    ctisync: Ctisync, stored: FeedSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = ctisync.command("doctor", "--json")
    monkeypatch.setattr(ctisync, "command", lambda *_: [called[0], "-c", NO_OVERRIDE, *called[1:]])
    monkeypatch.setattr(Ctisync, "main_module", None)
    ctisync.database.parent.chmod(0o500)
    try:
        checks = doctor(ctisync, 2)
    finally:
        ctisync.database.parent.chmod(0o700)
    assert {checks[name]["health"] for name in ("folder", "store")} == {"failed"}


@pytest.mark.usefixtures("stored")
def test_several_consumers_are_each_examined_and_the_rest_once(ctisync: Ctisync) -> None:
    consumers = json.dumps([{"consumer": "vd_4.8.0"}, {"consumer": "none", "index": "none"}])
    ended = ctisync.run("doctor", "--json", CTISYNC_CONSUMERS=consumers)
    assert ended.returncode == 2, "the feed does not know one of them"
    pairs = [(check["check"], check["consumer"]) for check in json.loads(ended.stdout)["checks"]]
    assert len(pairs) == len(set(pairs))
    assert [about for what, about in pairs if what == "feed"] == ["vd_1.0.0/vd_4.8.0", "vd_1.0.0/none"]


def test_it_is_run_from_a_pipe_that_closes_early_without_a_word(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    running = ctisync.start("doctor")
    assert running.stdout is not None
    running.stdout.close()
    running.stdout = None
    _, stderr = running.communicate(timeout=120)
    assert stderr == b""
