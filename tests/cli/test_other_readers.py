"""A user who may only read a SQLite store: the reading commands work, or say what the owner has to type."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from ctisync.cli import main
from ctisync.core.model import Consumer, Snapshot
from ctisync.stores.sqlite import file as sqlite_file
from ctisync.stores.sqlite import tables
from ctisync.stores.sqlite.schema import MIGRATIONS
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from ctisync.system.locks import host_lock, lock_beside
from tests.contract import passes
from tests.support.feed_history import populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.records import made_up

RECORDS: Final = made_up(30)
READS: Final = {
    "status": ["status"],
    "json": ["status", "--json"],
    "check": ["status", "--check"],
    "export": ["export", "-q"],
    "show": ["show", RECORDS[0].name],
    "verify": ["verify", "-q", "--deep"],
    "history": ["history"],
    "log": ["log"],
    "dry-run": ["update", "--dry-run"],
}
NOBODY: Final = 65534
BEGAN: Final = datetime(2026, 3, 1, tzinfo=UTC)


class Ended(NamedTuple):
    code: int
    out: str
    err: str


class Reader:
    """`run` a command as a user who has no part in the folder; or as its owner, where we are not root."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.database = folder / "ctisync.db"
        self._capture = capture

    def run(self, *arguments: str) -> Ended:
        self._capture.readouterr()
        with as_nobody():
            code = main(arguments)
        return Ended(code, *self._capture.readouterr())

    @property
    def folder(self) -> Path:
        return self.database.parent

    def beside(self, end: str) -> Path:
        return self.database.with_name(self.database.name + end)


@contextmanager
def as_nobody() -> Iterator[None]:
    me, group, groups = os.geteuid(), os.getegid(), os.getgroups()
    if me == 0:
        os.setgroups([])
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if me == 0:
            os.seteuid(me)
            os.setegid(group)
            os.setgroups(groups)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Reader]:
    """Of a content in a folder that all may enter, as a pass has left it that has ended."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "store"
        folder.mkdir()
        Path(name).chmod(0o755)
        made = Reader(folder, capfd)
        passes.initialise(SqliteStore(made.database, SystemClock()), Consumer(), RECORDS, 50)
        made.database.chmod(0o644)
        for variable in [each for each in os.environ if each.startswith(("CTISYNC", "XDG"))]:
            monkeypatch.delenv(variable)
        monkeypatch.setenv("HOME", f"{name}-is-no-home")
        monkeypatch.setenv("CTISYNC_STORE__URL", f"sqlite:///{made.database}")
        monkeypatch.setenv("CTISYNC_CTI__URL", "http://127.0.0.1:9")
        monkeypatch.setenv("CTISYNC_CTI__RETRY_BUDGET", "0.1")
        for words in READS.values():  # what they import may lie where no other user may read
            main(words)
        for end in ("-wal", "-shm"):
            made.beside(end).unlink(missing_ok=True)
        folder.chmod(0o555 if os.geteuid() else 0o755)
        yield made
        folder.chmod(0o755)


WRITER: Final = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA wal_autocheckpoint = 0")
connection.execute("UPDATE consumers SET writer = 'somebody'")
print("written", flush=True)
sys.stdin.read()
"""


@contextmanager
def writing(reader: Reader) -> Iterator["subprocess.Popen[str]"]:
    """A pass of the owner is at work: there is a log, and its index, with the mode of the file."""
    reader.folder.chmod(0o755)
    command = [sys.executable, "-c", WRITER, str(reader.database)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, umask=0o077
    ) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "written\n"
        reader.folder.chmod(0o555 if os.geteuid() else 0o755)
        try:
            yield started
        finally:
            started.kill()


def assert_all_read(reader: Reader) -> None:
    for name, words in READS.items():
        ended = reader.run(*words)
        if name == "dry-run":  # the store was read; then the feed is away
            assert "127.0.0.1:9" in ended.err
            continue
        assert (ended.code if name != "check" else 0, ended.err) == (0, ""), name
        if name == "json":
            assert json.loads(ended.out)["consumers"][0]["records"] == len(RECORDS)
        if name == "export":
            assert len(ended.out.splitlines()) == len(RECORDS)


def test_after_a_pass_everything_is_read_and_nothing_is_written(reader: Reader) -> None:
    before = sorted(each.name for each in reader.folder.iterdir())
    assert_all_read(reader)
    assert sorted(each.name for each in reader.folder.iterdir()) == before


