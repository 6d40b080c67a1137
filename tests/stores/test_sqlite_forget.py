"""SQLite only: a consumer that is forgotten gives its room back, and a kill leaves no half of its content."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import takewhile
from pathlib import Path
from typing import Any, cast

import pytest

from ctisync.core.model import Consumer, Footprint
from ctisync.core.state import ConsumerState
from ctisync.ports import Store
from ctisync.stores.sqlite import connection as sqlite_file
from ctisync.stores.sqlite import writer as sqlite_writer
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from tests.contract import passes
from tests.contract.test_history import WITHIN, report
from tests.support.faults import Effect, Effects, Killed
from tests.support.faults_sql import CLOSE, connecting
from tests.support.figures import figure
from tests.support.records import made_up

FORGOTTEN, OTHER = Consumer(name="old"), Consumer(name="other", index="wazuh-cve-2")
RECORDS = made_up(40)


class Mortal:
    """Dies before the `statements`-th statement; from then on none is run."""

    def __init__(self, statements: int) -> None:
        self.left = statements

    def around(self, effect: Effect, do: Callable[[], Any], spoil: object) -> Any:
        if effect.name == CLOSE:  # the kernel does as much
            return do()
        if self.left == 0:
            raise Killed
        self.left -= 1
        return do()


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A file with two consumers, of which the first has a history, too."""
    path = tmp_path / "start.db"
    store = SqliteStore(path, SystemClock())
    for each in (FORGOTTEN, OTHER):
        passes.initialise(store, each, RECORDS, 50)
        store.remember(report(each, 1), 10, WITHIN)
    return path


@pytest.fixture
def killed_in(tmp_path: Path, start: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Store | None]:
    """Copies of the file in which `forget` died before its n-th statement; None when it has fewer."""
    monkeypatch.setattr(sqlite_writer, "DROPPED_AT_ONCE", 7)
    path = tmp_path / "ctisync.db"
    connect = sqlite3.connect

    def forget(statements: int) -> Store | None:
        shutil.copy(start, path)
        for end in ("-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        mortal = Mortal(statements)
        with monkeypatch.context() as patched:
            patched.setattr(sqlite3, "connect", connecting(connect, cast(Effects, mortal)))
            with suppress(Killed):
                SqliteStore(path, SystemClock()).forget(FORGOTTEN)
                if mortal.left:
                    return None
        return SqliteStore(path, SystemClock())

    return forget


def test_killed_before_any_statement_no_half_of_a_content_counts_as_whole(
    killed_in: Callable[[int], Store | None],
) -> None:
    lines = sorted(record.line for record in RECORDS)
    points = whole = 0
    while (store := killed_in(points)) is not None:
        points += 1
        state = store.read_state(FORGOTTEN)
        if store.summary(FORGOTTEN).records is None:
            assert state == ConsumerState()
        else:
            whole += 1
            assert state.offset == 50
            assert sorted(store.export(FORGOTTEN)) == lines

        store.forget(FORGOTTEN)

        assert store.footprint(FORGOTTEN) == Footprint()
        assert sorted(store.export(OTHER)) == lines
    assert points > whole > 0
    figure(
        f"T1 forget, SQLite: killed before each of {points} statements, {whole} of them with the old "
        "content: no half of one, and the next call has finished it"
    )


def test_killed_before_any_statement_the_next_pass_begins_anew(
    killed_in: Callable[[int], Store | None],
) -> None:
    points = 0
    while (store := killed_in(points)) is not None:
        points += 1
        passes.initialise(store, FORGOTTEN, RECORDS[:3], 60)
        assert store.read_state(FORGOTTEN).offset == 60
        assert len(passes.contents(store, FORGOTTEN)) == 3
    assert points
    figure(f"T1 forget, SQLite: killed before each of {points} statements: the next pass has begun anew")


def test_the_room_goes_back_to_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "ctisync.db"
    store = SqliteStore(path, SystemClock(), compression="none")
    passes.initialise(store, FORGOTTEN, made_up(5_000), 30_000)
    passes.initialise(store, OTHER, RECORDS, 50)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = path.stat().st_size

    store.forget(FORGOTTEN)

    after = sum(each.stat().st_size for each in (path, path.with_name("ctisync.db-wal")) if each.exists())
    assert after < before / 4
    assert len(passes.contents(store, OTHER)) == len(RECORDS)


def test_on_a_disk_without_room_the_pages_stay_for_other_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To shrink the file SQLite writes it anew: that must not fill the disk."""
    store = SqliteStore(tmp_path / "ctisync.db", SystemClock())
    for each in (FORGOTTEN, OTHER):
        passes.initialise(store, each, RECORDS, 50)
    monkeypatch.setattr(sqlite_file, "_ROOM_TO_SHRINK", 1 << 50)
    store.forget(FORGOTTEN)
    with closing(sqlite3.connect(tmp_path / "ctisync.db")) as connection:
        assert connection.execute("PRAGMA freelist_count").fetchone() > (0,)
    assert store.footprint(FORGOTTEN) == Footprint()


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "ctisync.db", SystemClock())
    store.forget(FORGOTTEN)
    assert (store.consumers(), store.footprint(FORGOTTEN)) == ([], Footprint())
    assert list(tmp_path.iterdir()) == []


def test_a_large_content_is_not_read_through_before_it_is_removed(
    start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    connect = sqlite3.connect

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(statements.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    SqliteStore(start, SystemClock()).forget(FORGOTTEN)

    decision = list(takewhile(lambda each: each != "BEGIN IMMEDIATE", statements))
    assert len(decision) < len(statements)
    assert [each for each in decision if "records" in each] == []
