"""SQLite only: files that cannot be used, each with what an operator is told; what was stored stays."""

import os
import re
import resource
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ctisync.core.model import Consumer, ConsumerInfo
from ctisync.core.state import ConsumerState
from ctisync.errors import ConfigurationError, StoreUnavailable
from ctisync.ports import Store
from ctisync.stores.sqlite.connection import open_writable, translate_errors
from ctisync.stores.sqlite.schema import MIGRATIONS
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from tests.contract import passes
from tests.contract.passes import lines
from tests.contract.test_history import report
from tests.support.records import long_record, made_up, read, record
from tests.support.schema_versions import create_with, read_with

CONSUMER = Consumer()
A, B = record("CVE-1", 1), record("CVE-2", 2)


def look(store: Store) -> None:
    store.read_state(CONSUMER)


def count(store: Store) -> None:
    store.summary(CONSUMER)


def export(store: Store) -> None:
    list(store.export(CONSUMER))


def checked(store: Store) -> None:
    store.record_check(CONSUMER, ConsumerState().feed_answered(ConsumerInfo(None, None), passes.NOW))


def write(store: Store) -> None:
    with store.writer(CONSUMER):
        pass


READS = [look, count, export]
WRITES = [checked, write]
Call = Callable[[Store], None]


@pytest.fixture
def store(path: Path) -> Store:
    return SqliteStore(path, SystemClock(), patience=0)


def a_text(path: Path) -> None:
    path.write_text("nothing that SQLite wrote\n" * 100)


def another_programs(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (value)")


def an_empty_one_of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA application_id = 77")


def one_that_another_program_has_open(path: Path) -> sqlite3.Connection:
    other = sqlite3.connect(path)
    other.execute("PRAGMA journal_mode = WAL")
    other.execute("CREATE TABLE theirs (value)")
    return other


def files(folder: Path) -> dict[str, bytes]:
    """Everything but the index that SQLite keeps in memory that readers and writers share."""
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.suffix != ".db-shm"}


@pytest.mark.parametrize("call", [*READS, *WRITES])
@pytest.mark.parametrize(
    "foreign",
    [a_text, another_programs, an_empty_one_of_another_program, one_that_another_program_has_open],
)
def test_another_programs_file_is_refused_and_not_touched(
    store: Store, path: Path, foreign: Callable[[Path], sqlite3.Connection | None], call: Call
) -> None:
    other = foreign(path)
    before = files(path.parent)
    with pytest.raises(ConfigurationError, match=str(path)) as raised:
        call(store)

    assert raised.value.hint is not None
    assert "store.url" in raised.value.hint
    assert before == {
        each.name: each.read_bytes() for each in path.parent.iterdir() if each.suffix != ".db-shm"
    }
    if other is not None:
        other.close()


@pytest.mark.parametrize("call", [*READS, *WRITES])
def test_a_newer_ctisyncs_file_is_refused_and_not_touched(store: Store, path: Path, call: Call) -> None:
    passes.initialise(store, CONSUMER, [A], 10)
    newest = len(MIGRATIONS)
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA user_version = {newest + 1}")
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=f"version {newest + 1}; .* up to {newest}$") as raised:
        call(store)

    assert raised.value.hint is not None
    assert path.read_bytes() == before


def test_an_empty_file_counts_as_a_new_one(store: Store, path: Path) -> None:
    """What a process leaves that was killed while it made the file."""
    path.touch()
    assert store.read_state(CONSUMER) == ConsumerState()
    passes.initialise(store, CONSUMER, [A], 10)

    assert passes.contents(store, CONSUMER) == lines(A)


ADD_A_COLUMN = ("ALTER TABLE records ADD COLUMN added TEXT NOT NULL DEFAULT 'new'",)


def test_an_older_schema_is_brought_up_to_date_once_and_keeps_everything(store: Store, path: Path) -> None:
    passes.initialise(store, CONSUMER, [A, B], 10)
    before = store.read_state(CONSUMER)
    newer = (*MIGRATIONS, ADD_A_COLUMN)
    for _ in range(2):
        create_with(path, *newer)

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(newer),)
        assert connection.execute("SELECT name, added FROM records").fetchall() == [
            ("CVE-1", "new"),
            ("CVE-2", "new"),
        ]
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")  # the added column hurts nobody
    assert store.read_state(CONSUMER) == before
    assert passes.contents(store, CONSUMER) == lines(A, B)


def test_whoever_looks_first_with_a_newer_ctisync_brings_the_schema_up_to_date(
    store: Store, path: Path
) -> None:
    """A pass looks before it writes."""
    passes.initialise(store, CONSUMER, [A], 10)
    with read_with(path, *MIGRATIONS, ADD_A_COLUMN) as connection:
        assert connection is not None
        assert connection.execute("SELECT added FROM records").fetchall() == [(b"new",)]