def test_while_a_pass_writes_everything_is_read(reader: Reader) -> None:
    with writing(reader):
        assert reader.beside("-wal").stat().st_size
        assert_all_read(reader)


def test_after_a_pass_was_killed_everything_is_read_what_is_in_its_log_too(reader: Reader) -> None:
    with writing(reader) as writer:
        writer.kill()
        writer.wait()
        assert reader.beside("-wal").stat().st_size
        assert_all_read(reader)


def closed_folder(reader: Reader) -> list[Path]:
    reader.folder.chmod(0o700)
    return [reader.folder]


def closed_folder_and_file(reader: Reader) -> list[Path]:
    reader.database.chmod(0o600)
    reader.folder.chmod(0o700)
    return [reader.folder, reader.database]


def closed_file(reader: Reader) -> list[Path]:
    reader.database.chmod(0o600)
    return [reader.database]


def closed_above(reader: Reader) -> list[Path]:
    reader.folder.parent.chmod(0o700)
    return [reader.folder.parent]


def closed_behind_a_link(reader: Reader) -> list[Path]:
    real = reader.folder.with_name("real")
    real.mkdir()
    reader.folder.rename(real / "store")
    reader.folder.symlink_to(real / "store")
    real.chmod(0o700)
    return [real]


def closed_for_its_group(reader: Reader) -> list[Path]:
    """To which this reader belongs, so that what others may do does not count."""
    os.chown(reader.database, -1, NOBODY)
    reader.database.chmod(0o604)
    return [reader.database]


CLOSED: Final = [
    closed_folder,
    closed_folder_and_file,
    closed_file,
    closed_above,
    closed_behind_a_link,
    closed_for_its_group,
]


