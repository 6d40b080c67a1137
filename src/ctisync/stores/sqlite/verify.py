"""SQLite, for `verify`: whether the file is undamaged, and whether its rows agree."""

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec

from ctisync.core.findings import Finding, Kind
from ctisync.core.model import Record
from ctisync.core.state import ConsumerState
from ctisync.core.words import counted
from ctisync.stores.sqlite.compression import Unpacker, Unreadable
from ctisync.stores.sqlite.connection import named_errors, set_aside
from ctisync.stores.sqlite.schema import MIGRATIONS
from ctisync.stores.sqlite.tables import ConsumerRow, count_records

_FINE: Final = b"ok"

# The casts give each value of a damaged row the type that it should have.
_AS_RECORD: Final = (
    "SELECT ifnull(CAST(name AS TEXT), ''), ifnull(CAST(offset AS INTEGER), -1),"
    " ifnull(CAST(line AS BLOB), ''), CAST(packed AS BLOB) FROM records WHERE "
)
_BEFORE: Final = "SELECT name FROM records WHERE generation = ? AND name < ? ORDER BY name DESC LIMIT ?"
_BEHIND: Final = "SELECT name FROM records WHERE generation = ? AND name > ? ORDER BY name LIMIT ?"


class SqliteInspection:
    """`ports.Inspection` within one read transaction. `row` is None if nothing is stored."""

    def __init__(self, connection: sqlite3.Connection | None, path: Path, row: ConsumerRow | None) -> None:
        self._connection = connection
        self._path = path
        self._row = row

    @property
    def state(self) -> ConsumerState:
        return ConsumerState() if self._row is None else self._row.state

    def findings(self, *, deep: bool) -> Iterator[Finding]:
        if self._connection is None:
            return
        with named_errors(self._path):
            damage = self._damage(self._connection, deep=deep)
            for found in chain(damage, self._schema(self._connection), self._orphans(self._connection)):
                yield msgspec.structs.replace(found, hint=set_aside(self._path))
            if self._row is not None:
                yield from self._generations(self._connection, self._row)

    def hidden(self) -> None:
        """None: a file is read whole or not at all."""

    def count(self) -> int | None:
        if (live := self._live) is None:
            return None
        with named_errors(self._path):
            return count_records(*live)

    def scan(self) -> Iterator[Record]:
        """All records in the order of the file: by name, each would be read from another place. The `+` keeps
        SQLite from using the index."""
        if (live := self._live) is not None:
            connection, generation = live
            with named_errors(self._path):
                record = _Reader(connection).record
                yield from map(record, connection.execute(_AS_RECORD + "+generation = ?", (generation,)))

    def lookup(self, names: Collection[str]) -> dict[str, Record]:
        if (live := self._live) is None:
            return {}
        connection, generation = live
        query = _AS_RECORD + "generation = ? AND name = ?"
        rows = (connection.execute(query, (generation, name)).fetchone() for name in names)
        record = _Reader(connection).record
        with named_errors(self._path):
            found = [record(row) for row in rows if row is not None]
        return {record.name: record for record in found}

    def neighbours(self, name: str, most: int) -> list[str]:
        if (live := self._live) is None:
            return []
        connection, generation = live
        with named_errors(self._path):
            before, behind = (
                [found.decode() for (found,) in connection.execute(query, (generation, name, most))]
                for query in (_BEFORE, _BEHIND)
            )
        return [*reversed(before), *behind]

    @property
    def _live(self) -> tuple[sqlite3.Connection, int] | None:
        if self._connection is None or self._row is None or self._row.generation is None:
            return None
        return self._connection, self._row.generation

    def _damage(self, connection: sqlite3.Connection, *, deep: bool) -> Iterator[Finding]:
        """SQLite's own check; the deep one also compares each index with its table."""
        try:
            for (said,) in connection.execute(f"PRAGMA {'integrity_check' if deep else 'quick_check'}"):
                if said != _FINE:
                    yield Finding(Kind.STORE_DAMAGED, str(self._path), " ".join(_text(said).split()))
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
                raise
            yield Finding(Kind.STORE_DAMAGED, str(self._path), str(error))

    def _schema(self, connection: sqlite3.Connection) -> Iterator[Finding]:
        """Compares each table, index and view with the migrations. Other objects belong to the user, except a
        trigger: it would write to the tables."""
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
            model.text_factory = bytes
            for statement in (each for migration in MIGRATIONS for each in migration):
                model.execute(statement)
            wanted = _objects(model)
        found = _objects(connection)
        for (kind, name), text in wanted.items():
            if (kind, name) not in found:
                yield Finding(Kind.STORE_SCHEMA, name, f"the {kind} is missing")
            elif found[kind, name] != text:
                yield Finding(
                    Kind.STORE_SCHEMA, name, f"the {kind} differs from the one that ctisync creates"
                )
        for kind, name in found.keys() - wanted.keys():
            if kind == "trigger":
                yield Finding(Kind.STORE_SCHEMA, name, "the trigger is not ctisync's")

    def _orphans(self, connection: sqlite3.Connection) -> Iterator[Finding]:
        """Rows that refer to missing rows; the schema declares no foreign keys."""
        records = connection.execute(
            "SELECT generation, count(*) FROM records WHERE generation NOT IN (SELECT id FROM generations)"
            " GROUP BY generation"
        )
        for generation, count in records:
            told = f"it has {counted(count, 'record')}, but the generation does not exist"
            yield Finding(Kind.STORE_ORPHANS, f"generation {generation}", told)
        generations = connection.execute(
            "SELECT id, consumer FROM generations WHERE consumer NOT IN (SELECT id FROM consumers)"
        )
        for generation, consumer in generations:
            told = f"it belongs to consumer {consumer}, which is not stored"
            yield Finding(Kind.STORE_ORPHANS, f"generation {generation}", told)
        dictionaries = connection.execute(
            "SELECT id, generation FROM dictionaries WHERE generation NOT IN (SELECT id FROM generations)"
        )
        for number, generation in dictionaries:
            told = f"it belongs to generation {generation}, which does not exist"
            yield Finding(Kind.STORE_ORPHANS, f"dictionary {number}", told)

    def _generations(self, connection: sqlite3.Connection, row: ConsumerRow) -> Iterator[Finding]:
        generations = connection.execute(
            "SELECT id, consumer = ?1, snapshot_offset FROM generations"
            " WHERE consumer = ?1 OR id = ?2 ORDER BY id",
            (row.id, row.generation),
        ).fetchall()
        if row.generation is not None and row.generation not in [
            generation for generation, *_ in generations
        ]:
            told = "the state names it as live, but it does not exist"
            yield Finding(Kind.GENERATION_WRONG, f"generation {row.generation}", told)
        replaced = [generation for generation, *_ in generations if generation < (row.generation or 0)]
        for generation, own, snapshot_offset in generations:
            subject = f"generation {generation}"
            if generation == row.generation:
                yield from self._live_one(subject, row.state, own=own, snapshot_offset=snapshot_offset)
            elif row.state.loading:
                told = "it belongs to a load that is under way or was killed"
                yield Finding(Kind.GENERATION_LEFT, subject, told)
            elif [generation] == replaced:
                yield Finding(Kind.GENERATION_LEFT, subject, "the live one has replaced it")
            else:
                told = "it is neither live nor the last one replaced, and no load is running"
                yield Finding(Kind.GENERATION_STRAY, subject, told)

    def _live_one(
        self, subject: str, state: ConsumerState, *, own: bool, snapshot_offset: int
    ) -> Iterator[Finding]:
        if not own:
            yield Finding(Kind.GENERATION_WRONG, subject, "it is live, but belongs to another consumer")
        elif snapshot_offset != state.snapshot_offset:
            told = (
                f"it was loaded from a snapshot of offset {snapshot_offset}, "
                f"the state has {state.snapshot_offset}"
            )
            yield Finding(Kind.GENERATION_WRONG, subject, told)


class _Reader:
    """Turns rows of `_AS_RECORD` into records, damaged ones too."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._unpacker = Unpacker(connection)

    def record(self, row: tuple[bytes, int, bytes, bytes | None]) -> Record:
        name, offset, text, frame = row
        return Record(_text(name), offset, text if frame is None else self._unpacked(frame))

    def _unpacked(self, frame: bytes) -> bytes:
        """The line; empty if it cannot be unpacked, which is a finding like every line that is no record."""
        try:
            return self._unpacker.line(frame)
        except Unreadable:
            return b""


def _objects(connection: sqlite3.Connection) -> dict[tuple[str, str], bytes]:
    """Tables, indices, views and triggers with the statements that created them, without SQLite's own."""
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {(_text(kind), _text(name)): sql for kind, name, sql in rows}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