def test_a_migration_that_fails_halfway_leaves_the_old_schema(store: Store, path: Path) -> None:
    passes.initialise(store, CONSUMER, [A], 10)
    broken = (*MIGRATIONS, ("DELETE FROM records", "SELECT 1 FROM nowhere"))
    with pytest.raises(StoreUnavailable, match="nowhere"):
        create_with(path, *broken)

    assert passes.contents(store, CONSUMER) == lines(A)


@pytest.mark.parametrize("call", WRITES)
def test_a_missing_folder_is_named_with_the_command_that_makes_it(tmp_path: Path, call: Call) -> None:
    folder = tmp_path / "not there"
    store = SqliteStore(folder / "ctisync.db", SystemClock())
    look(store)
    with pytest.raises(ConfigurationError, match=r"not there.* does not exist") as raised:
        call(store)

    assert raised.value.hint == f"mkdir -p '{folder}'"
    assert not folder.exists()


def a_folder(path: Path) -> None:
    path.mkdir()


def a_link_to_nowhere(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere" / "ctisync.db")


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize("call", WRITES)
@pytest.mark.parametrize("obstacle", [a_folder, a_link_to_nowhere, a_link_to_itself])
def test_what_is_no_file_is_refused_by_name(
    store: Store, path: Path, obstacle: Callable[[Path], None], call: Call
) -> None:
    obstacle(path)
    with pytest.raises(ConfigurationError, match=str(path)):
        call(store)


def test_a_file_in_place_of_the_folder_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = SqliteStore(tmp_path / "file" / "ctisync.db", SystemClock())
    look(store)
    with pytest.raises(ConfigurationError, match=r"file/ctisync.db"):
        write(store)


@pytest.fixture
def forbidden() -> Iterator[Path]:
    """A folder for tests by somebody who is not root: root may do everything."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def ordinary_user() -> Iterator[Callable[[], None]]:
    """Become somebody whom permissions stop, until the test ends."""
    me = os.geteuid()
    yield lambda: os.seteuid(me or 65534)
    os.seteuid(me)


@pytest.mark.parametrize("call", WRITES)
def test_a_folder_without_permission_to_write_is_named(
    forbidden: Path, ordinary_user: Callable[[], None], call: Call
) -> None:
    folder = forbidden / "state"
    folder.mkdir(mode=0o555)
    ordinary_user()
    with pytest.raises(ConfigurationError, match=r"ctisync.db cannot be opened: Permission denied") as raised:
        call(SqliteStore(folder / "ctisync.db", SystemClock()))
    assert raised.value.hint == f"ls -ld {folder}"


@pytest.mark.parametrize("call", [*READS, *WRITES])
def test_a_folder_without_permission_to_enter_is_no_empty_store(
    forbidden: Path, ordinary_user: Callable[[], None], call: Call
) -> None:
    folder = forbidden / "state"
    folder.mkdir()
    store = SqliteStore(folder / "ctisync.db", SystemClock())
    passes.initialise(store, CONSUMER, [A], 10)
    folder.chmod(0)
    ordinary_user()
    with pytest.raises(ConfigurationError, match=r"ctisync.db cannot be opened: Permission denied"):
        call(store)


@pytest.mark.parametrize("call", [*READS, *WRITES])
def test_a_file_without_permission_to_read_is_named(
    forbidden: Path, ordinary_user: Callable[[], None], call: Call
) -> None:
    store = SqliteStore(forbidden / "ctisync.db", SystemClock())
    passes.initialise(store, CONSUMER, [A], 10)
    (forbidden / "ctisync.db").chmod(0)
    ordinary_user()
    with pytest.raises(ConfigurationError, match=r"ctisync.db cannot be opened"):
        call(store)


def test_a_file_that_may_only_be_read_is_an_error(forbidden: Path, ordinary_user: Callable[[], None]) -> None:
    store = SqliteStore(forbidden / "ctisync.db", SystemClock())
    passes.initialise(store, CONSUMER, [A], 10)
    forbidden.chmod(0o777)
    (forbidden / "ctisync.db").chmod(0o444)
    (forbidden / "ctisync.db.lock").unlink()
    ordinary_user()
    assert store.read_state(CONSUMER).offset == 10
    with pytest.raises(StoreUnavailable, match=r"ctisync.db cannot be read or written: .*readonly"):
        write(store)


def test_another_programs_lock_is_an_error_when_the_patience_has_run_out(store: Store, path: Path) -> None:
    passes.initialise(store, CONSUMER, [A], 10)
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match=f"{path} is locked") as raised:
            write(store)
        assert raised.value.transient
        assert passes.contents(store, CONSUMER) == lines(A)

    write(store)


@pytest.fixture
def little_room() -> Iterator[Callable[[int], None]]:
    """No file grows beyond so many bytes, until the test ends: a disk that is (nearly) full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_load_that_finds_no_room_leaves_the_old_content_and_room_for_the_next(
    path: Path, little_room: Callable[[int], None]
) -> None:
    store = SqliteStore(path, SystemClock(), compression="none")  # then the sizes are known
    passes.initialise(store, CONSUMER, [A], 10)
    before = store.read_state(CONSUMER)
    with store.writer(CONSUMER) as writer:
        little_room(path.stat().st_size + 500_000)
        with pytest.raises(StoreUnavailable, match=str(path)):
            passes.load(writer, CONSUMER, [long_record(f"CVE-{number}", 11) for number in range(4)], 20)
    assert store.read_state(CONSUMER) == before
    assert passes.contents(store, CONSUMER) == lines(A)

    passes.initialise(store, CONSUMER, made_up(10), 20)
    assert store.summary(CONSUMER).records == 10


def test_a_range_that_finds_no_room_is_neither_stored_nor_believed(
    path: Path, little_room: Callable[[int], None]
) -> None:
    store = SqliteStore(path, SystemClock(), compression="none")  # then the sizes are known
    with store.writer(CONSUMER) as writer:
        passes.load(writer, CONSUMER, [A], 10)
        before = writer.state
        little_room(path.stat().st_size + 200_000)
        with pytest.raises(StoreUnavailable, match=str(path)):
            passes.apply(writer, [long_record("CVE-1", 11, size=800_000)], to=20)
        assert writer.state == before
        assert read(writer, ["CVE-1"]) == {"CVE-1": A}

    assert store.read_state(CONSUMER) == before


def test_a_full_disk_is_called_that(path: Path) -> None:
    with closing(open_writable(path)) as file:
        file.connection.execute("PRAGMA max_page_count = 20")
        with pytest.raises(StoreUnavailable, match="cannot grow: the disk is full"), translate_errors(path):
            file.connection.execute("CREATE TABLE big AS SELECT zeroblob(1000000)")


def test_damage_is_an_error_also_in_the_middle_of_an_export(path: Path) -> None:
    store = SqliteStore(path, SystemClock(), compression="none")
    passes.initialise(store, CONSUMER, [long_record(f"CVE-{number}", 1) for number in range(9)], 10)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 600_000)
    with pytest.raises(StoreUnavailable, match=f"{path} is damaged") as raised:
        export(store)

    assert raised.value.hint is not None
    assert "load the content again: mkdir -p" in raised.value.hint