@pytest.fixture
def typed(reader: Reader) -> Callable[[str], None]:
    """Does what a hint says, as the owner."""

    def run(hint: str) -> None:
        command = hint.partition("as its owner: ")[2].strip()
        assert command.startswith("chmod "), hint
        subprocess.run(command, shell=True, check=True)  # noqa: S602  # what a person types

    return run


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("words", [READS["status"], READS["export"], READS["show"], READS["verify"]])
@pytest.mark.parametrize("close", CLOSED)
def test_the_hint_names_what_the_owner_has_to_open_and_then_all_is_read(
    reader: Reader, typed: Callable[[str], None], close: Callable[[Reader], list[Path]], words: list[str]
) -> None:
    closed = close(reader)
    ended = reader.run(*words)
    assert ended.code == 3
    first, second = ended.err.splitlines()
    assert first.startswith(f"ctisync: {reader.database} cannot be opened")

    assert all(str(each) in second for each in closed)

    typed(second)

    assert_all_read(reader)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_folder_that_systemd_keeps_for_itself_is_not_to_be_opened(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be closed again by the next start of the unit."""
    monkeypatch.setattr(sqlite_file, "OF_SYSTEMD", reader.folder.parent)
    reader.folder.parent.chmod(0o700)
    ended = reader.run("status")
    assert ended.code == 3
    assert "run this as root: only root may enter" in ended.err
    assert "chmod" not in ended.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("close", [lambda _: [], closed_for_its_group], ids=["open", "of another group"])
@pytest.mark.parametrize("end", ["-wal", "-shm"])
def test_the_hint_names_what_lies_beside_the_file_too(
    reader: Reader, typed: Callable[[str], None], close: Callable[[Reader], list[Path]], end: str
) -> None:
    """The owner has opened the file, but not what SQLite had made beside it before; or neither."""
    with writing(reader):
        close(reader)
        reader.beside(end).chmod(0o600)
        ended = reader.run("status")
        assert ended.code == 3
        assert str(reader.beside(end)) in ended.err
        typed(ended.err.splitlines()[1])
        assert_all_read(reader)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_log_without_its_index_is_for_the_owner_to_open(reader: Reader) -> None:
    """As a backup brings it back. Without the log, what is read could be anything."""
    with writing(reader):
        kept = reader.beside("-wal").read_bytes()
    for each in ("-wal", "-shm"):
        reader.beside(each).unlink(missing_ok=True)
    reader.beside("-wal").write_bytes(kept)
    reader.beside("-wal").chmod(0o644)

    ended = reader.run("status")

    assert ended.code == 3
    assert str(reader.beside("-wal")) in ended.err
    assert "as its owner: ctisync status" in ended.err
    assert main(["status"]) == 0
    assert_all_read(reader)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_file_of_an_older_ctisync_is_for_the_owner_to_take_over(reader: Reader) -> None:
    with closing(sqlite3.connect(reader.database)) as connection:
        connection.execute("DROP VIEW history")
        connection.execute("DROP TABLE passes")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) - 1}")
    ended = reader.run("status")
    assert ended.code == 3
    assert "an older ctisync" in ended.err
    assert "as its owner: ctisync status" in ended.err
    assert main(["status"]) == 0
    assert_all_read(reader)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_what_is_written_over_while_it_is_read_is_no_content(reader: Reader) -> None:
    """Without a log of its own to hold on to, a reader sees what a pass moves into the file."""
    store = SqliteStore(reader.database, SystemClock())
    with as_nobody():
        lines = store.export(Consumer())
        next(lines)
    passes.initialise(SqliteStore(reader.database, SystemClock()), Consumer(), made_up(40), 60)
    with as_nobody(), pytest.raises(Exception, match="a pass started and wrote to") as raised:
        list(lines)
    assert raised.value.exit_code == 7  # type: ignore[attr-defined]
    assert_all_read_count(reader, 40)


def assert_all_read_count(reader: Reader, count: int) -> None:
    assert len(reader.run(*READS["export"]).out.splitlines()) == count


def test_a_log_that_holds_something_is_read_by_who_is_to_leave_no_file(tmp_path: Path) -> None:
    """A dry run, or a doctor, that left it out would see a state of before."""
    path, copy = tmp_path / "ctisync.db", tmp_path / "copy.db"
    store = SqliteStore(path, SystemClock())
    passes.initialise(store, Consumer(), RECORDS, 50)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("UPDATE consumers SET state = json_set(state, '$.offset', 77)")
        for end in ("", "-wal"):
            shutil.copy(f"{path}{end}", f"{copy}{end}")
    assert SqliteStore(copy, SystemClock(), read_only=True).read_state(Consumer()).offset == 77


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_lock_file_that_may_not_be_read_is_no_pass_at_work(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass leaves it, for its user alone: that nothing is known of a pass is not that there is one."""
    lock_beside(reader.database, Consumer()).touch(mode=0o600)
    with FeedSimulator() as feed:
        populate(feed.history, 3)
        monkeypatch.setenv("CTISYNC_CTI__URL", feed.url)
        planned = reader.run("update", "--dry-run")
    assert planned.code == 0
    assert "works" not in planned.out
    ended = reader.run("forget", "--consumer", "vd_4.8.0", "--yes")
    assert ended.code == 7
    assert "another pass" not in ended.err
    [one] = json.loads(reader.run("status", "--json").out)["consumers"]
    assert one["at_work"] is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_lock_file_that_may_not_be_read_is_named(reader: Reader) -> None:
    """Whether a pass is at work is then not known, and what it would explain is no difference."""
    lock = lock_beside(reader.database, Consumer())
    lock.touch(mode=0o600)
    with closing(sqlite3.connect(reader.database)) as connection, connection:
        tables.add_generation(connection, 1, Snapshot(link="https://a.example/1.zip", offset=1), BEGAN)
    audited = reader.run("verify")
    assert audited.code == 0, audited.out
    assert f"{lock}: it cannot be read (Permission denied)" in audited.out
    assert "pass of another user" not in audited.out
    assert "writer-at-work" not in audited.out
    examined = reader.run("doctor")
    assert f"a pass cannot use {lock}: it belongs to another user (0)" in examined.out
    assert "held by" not in examined.out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_load_whose_lock_file_may_not_be_read_is_at_work_as_the_store_says(reader: Reader) -> None:
    store = SqliteStore(reader.database, SystemClock())
    with (
        host_lock(lock_beside(reader.database, Consumer()), SystemClock(), "ctisync sync"),
        store.writer(Consumer()) as writer,
        writer.load(Snapshot(link="https://a.example/9.zip", offset=90)) as load,
    ):
        load.add(made_up(5))
        [one] = json.loads(reader.run("status", "--json").out)["consumers"]
    assert one["at_work"] is not None
    assert one["at_work"]["who"] is None
