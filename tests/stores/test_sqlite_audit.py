"""SQLite only: each damage that somebody or something may do to the file is found, and named."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ctisync.core.findings import Kind
from ctisync.core.model import Consumer
from ctisync.errors import StoreUnavailable
from ctisync.stores.sqlite.connection import PAGE_SIZE
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from ctisync.verify.audit import MOST_SHOWN, Verification, verify
from tests.contract import passes
from tests.support.log import KeptLog
from tests.support.records import made_up, record

CONSUMER = Consumer()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A content of 40 records that stands at offset 100."""
    path = tmp_path / "ctisync.db"
    passes.initialise(store_of(path), CONSUMER, made_up(40), 100)
    return path


def store_of(path: Path) -> SqliteStore:
    return SqliteStore(path, SystemClock(), patience=0)


def audited(path: Path, *, deep: bool = False, at_work: str | None = None) -> Verification:
    return verify(CONSUMER, store=store_of(path), log=KeptLog(), deep=deep, against=None, at_work=at_work)


def plant(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def findings_of(audit: Verification) -> list[tuple[Kind, str]]:
    return [(each.kind, each.subject) for each in audit.findings]


SOME = "CVE-2002-10002"


@pytest.mark.parametrize(
    ("statement", "kind", "subject"),
    [
        (
            "UPDATE records SET packed = substr(packed, 2) WHERE name = 'CVE-2002-10002'",
            Kind.RECORD_UNREADABLE,
            SOME,
        ),
        ("UPDATE records SET packed = NULL WHERE name = 'CVE-2002-10002'", Kind.RECORD_UNREADABLE, SOME),
        ("UPDATE records SET packed = 'text' WHERE name = 'CVE-2002-10002'", Kind.RECORD_UNREADABLE, SOME),
        ("UPDATE records SET packed = 7 WHERE name = 'CVE-2002-10002'", Kind.RECORD_UNREADABLE, SOME),
        (
            "UPDATE records SET packed = NULL, line = '{}' WHERE name = 'CVE-2002-10002'",
            Kind.RECORD_UNREADABLE,
            SOME,
        ),
        ("UPDATE records SET name = 'other' WHERE name = 'CVE-2002-10002'", Kind.RECORD_MISLABELLED, "other"),
        ("UPDATE records SET offset = 99 WHERE name = 'CVE-2002-10002'", Kind.RECORD_MISLABELLED, SOME),
        ("INSERT INTO dictionaries VALUES (7, 77, x'00')", Kind.STORE_ORPHANS, "dictionary 7"),
        (
            "INSERT INTO generations VALUES (77, 1, 100, 'link', 'then')",
            Kind.GENERATION_STRAY,
            "generation 77",
        ),
        ("UPDATE generations SET snapshot_offset = 99", Kind.GENERATION_WRONG, "generation 1"),
        ("UPDATE generations SET consumer = 9", Kind.GENERATION_WRONG, "generation 1"),
        ("UPDATE generations SET consumer = 9", Kind.STORE_ORPHANS, "generation 1"),
        ("DELETE FROM generations", Kind.GENERATION_WRONG, "generation 1"),
        ("DELETE FROM generations", Kind.STORE_ORPHANS, "generation 1"),
        ("UPDATE consumers SET generation = NULL", Kind.COUNT_WRONG, "content"),
        ("UPDATE consumers SET generation = NULL", Kind.GENERATION_STRAY, "generation 1"),
        ("DELETE FROM records", Kind.COUNT_WRONG, "content"),
        ("DROP INDEX records_by_name", Kind.STORE_SCHEMA, "records_by_name"),
        ("DROP VIEW content", Kind.STORE_SCHEMA, "content"),
        ("ALTER TABLE consumers ADD COLUMN more", Kind.STORE_SCHEMA, "consumers"),
        (
            "CREATE TRIGGER t AFTER UPDATE ON records BEGIN DELETE FROM records; END",
            Kind.STORE_SCHEMA,
            "t",
        ),
        (
            "UPDATE consumers SET state = json_set(state, '$.owed.offset', 90)",
            Kind.COMMAND_WRONG,
            "owed",
        ),
        ("UPDATE consumers SET state = json_set(state, '$.offset', 90)", Kind.STATE_WRONG, "offset"),
        ("UPDATE consumers SET state = json_set(state, '$.content', 0 > 1)", None, ""),
        ("UPDATE consumers SET state = json_set(state, '$.range_to', 50)", Kind.STATE_WRONG, "range_to"),
        (
            "UPDATE consumers SET state = json_set(state, '$.snapshot_offset', 30)",
            Kind.GENERATION_WRONG,
            "generation 1",
        ),
    ],
)
def test_planted_damage_is_named(path: Path, statement: str, kind: Kind | None, subject: str) -> None:
    assert findings_of(audited(path)) == []
    plant(path, statement)
    if kind is None:  # no boolean is a number: the state cannot be read at all
        with pytest.raises(StoreUnavailable, match=r"the state of .* cannot be read"):
            audited(path)
        return
    assert (kind, subject) in findings_of(audited(path))


def test_a_content_that_claims_less_than_its_records_is_a_finding(path: Path) -> None:
    """The highest record stands at 40; a state edited down to 30 cannot be right."""
    plant(path, "UPDATE consumers SET state = json_set(state, '$.offset', 30, '$.snapshot_offset', 30)")
    audit = audited(path)

    assert audit.counts[Kind.OFFSET_TOO_HIGH] == 10
    assert audit.counts[Kind.COMMAND_WRONG] == 1


def test_findings_are_counted_in_full_and_shown_in_part(path: Path) -> None:
    plant(path, "UPDATE records SET offset = offset + 1000")
    audit = audited(path)

    assert audit.counts[Kind.OFFSET_TOO_HIGH] == 40
    assert [kind for kind, _ in findings_of(audit)].count(Kind.OFFSET_TOO_HIGH) == MOST_SHOWN
    assert audit.differences == 80
    assert {each.check: each.differences for each in audit.checks if each.differences} == {
        "offsets": 40,
        "records": 40,
    }


def test_a_users_own_tables_and_views_are_his(path: Path) -> None:
    plant(path, "CREATE TABLE mine (x)", "CREATE VIEW titles AS SELECT name FROM content")
    assert findings_of(audited(path)) == []


def test_a_generation_beside_the_live_one_is_no_difference_while_something_is_loaded(path: Path) -> None:
    plant(
        path,
        "INSERT INTO generations VALUES (77, 1, 200, 'link', 'then')",
        "UPDATE consumers SET state = json_set(state, '$.loading', json('true'))",
    )
    assert findings_of(audited(path)) == [(Kind.GENERATION_LEFT, "generation 77")]
    assert audited(path).is_good


def test_the_one_generation_that_was_replaced_is_no_difference_and_two_are(path: Path) -> None:
    """A pass that was killed just after its swap leaves one; the next one that writes removes it first."""
    plant(
        path,
        "UPDATE consumers SET generation = 9",
        "UPDATE records SET generation = 9",
        "UPDATE sqlite_sequence SET seq = 9",
        "INSERT INTO generations VALUES (9, 1, 100, 'link', 'then')",
    )
    assert findings_of(audited(path)) == [(Kind.GENERATION_LEFT, "generation 1")]
    plant(path, "INSERT INTO generations VALUES (5, 1, 100, 'link', 'then')")
    assert [kind for kind, _ in findings_of(audited(path))] == [Kind.GENERATION_STRAY] * 2


def test_a_generation_beside_the_live_one_is_no_difference_while_a_writer_is_at_work(path: Path) -> None:
    """It has published and is about to remove what it replaced."""
    plant(path, "INSERT INTO generations VALUES (77, 1, 200, 'link', 'then')")
    audit = audited(path, at_work="ctisync sync, process 7")

    assert audit.is_good
    assert set(audit.counts) == {Kind.WRITER_AT_WORK, Kind.GENERATION_LEFT}


def flip(path: Path, page: Callable[[sqlite3.Connection], int]) -> None:
    """Overwrite one page with what no page looks like."""
    with closing(sqlite3.connect(path)) as connection:
        number = page(connection)
    with path.open("r+b") as file:
        file.seek((number - 1) * PAGE_SIZE)
        file.write(bytes(byte ^ 0xFF for byte in path.read_bytes()[(number - 1) * PAGE_SIZE :][:PAGE_SIZE]))


def root_of(table: str) -> Callable[[sqlite3.Connection], int]:
    def page(connection: sqlite3.Connection) -> int:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        return int(connection.execute(query, (table,)).fetchone()[0])

    return page


@pytest.mark.parametrize("table", ["records", "records_by_name"])
@pytest.mark.parametrize("deep", [False, True])
def test_a_flipped_page_is_a_finding_although_nothing_more_can_be_read(
    path: Path, table: str, deep: bool
) -> None:
    flip(path, root_of(table))
    audit = audited(path, deep=deep)

    assert audit.counts[Kind.STORE_DAMAGED] >= 1
    assert not audit.is_good


def test_a_flipped_page_where_the_state_lies_leaves_nothing_to_look_at(path: Path) -> None:
    flip(path, root_of("consumers"))
    with pytest.raises(StoreUnavailable, match="damaged"):
        audited(path)


def test_a_record_that_the_index_does_not_have_is_a_finding(path: Path) -> None:
    """No lookup would find it any more; the deep audit says why the count is wrong."""
    plant(
        path,
        "DROP INDEX records_by_name",
        "CREATE UNIQUE INDEX records_by_name ON records (generation, name) WHERE id <> 3",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = 'CREATE UNIQUE INDEX records_by_name ON records (generation, name)'"
        " WHERE name = 'records_by_name'",
    )

    assert findings_of(audited(path)) == [(Kind.COUNT_WRONG, "content")]
    assert audited(path, deep=True).counts[Kind.STORE_DAMAGED] >= 1


def test_the_audit_of_one_moment_does_not_see_what_a_pass_writes_meanwhile(path: Path) -> None:
    store = store_of(path)
    with store.inspect(CONSUMER) as inspection:
        before = inspection.state
        with store_of(path).writer(CONSUMER) as writer:
            passes.apply(writer, [record("CVE-new", 150)], to=150)
        assert inspection.count() == 40
        assert "CVE-new" not in {each.name for each in inspection.scan()}
        assert inspection.state == before
    assert audited(path).is_good
