"""SQLite only: a file of schema version 1 becomes one of the newest, interrupted anywhere, and keeps all."""

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import pytest

from ctisync.core.model import Consumer, Record
from ctisync.core.state import ConsumerState, FailedChange
from ctisync.errors import ConfigurationError
from ctisync.stores.sqlite.connection import open_writable
from ctisync.stores.sqlite.schema import MIGRATIONS
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from ctisync.verify.audit import verify
from tests.contract import passes
from tests.contract.passes import lines
from tests.crash.passes import Forks
from tests.support.faults import Fault, When
from tests.support.figures import figure
from tests.support.log import KeptLog
from tests.support.records import awkward, made_up, read, record
from tests.support.schema_versions import create_with, read_with, with_migrations

OF_VERSION_1: Final = MIGRATIONS[:1]

FOLLOWED: Final = Consumer()
STUCK: Final = Consumer(name="stuck", index="other")
KILLED: Final = Consumer(context="vd_2.0.0")
EMPTY: Final = Consumer(name="empty", index="wazuh-empty")

NUMBERS: Final = {FOLLOWED: 1, STUCK: 2, KILLED: 3, EMPTY: 4}
CONTENTS: Final = {
    FOLLOWED: sorted([*awkward(), *made_up(50)], key=lambda each: each.name.encode()),
    STUCK: [record("CVE-1", 7)],
    KILLED: [record("CVE-2", 5)],
}
"""By name. KILLED had begun to load another one."""