@pytest.mark.parametrize("call", [look, write])
@pytest.mark.parametrize(
    "state",
    [
        b"{",
        b'{"offset": "many"}',
        b'{"last_snapshot_link": "\xff"}',
        b'{"more": ' + b"[" * 2000,
        b'{"cooldown": {"until": "2026-03-01T12:00:00", "reason": ""}}',
    ],
    ids=["torn", "no number", "no text", "without a bottom", "a time of no zone"],
)
def test_a_state_that_cannot_be_read_never_counts_as_an_empty_one(
    store: Store, path: Path, state: bytes, call: Call
) -> None:
    passes.initialise(store, CONSUMER, [A], 10)
    with closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE consumers SET state = CAST(? AS TEXT)", (state,))
        other.commit()
    with pytest.raises(StoreUnavailable, match=f"{path} is damaged: the state of {CONSUMER} cannot be read"):
        call(store)


@pytest.mark.parametrize(
    "damage",
    [
        b"{",
        b'{"why": "\xff"}',
        b'{"more": ' + b"[" * 2000,
        b'"2026-03-01T12:00:00"',
        b"1e300",
    ],
    ids=["torn", "no text", "without a bottom", "a time of no zone", "a pass without end"],
)
def test_a_stored_report_that_cannot_be_read_is_an_error(store: Store, path: Path, damage: bytes) -> None:
    write(store)
    store.remember(report(CONSUMER, 1), 10, within=1.0)
    with closing(sqlite3.connect(path)) as other:
        ((account,),) = other.execute("SELECT CAST(account AS BLOB) FROM passes").fetchall()
        values = {b'"': rb'(?<="began_at":)"[^"]*"', b"1": rb'(?<="seconds":)[0-9.]+'}
        place = values.get(damage[:1])
        worse = damage if place is None else re.sub(place, damage, account)
        other.execute("UPDATE passes SET account = CAST(? AS TEXT)", (worse,))
        other.commit()
    with pytest.raises(StoreUnavailable, match=f"the history of {CONSUMER} cannot be read"):
        list(store.passes(CONSUMER, 10))


def test_tables_that_somebody_removed_are_an_error(store: Store, path: Path) -> None:
    passes.initialise(store, CONSUMER, [A], 10)
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE records")
    with pytest.raises(StoreUnavailable, match=f"{path} is damaged: no such table"):
        count(store)
