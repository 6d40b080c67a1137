"""SQLite only: the file, and the tables that people look into."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ctisync.core.model import Consumer, Record
from ctisync.core.state import ConsumerState
from ctisync.ports import Store
from ctisync.stores.sqlite.connection import PAGE_SIZE, open_writable, reading
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from tests.contract import passes
from tests.contract.passes import lines
from tests.support.records import awkward, read, record

CONSUMER = Consumer()
A, B = record("CVE-1", 1, {"score": 1}), record("CVE-2", 2)


@pytest.fixture
def store(path: Path) -> Store:
    return SqliteStore(path, SystemClock(), patience=0)


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    """What somebody with the sqlite3 shell finds."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def test_looking_where_nothing_is_creates_nothing(store: Store, tmp_path: Path) -> None:
    assert store.read_state(CONSUMER) == ConsumerState()
    assert store.summary(CONSUMER).records is None
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_the_users_alone_whatever_the_umask(store: Store, path: Path) -> None:
    before = os.umask(0)
    try:
        with store.writer(CONSUMER):
            assert {each.stat().st_mode & 0o777 for each in path.parent.iterdir()} == {0o600}
    finally:
        os.umask(before)


def test_in_a_set_group_id_folder_the_group_can_read_the_database(store: Store, path: Path) -> None:
    path.parent.chmod(0o2750)
    before = os.umask(0o027)
    try:
        with store.writer(CONSUMER):
            modes = {
                each.name.removeprefix(path.name): each.stat().st_mode & 0o777
                for each in path.parent.iterdir()
            }
    finally:
        os.umask(before)
    assert modes.items() >= {"": 0o640, "-wal": 0o640, "-shm": 0o640}.items()
    assert modes[".lock"] == 0o600, "a reader that could lock it could stop passes"


def test_after_a_pass_the_database_is_one_file(store: Store, path: Path) -> None:
    """So that it can be copied as it is."""
    passes.initialise(store, CONSUMER, [A, B], 10)

    assert [each for each in path.parent.iterdir() if each.suffix != ".lock"] == [path]


def test_the_file_is_set_up_so_that_a_commit_is_on_the_disk_before_it_returns(path: Path) -> None:
    with closing(open_writable(path)) as file:
        connection = file.connection
        assert connection.execute("PRAGMA journal_mode").fetchone() == (b"wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA page_size").fetchone() == (PAGE_SIZE,)


@pytest.mark.parametrize(
    "name", ["a b.db", "a?mode=memory.db", "a#b.db", "a%41.db", "日本.db", os.fsdecode(b"\xff.db")]
)
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    store = SqliteStore(tmp_path / name, SystemClock())
    passes.initialise(store, CONSUMER, [A], 10)

    assert {each.name for each in tmp_path.iterdir()} == {name, f"{name}.lock"}
    assert passes.contents(store, CONSUMER) == lines(A)


def test_a_relative_path_is_that_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = SqliteStore(Path("content.db"), SystemClock())
    passes.initialise(store, CONSUMER, [A], 10)

    assert (tmp_path / "content.db").exists()
    assert store.name == "sqlite:///content.db"
    assert SqliteStore(Path("/var/x.db"), SystemClock()).name == "sqlite:////var/x.db"


def test_people_find_the_content_and_the_state_with_nothing_but_sql_when_it_is_stored_as_text(
    path: Path,
) -> None:
    store = SqliteStore(path, SystemClock(), compression="none")
    passes.initialise(store, CONSUMER, [A, *awkward()], 10)
    passes.initialise(store, CONSUMER, [A, B], 20)

    content = query(
        path, "SELECT context, consumer, name, offset, json_extract(line, '$.payload.score') FROM content"
    )
    state = query(
        path, "SELECT consumer, offset, snapshot_offset, owed_offset, updated_at FROM consumer_state"
    )
    assert content == [
        ("vd_1.0.0", "vd_4.8.0", "CVE-1", 1, 1),
        ("vd_1.0.0", "vd_4.8.0", "CVE-2", 2, None),
    ]
    assert state == [("vd_4.8.0", 20, 20, 20, "2026-03-01T12:30:15.123456Z")]


def test_a_line_that_is_stored_as_text_has_its_very_bytes(path: Path) -> None:
    records = awkward()
    passes.initialise(SqliteStore(path, SystemClock(), compression="none"), CONSUMER, records, 10)

    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        rows = connection.execute("SELECT typeof(line), line FROM content ORDER BY offset").fetchall()
    assert rows == [(b"text", each.line) for each in records]


def test_a_reader_sees_one_moment_from_its_first_look_to_its_last(store: Store, path: Path) -> None:
    passes.initialise(store, CONSUMER, [A], 10)
    with reading(path) as connection:
        assert connection is not None
        passes.initialise(store, CONSUMER, [A, B], 20)
        rows = connection.execute("SELECT offset FROM consumer_state").fetchall()
        assert (rows, connection.execute("SELECT count(*) FROM content").fetchall()) == ([(10,)], [(1,)])


def test_a_range_that_fails_halfway_is_not_there_at_all(store: Store) -> None:
    unstorable = Record("CVE-\ud800", 12, b"{}")
    with store.writer(CONSUMER) as writer:
        passes.load(writer, CONSUMER, [A], 10)
        before = writer.state
        with pytest.raises(UnicodeEncodeError):
            writer.apply([record("CVE-1", 11), unstorable], before.advanced(20, passes.NOW))
        assert writer.state == before
        assert read(writer, ["CVE-1"]) == {"CVE-1": A}

    assert store.read_state(CONSUMER) == before