def states() -> dict[Consumer, ConsumerState]:
    """A command is owed; a change blocks; a load was killed; nothing is stored yet."""
    followed, stuck, killed = (
        ConsumerState().initialised(passes.snapshot(100), consumer, passes.NOW) for consumer in CONTENTS
    )
    link = "https://cti.example.org/1.zip"
    failed = FailedChange(201, "CVE-1", 0, "no such path", "00ff" * 4, link, reinitialised=True)
    return {
        FOLLOWED: followed.advanced(150, passes.NOW + timedelta(minutes=7)),
        STUCK: stuck.advanced(200, passes.NOW).blocked(failed),
        KILLED: killed.load_begun(),
        EMPTY: ConsumerState(last_offset=12),
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file as the first ctisync wrote it, statement for statement."""
    path = tmp_path / "ctisync.db"
    with with_migrations(*OF_VERSION_1), closing(open_writable(path)) as file:
        connection = file.connection
        connection.execute("BEGIN")
        for consumer, state in states().items():
            connection.execute(
                "INSERT INTO consumers (context, name, state) VALUES (?, ?, ?)",
                (consumer.context, consumer.name, msgspec.json.encode(state).decode()),
            )
        for consumer, records in CONTENTS.items():
            generation = fill(connection, NUMBERS[consumer], records)
            connection.execute(
                "UPDATE consumers SET generation = ? WHERE id = ?", (generation, NUMBERS[consumer])
            )
        fill(connection, NUMBERS[KILLED], made_up(9))
        connection.execute("COMMIT")
    return path


def fill(connection: sqlite3.Connection, consumer: int, records: list[Record]) -> int:
    generation = connection.execute(
        "INSERT INTO generations (consumer, snapshot_offset, snapshot_link, begun_at) VALUES (?, ?, ?, ?)",
        (consumer, 100, passes.snapshot(100).link, passes.NOW.isoformat()),
    ).lastrowid
    assert generation is not None
    connection.executemany(
        "INSERT INTO records (generation, name, offset, line) VALUES (?, ?, ?, CAST(? AS TEXT))"
        " ON CONFLICT (generation, name) DO NOTHING",
        ((generation, each.name, each.offset, each.line) for each in records),
    )
    return generation


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def store_of(path: Path) -> SqliteStore:
    return SqliteStore(path, SystemClock(), patience=0)


def assert_all_is_kept(path: Path) -> None:
    store = store_of(path)
    assert {consumer: store.read_state(consumer) for consumer in NUMBERS} == states()
    assert {consumer: passes.contents(store, consumer) for consumer in CONTENTS} == {
        consumer: lines(*records) for consumer, records in CONTENTS.items()
    }
    assert store.summary(EMPTY).records is None


def test_what_version_1_has_stored_stays_as_it_was(path: Path) -> None:
    assert query(path, "PRAGMA user_version") == [(1,)]
    assert_all_is_kept(path)
    assert query(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]


def test_a_migrated_file_is_like_a_new_one(path: Path, tmp_path: Path) -> None:
    open_writable(path).close()
    new = tmp_path / "new.db"
    open_writable(new).close()

    schema = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
    assert query(path, schema) == query(new, schema)
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    for consumer in (FOLLOWED, STUCK):
        audit = verify(consumer, store=store_of(path), log=KeptLog(), deep=True, against=None, at_work=None)
        assert audit.is_good, audit.findings


def test_a_migration_touches_no_record(path: Path) -> None:
    """So that it takes no longer for 300,000 of them: a few pages are written, whatever there is."""
    with with_migrations(*OF_VERSION_1), closing(open_writable(path)) as file:
        file.connection.execute("INSERT INTO records VALUES (77, 77, 'big', 1, hex(zeroblob(10000000)))")
    log = path.with_name("ctisync.db-wal")
    with read_with(path, *OF_VERSION_1), closing(open_writable(path)):
        pages = log.stat().st_size // 16384
        assert query(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]

    assert pages < 20
    assert query(path, "SELECT length(line), packed FROM records WHERE id = 77") == [(20_000_000, None)]


def test_passes_go_on_from_a_migrated_content(path: Path) -> None:
    store = store_of(path)
    changed = record(CONTENTS[FOLLOWED][3].name, 160, {"changed": True})
    with store.writer(FOLLOWED) as writer:
        assert read(writer, [changed.name]) == {changed.name: CONTENTS[FOLLOWED][3]}
        passes.apply(writer, [changed], to=160)
    kinds = "SELECT typeof(line), count(*) FROM content WHERE consumer = 'vd_4.8.0' GROUP BY 1 ORDER BY 1"
    assert query(path, kinds) == [("blob", 1), ("text", len(CONTENTS[FOLLOWED]))]

    with store.writer(KILLED) as writer:
        assert not writer.state.loading
        passes.load(writer, KILLED, made_up(20), 300)
    assert query(path, "SELECT count(*) FROM generations") == [(3,)]
    assert store.summary(KILLED).records == 20
    assert passes.contents(store, STUCK) == lines(*CONTENTS[STUCK])


def test_a_reader_of_version_1_reads_on_and_the_next_one_refuses(path: Path) -> None:
    with read_with(path, *OF_VERSION_1) as connection:
        assert connection is not None
        open_writable(path).close()
        old = "SELECT typeof(line), count(*) FROM content GROUP BY 1"
        assert connection.execute(old).fetchall() == [(b"text", sum(map(len, CONTENTS.values())))]

    too_new = f"schema version {len(MIGRATIONS)}; this ctisync supports versions up to 1"
    with pytest.raises(ConfigurationError, match=too_new), read_with(path, *OF_VERSION_1):
        pass
    with pytest.raises(ConfigurationError, match=too_new):
        create_with(path, *OF_VERSION_1)


@pytest.fixture
def forks(tmp_path: Path) -> Iterator[Forks]:
    results = tmp_path / "results"
    results.mkdir()
    with Forks(results) as started:
        yield started


def test_killed_at_any_statement_it_is_of_one_version_and_the_next_look_finds_all(
    path: Path, tmp_path: Path, forks: Forks
) -> None:
    before = path.read_bytes()
    home = tmp_path / "home"

    def look(fault: Fault | None) -> tuple[int, int]:
        """The exit code and how many effects it had."""
        environ = {
            "HOME": str(home),
            "CTISYNC_STORE__URL": f"sqlite:///{home}/ctisync.db",
            "CTISYNC_STATE_DIR": str(home),
        }
        ended = forks.run("status", "-q", folder=home, environ=environ, fault=fault, later=0)
        return ended.code, len(ended.effects)

    def begin() -> Path:
        home.mkdir(exist_ok=True)
        for each in home.iterdir():
            each.unlink()
        copy = home / "ctisync.db"
        copy.write_bytes(before)
        return copy

    begin()
    code, effects = look(None)
    assert code == 0
    versions = []
    for at in range(1, effects + 1):
        for when in get_args(When):
            copy = begin()
            code, _ = look(Fault(at, when, "kill"))
            assert code == -signal.SIGKILL
            versions += [version for (version,) in query(copy, "PRAGMA user_version")]
            assert_all_is_kept(copy)
            assert query(copy, "PRAGMA integrity_check") == [("ok",)]

    assert set(versions) == set(range(1, len(MIGRATIONS) + 1))
    assert versions == sorted(versions)
    figure(f"SQLite: killed {2 * effects} times while a file of version 1 was brought up to date: 0 lost")
