"""SQLite only: a load goes into the file in pieces, of which nothing is left unless it is published."""

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ctisync.core.model import Consumer, Record
from ctisync.errors import StoreUnavailable
from ctisync.ports import Load, Store
from ctisync.stores.sqlite import writer as sqlite_writer
from ctisync.stores.sqlite.compression import RecordRow
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from tests.contract import passes
from tests.contract.passes import lines
from tests.support.records import long_record, made_up, record

CONSUMER = Consumer()
A, B = record("CVE-1", 1, {"score": 1}), record("CVE-2", 2)


@pytest.fixture(params=["zstd", "none"])
def store(path: Path, request: pytest.FixtureRequest) -> Store:
    return SqliteStore(path, SystemClock(), patience=0, compression=request.param)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call of `add` writes what the one before it added: a small content goes in as a large one does."""
    monkeypatch.setattr(sqlite_writer, "PACKED_AT_ONCE", 1)
    monkeypatch.setattr(sqlite_writer, "WRITTEN_AT_ONCE", 1)


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def add_each(load: Load, records: list[Record]) -> None:
    for each in records:
        load.add([each])


@pytest.mark.parametrize("number", [1, 2, 3, 4, 6, 7])
def test_nothing_is_left_of_a_replaced_content(
    store: Store, path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "DROPPED_AT_ONCE", 3)
    many = [record(f"CVE-{number}", 1) for number in range(number)]
    passes.initialise(store, CONSUMER, many, 10)
    passes.initialise(store, CONSUMER, [A], 20)

    assert query(path, "SELECT count(*) FROM records") == [(1,)]
    assert query(path, "SELECT snapshot_offset FROM generations") == [(20,)]


@pytest.mark.usefixtures("small_pieces")
def test_nothing_is_left_of_a_load_that_failed(store: Store, path: Path) -> None:
    with store.writer(CONSUMER) as writer:
        passes.load(writer, CONSUMER, [A], 10)
        with writer.load(passes.snapshot(20)) as load:
            add_each(load, made_up(100))
            assert query(path, "SELECT count(*) FROM records") == [(100,)]  # the last one is being packed
        assert query(path, "SELECT count(*) FROM records") == [(1,)]
        assert query(path, "SELECT snapshot_offset FROM generations") == [(10,)]


KILLED_WHILE_LOADING = """
import os, signal, sys
from pathlib import Path
from ctisync.system.clock import SystemClock
from ctisync.core.model import Consumer
from ctisync.stores.sqlite import writer as sqlite_writer
from ctisync.stores.sqlite.compression import RecordRow
from ctisync.stores.sqlite.store import SqliteStore
from tests.contract.passes import snapshot
from tests.support.records import made_up

sqlite_writer.PACKED_AT_ONCE = sqlite_writer.WRITTEN_AT_ONCE = 1
with SqliteStore(Path(sys.argv[1]), SystemClock()).writer(Consumer()) as writer:
    with writer.load(snapshot(20)) as load:
        load.add(made_up(100))
        load.add(made_up(1, first_offset=200))
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("live", [[], [A]], ids=["first-load", "later-load"])
def test_nothing_is_left_of_a_load_whose_process_was_really_killed(
    store: Store, path: Path, live: list[Record]
) -> None:
    if live:
        passes.initialise(store, CONSUMER, live, 10)
    before = store.read_state(CONSUMER)
    root = Path(__file__).parents[2]
    child = subprocess.run([sys.executable, "-c", KILLED_WHILE_LOADING, path], cwd=root, check=False)
    assert child.returncode == -signal.SIGKILL
    assert query(path, "SELECT count(*) FROM records") == [(100 + len(live),)]
    assert query(path, "SELECT name FROM content") == [(each.name,) for each in live]

    with store.writer(CONSUMER) as writer:
        assert writer.state == before
    assert query(path, "SELECT count(*) FROM records") == [(len(live),)]
    assert query(path, "SELECT count(*) FROM generations") == [(len(live),)]


@pytest.mark.usefixtures("small_pieces")
def test_a_new_content_that_lost_records_does_not_go_live(store: Store, path: Path) -> None:
    with store.writer(CONSUMER) as writer:
        passes.load(writer, CONSUMER, [A], 10)
        with writer.load(passes.snapshot(20)) as load:
            add_each(load, made_up(5))
            with closing(sqlite3.connect(path)) as other:
                other.execute("DELETE FROM records WHERE id = (SELECT max(id) FROM records)")
                other.commit()
            with pytest.raises(StoreUnavailable, match=r"holds 4 .* after 5 were written"):
                load.publish(passes.loaded(writer, CONSUMER, 20))

    assert passes.contents(store, CONSUMER) == lines(A)


@pytest.mark.usefixtures("small_pieces")
def test_of_two_lines_with_one_name_in_different_pieces_the_higher_offset_stays(store: Store) -> None:
    versions = [record("CVE-1", offset, {"number": number}) for number, offset in enumerate([3, 5, 4, 5])]
    with store.writer(CONSUMER) as writer, writer.load(passes.snapshot(20)) as load:
        add_each(load, [*versions, B])
        assert load.publish(passes.loaded(writer, CONSUMER, 20)) == 2

    assert passes.contents(store, CONSUMER) == lines(versions[1], B)


@pytest.mark.usefixtures("small_pieces")
def test_what_cannot_be_written_ends_the_load_by_its_publishing_at_the_latest(
    store: Store, path: Path
) -> None:
    """Another program writes just then, and nobody waits for it."""
    passes.initialise(store, CONSUMER, [A], 10)
    with store.writer(CONSUMER) as writer:
        with writer.load(passes.snapshot(20)) as load, closing(sqlite3.connect(path)) as other:
            load.add([B])
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="is locked"):
                load.publish(passes.loaded(writer, CONSUMER, 20))
        assert writer.state.offset == 10

    assert passes.contents(store, CONSUMER) == lines(A)


def test_the_log_does_not_grow_with_the_load(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored as text, since then the bytes are known: 60 MB, of which the log holds half at the most."""
    store = SqliteStore(path, SystemClock(), compression="none")
    log = path.with_name("ctisync.db-wal")
    highest = 0
    with store.writer(CONSUMER) as writer, writer.load(passes.snapshot(20)) as load:
        for number in range(60):
            load.add([long_record(f"CVE-{number}", 11, size=1_000_000)])
            highest = max(highest, log.stat().st_size)
        load.publish(passes.loaded(writer, CONSUMER, 20))

    assert 8_000_000 < highest < 45_000_000


def test_a_load_that_packs_well_takes_no_time_for_the_rows_that_wait_to_be_written(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their bytes are counted once each, however many pieces come before they are enough to be written."""
    counts = dict.fromkeys((each.name for each in made_up(50)), 0)
    really = RecordRow.size.fget  # type: ignore[attr-defined]

    def size(row: RecordRow) -> int:
        counts[row.name] += 1
        return int(really(row))

    monkeypatch.setattr(RecordRow, "size", property(size))
    monkeypatch.setattr(sqlite_writer, "PACKED_AT_ONCE", 1)
    with store.writer(CONSUMER) as writer, writer.load(passes.snapshot(20)) as load:
        add_each(load, made_up(50))
        assert load.publish(passes.loaded(writer, CONSUMER, 20)) == 50

    assert set(counts.values()) == {1}
