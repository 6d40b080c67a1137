"""What no ctisync has stored: told with what heals it, by every command; never taken for a bug."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ctisync.cli import main
from ctisync.core.model import Consumer
from ctisync.system.locks import lock_beside
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator

COMMANDS = {
    "sync": ["sync", "-q"],
    "update": ["update", "-q"],
    "foretold": ["sync", "--dry-run"],
    "status": ["status"],
    "check": ["status", "--check"],
    "doctor": ["doctor"],
    "verify": ["verify", "-q"],
    "export": ["export", "--output", "out"],
    "log": ["log"],
    "history": ["history"],
    "show": ["show", "CVE-2003-10003"],
    "init-snapshot": ["init-snapshot", "-q"],
}

State = dict[str, object]


class Host:
    """A filled SQLite file; `run` is in this process, on a copy that is as `alter` has left it."""

    def __init__(self, folder: Path, feed: FeedSimulator, capture: pytest.CaptureFixture[str]) -> None:
        self.feed = feed
        self.database = folder / "state" / "ctisync.db"
        self._capture = capture
        assert self.run("sync", "-q") == 0
        churn(feed.history, 5)
        self.printed = ""

    def run(self, *arguments: str) -> int:
        self._capture.readouterr()
        code = main(arguments)
        self.printed = "".join(self._capture.readouterr())
        judged = arguments[0] == "doctor" or "--check" in arguments  # there 1 is a warning
        assert "a bug in ctisync" not in self.printed, self.printed
        assert code != 1 or judged, self.printed
        return code

    def sql(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute(statement, values)

    def patch_state(self, **fields: object) -> None:
        patch = json.dumps(fields)
        self.sql("UPDATE consumers SET state = json_patch(state, ?)", patch)

    def each_ends(self, *names: str) -> dict[str, int]:
        """Each command on the same file, as it is now."""
        kept, ended = self.database.read_bytes(), {}
        for name in names or COMMANDS:
            ended[name] = self.run(*COMMANDS[name])
            for end in ("", "-wal", "-shm"):
                self.database.with_name(self.database.name + end).unlink(missing_ok=True)
            self.database.write_bytes(kept)
        return ended

    def content(self) -> bytes:
        assert self.run("export", "--output", "out") == 0
        return Path("out").read_bytes()


@pytest.fixture
def host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Host]:
    with FeedSimulator() as feed:
        populate(feed.history, 20)
        feed.publish_snapshot()
        (tmp_path / "state").mkdir(mode=0o700)
        for name, value in {
            "HOME": str(tmp_path),
            "XDG_CONFIG_HOME": str(tmp_path),
            "CTISYNC_STATE_DIR": str(tmp_path / "state"),
            "CTISYNC_CTI__URL": feed.url,
            "CTISYNC_CTI__RETRY_BUDGET": "0.2",
            "CTISYNC_CTI__COOLDOWN": "0",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        yield Host(tmp_path, feed, capsys)


def assert_loaded_anew(host: Host) -> None:
    """As the hint says."""
    assert host.run("init-snapshot", "-q") == 0
    assert host.run("sync", "-q") == 0
    assert host.content().splitlines() == sorted(host.feed.expected_lines())


CONTRADICTIONS: dict[str, State] = {
    "a range that ends far away": {"range_to": 10_000_000},
    "a range that ends where it begins": {"range_to": 1},
    "an offset without content": {"content": False},
    "a negative offset": {"offset": -3},
    "an offset of 30 digits": {"offset": 10**29},
    "a command for an offset out of range": {"owed": {"offset": -1, "attempts": 0}},
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_state_that_contradicts_itself_is_planned_for_reported_and_healed_by_the_hint(
    host: Host, name: str
) -> None:
    host.patch_state(**CONTRADICTIONS[name])

    ended = host.each_ends()

    assert ended["sync"] == ended["update"] == 7
    assert (ended["check"], ended["verify"]) == (2, 9)
    assert ended["doctor"] in (1, 2)
    for command in ("sync", "status", "doctor", "foretold"):
        host.each_ends(command)
        assert "ctisync init-snapshot && ctisync sync" in host.printed, command
    assert "end with exit code 7: the stored state is wrong: " in host.printed
    assert_loaded_anew(host)


def test_a_state_that_says_unsettled_is_settled_by_any_pass(host: Host) -> None:
    """SQLite never stores that: look and writer find it out by themselves."""
    host.patch_state(unsettled=True)
    ended = host.each_ends()
    assert {name: code for name, code in ended.items() if code and name not in ("check", "doctor")} == {}
    assert_loaded_anew(host)


@pytest.mark.parametrize("begun_at", ["yesterday", "2026-12-01T10:00:00", b"\xff\xfe", 7, ""])
def test_a_load_that_was_begun_at_no_time_is_shown_and_removed_like_any_other(
    host: Host, begun_at: object
) -> None:
    host.patch_state(loading=True)
    host.sql(
        "INSERT INTO generations (consumer, snapshot_offset, snapshot_link, begun_at) "
        "SELECT id, 5, 'https://x', ? FROM consumers",
        begun_at,
    )
    ended = host.each_ends()
    assert (ended["sync"], ended["status"], ended["init-snapshot"]) == (0, 0, 0)
    assert_loaded_anew(host)


def flipped_in(part: bytes) -> Callable[[Host], None]:
    def flip(host: Host) -> None:
        whole = bytearray(host.database.read_bytes())
        whole[whole.index(part) + len(part) // 2] ^= 0x80
        host.database.write_bytes(whole)

    return flip


def state_of_many_digits(host: Host) -> None:
    host.sql("UPDATE consumers SET state = replace(state, '\"offset\":', '\"offset\":' || ?)", "9" * 5000)


def state_that_is_deep(host: Host) -> None:
    host.sql("UPDATE consumers SET state = '{\"x\":' || ? || '}'", "[" * 5000)


def state_that_is_a_number(host: Host) -> None:
    host.sql("UPDATE consumers SET state = 7")


DAMAGE: dict[str, Callable[[Host], None]] = {
    "a bit of a table's text": flipped_in(b"CREATE TABLE consumers"),
    "a bit of a column's name": flipped_in(b"generation INTEGER,"),
    "a bit of an index's text": flipped_in(b"records_by_name ON records (generation"),
    "a bit of a view's text": flipped_in(b"CREATE VIEW consumer_state AS"),
    "an integer of 5,000 digits": state_of_many_digits,
    "5,000 brackets": state_that_is_deep,
    "a number for a state": state_that_is_a_number,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_an_error_of_every_command_and_moved_aside_by_the_hint(
    host: Host, name: str
) -> None:
    DAMAGE[name](host)
    ended = host.each_ends()
    assert ended["sync"] in (7, 0)
    assert ended["sync"] == ended["foretold"] == ended["init-snapshot"]
    if ended["sync"] == 7:
        host.run("sync", "-q")
        assert "is damaged: " in host.printed or "state that cannot be read" in host.printed
        assert "load the content again: mkdir -p " in host.printed
        assert ended["check"] in (2, 3)


def test_a_context_that_is_no_text_any_more_is_damage(host: Host) -> None:
    host.sql("UPDATE consumers SET context = CAST(x'ff' AS TEXT)")
    ended = host.each_ends("status", "sync", "doctor")
    assert ended["status"] == 7


def test_a_lock_whose_text_cannot_be_read_locks_all_the_same(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EIO, as of a disk that dies; no file system here can be made to answer so."""
    import errno
    import fcntl
    import os

    path = lock_beside(host.database, Consumer())
    read = os.pread

    def dying(file: int, size: int, at: int) -> bytes:
        if os.fstat(file).st_ino == path.stat().st_ino:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(file, size, at)

    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        monkeypatch.setattr(os, "pread", dying)
        assert host.run("sync") == 4
        assert f"another pass is running (it holds {path})" in host.printed
        assert host.run("status") == 0
        assert host.run("doctor") == 2
    assert host.run("sync", "-q") == 7
    assert "Input/output error" in host.printed
