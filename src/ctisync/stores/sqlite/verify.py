"""What `verify` and `doctor` read of a SQLite file. They change nothing."""

import os
import shutil
import sqlite3
import stat
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec

from ctisync.core.findings import Finding, Kind
from ctisync.core.health import ROOM_FOR_A_RANGE, CheckResult, failed, guarded, mib, ok
from ctisync.core.model import Record
from ctisync.core.state import ConsumerState
from ctisync.core.words import counted
from ctisync.escaping import quoted
from ctisync.stores.sqlite.compression import Unpacker, Unreadable
from ctisync.stores.sqlite.connection import reading, translate_errors
from ctisync.stores.sqlite.file import set_aside
from ctisync.stores.sqlite.schema import MIGRATIONS, empty_database, version_of
from ctisync.stores.sqlite.tables import ConsumerRow, count_records
from ctisync.system.files import to_chown

_FINE: Final = b"ok"

# The casts give each value of a damaged row the type that it should have.
_AS_RECORD: Final = (
    "SELECT ifnull(CAST(name AS TEXT), ''), ifnull(CAST(offset AS INTEGER), -1),"
    " ifnull(CAST(line AS BLOB), ''), CAST(packed AS BLOB) FROM records WHERE "
)
_BEFORE: Final = "SELECT name FROM records WHERE generation = ? AND name < ? ORDER BY name DESC LIMIT ?"
_BEHIND: Final = "SELECT name FROM records WHERE generation = ? AND name > ? ORDER BY name LIMIT ?"

_LOOK_PATIENCE: Final = 1.0
"""Seconds to wait for another program's lock: `doctor` does not wait for a backup to end."""


class SqliteInspection:
    """`ports.Inspection` within one read transaction."""

    def __init__(self, connection: sqlite3.Connection, path: Path, row: ConsumerRow) -> None:
        self._connection = connection
        self._path = path
        self._row = row
        self._unpacker = Unpacker(connection)

    @property
    def state(self) -> ConsumerState:
        return self._row.state

    def findings(self, *, deep: bool) -> Iterator[Finding]:
        with translate_errors(self._path):
            for finding in chain(self._damage(deep=deep), self._schema(), self._orphans()):
                yield msgspec.structs.replace(finding, hint=set_aside(self._path))
            yield from self._generations()

    def hidden(self) -> None:
        """None: a file is read whole or not at all."""

    def count(self) -> int | None:
        with translate_errors(self._path):
            live = self._row.generation
            return None if live is None else count_records(self._connection, live)

    @property
    def generation(self) -> str | None:
        if (live := self._row.generation) is None:
            return None
        with translate_errors(self._path):
            row = self._select("SELECT CAST(begun_at AS TEXT) FROM generations WHERE id = ?").fetchone()
        return f"{live} {'' if row is None else _text(row[0] or b'')}"

    def scan(self, above: int = -1) -> Iterator[Record]:
        """In the order of the file: by name, each would be read from another place. The `+` keeps SQLite from
        using the index."""
        with translate_errors(self._path):
            yield from map(self._record, self._select(_AS_RECORD + "+generation = ? AND offset > ?", above))

    def names(self) -> Iterator[str]:
        with translate_errors(self._path):
            rows = self._select("SELECT CAST(name AS TEXT) FROM records WHERE generation = ?")
            yield from (_text(name) for (name,) in rows)

    def lookup(self, names: Collection[str]) -> dict[str, Record]:
        query = _AS_RECORD + "generation = ? AND name = ?"
        with translate_errors(self._path):
            rows = [self._select(query, name).fetchone() for name in names]
            records = [self._record(row) for row in rows if row is not None]
        return {record.name: record for record in records}

    def missing(self, names: Collection[str]) -> set[str]:
        query = "SELECT 1 FROM records WHERE generation = ? AND name = ?"
        with translate_errors(self._path):
            return {name for name in names if self._select(query, name).fetchone() is None}

    def neighbours(self, name: str, most: int) -> list[str]:
        with translate_errors(self._path):
            before, behind = (
                [row.decode() for (row,) in self._select(query, name, most)] for query in (_BEFORE, _BEHIND)
            )
        return [*reversed(before), *behind]

    def _select(self, query: str, *values: str | int) -> sqlite3.Cursor:
        """The rows of a query whose first parameter is the live generation: none without one."""
        return self._connection.execute(query, (self._row.generation, *values))

    def _record(self, row: tuple[bytes, int, bytes, bytes | None]) -> Record:
        """The record of a row of `_AS_RECORD`. The line is empty if it cannot be unpacked, which is a finding
        like every line that is no record."""
        name, offset, line, frame = row
        if frame is not None:
            try:
                line = self._unpacker.line(frame)
            except Unreadable:
                line = b""
        return Record(_text(name), offset, line)

    def _damage(self, *, deep: bool) -> Iterator[Finding]:
        """SQLite's own check; the deep one also compares each index with its table."""
        try:
            for (line,) in self._connection.execute(f"PRAGMA {'integrity_check' if deep else 'quick_check'}"):
                if line != _FINE:
                    yield Finding(Kind.STORE_DAMAGED, str(self._path), " ".join(_text(line).split()))
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
                raise
            yield Finding(Kind.STORE_DAMAGED, str(self._path), str(error))

    def _schema(self) -> Iterator[Finding]:
        """Compares each table, index and view with the migrations. Other objects belong to the user, except a
        trigger: it would write to the tables."""
        with closing(empty_database()) as model:
            expected = _objects(model)
        stored = _objects(self._connection)
        for (kind, name), text in expected.items():
            if (kind, name) not in stored:
                yield Finding(Kind.STORE_SCHEMA, name, f"the {kind} is missing")
            elif stored[kind, name] != text:
                yield Finding(
                    Kind.STORE_SCHEMA, name, f"the {kind} differs from the one that ctisync creates"
                )
        for kind, name in stored.keys() - expected.keys():
            if kind == "trigger":
                yield Finding(Kind.STORE_SCHEMA, name, "the trigger is not ctisync's")

    def _orphans(self) -> Iterator[Finding]:
        """Rows that refer to missing rows; the schema declares no foreign keys."""
        records = self._connection.execute(
            "SELECT generation, count(*) FROM records WHERE generation NOT IN (SELECT id FROM generations)"
            " GROUP BY generation"
        )
        for generation, count in records:
            detail = f"it has {counted(count, 'record')}, but the generation does not exist"
            yield Finding(Kind.STORE_ORPHANS, f"generation {generation}", detail)
        generations = self._connection.execute(
            "SELECT id, consumer FROM generations WHERE consumer NOT IN (SELECT id FROM consumers)"
        )
        for generation, consumer in generations:
            detail = f"it belongs to consumer {consumer}, which is not stored"
            yield Finding(Kind.STORE_ORPHANS, f"generation {generation}", detail)
        dictionaries = self._connection.execute(
            "SELECT id, generation FROM dictionaries WHERE generation NOT IN (SELECT id FROM generations)"
        )
        for number, generation in dictionaries:
            detail = f"it belongs to generation {generation}, which does not exist"
            yield Finding(Kind.STORE_ORPHANS, f"dictionary {number}", detail)

    def _generations(self) -> Iterator[Finding]:
        live, state = self._row.generation, self._row.state
        rows = self._connection.execute(
            "SELECT id, consumer = ?1, snapshot_offset FROM generations"
            " WHERE consumer = ?1 OR id = ?2 ORDER BY id",
            (self._row.id, live),
        ).fetchall()
        if live is not None and all(generation != live for generation, *_ in rows):
            detail = "the state names it as live, but it does not exist"
            yield Finding(Kind.GENERATION_WRONG, f"generation {live}", detail)
        replaced = [generation for generation, *_ in rows if generation < (live or 0)]
        for generation, own, snapshot_offset in rows:
            subject = f"generation {generation}"
            if generation == live:
                if not own:
                    detail = "it is live, but belongs to another consumer"
                    yield Finding(Kind.GENERATION_WRONG, subject, detail)
                elif snapshot_offset != state.snapshot_offset:
                    detail = f"it was loaded from a snapshot of offset {snapshot_offset}, the state has "
                    yield Finding(Kind.GENERATION_WRONG, subject, f"{detail}{state.snapshot_offset}")
            elif state.loading:
                detail = "it belongs to a load that is under way or was killed"
                yield Finding(Kind.GENERATION_LEFT, subject, detail)
            elif [generation] == replaced:
                yield Finding(Kind.GENERATION_LEFT, subject, "the live one has replaced it")
            else:
                detail = "it is neither live nor the last one replaced, and no load is running"
                yield Finding(Kind.GENERATION_STRAY, subject, detail)


def _objects(connection: sqlite3.Connection) -> dict[tuple[str, str], bytes]:
    """Tables, indices, views and triggers with the statements that created them, without SQLite's own."""
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {(_text(kind), _text(name)): sql for kind, name, sql in rows}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def diagnose(path: Path) -> Iterator[CheckResult]:
    """The results for the library and the file. A file that does not exist yet is fine; its folder is checked
    elsewhere."""
    yield ok("sqlite", f"the version of SQLite is {sqlite3.sqlite_version}")
    yield from guarded("store", lambda: _file(path))


def refusals(path: Path) -> Iterator[CheckResult]:
    """What prevents the file's owner, as whom passes run, from writing to it. The caller may be another
    user."""
    with suppress(OSError):  # without access there is nothing to report
        if not _owner_can_write(path):
            yield _unwritable(path)
        elif (free := shutil.disk_usage(path.parent).free) < ROOM_FOR_A_RANGE:
            detail = f"the disk of {path} has {mib(free)} of free disk space, too little for a pass"
            yield failed("store-disk", detail, f"df -h {quoted(path.parent)}")


def _owner_can_write(path: Path) -> bool:
    file, folder = path.stat(), path.parent.stat()
    is_owner = os.geteuid() in (0, file.st_uid)
    if is_owner and not all(os.access(each, os.R_OK | os.W_OK) for each in (path, path.parent)):
        return False
    modes = [each.st_mode for each in (file, folder) if each.st_uid == file.st_uid]
    read_write = stat.S_IRUSR | stat.S_IWUSR
    return file.st_uid == 0 or all(mode & read_write == read_write for mode in modes)


def _unwritable(path: Path) -> CheckResult:
    return failed(
        "store",
        f"{path} can be read but not written: the file and its folder must both be writable",
        to_chown(path) or f"ls -ld {quoted(path.parent)} {quoted(path)}",
    )


def _file(path: Path) -> Iterator[CheckResult]:
    with reading(path, _LOOK_PATIENCE, read_only=True) as connection:
        version = version_of(connection, path, len(MIGRATIONS))
        if not version:
            yield ok("store", f"{path} does not exist yet; the first pass creates it")
        elif not all(os.access(each, os.R_OK | os.W_OK) for each in (path, path.parent)):
            yield _unwritable(path)
        else:
            older = "" if version == len(MIGRATIONS) else "; the next pass migrates it to the newest"
            yield ok("store", f"{path} can be read and written, its schema version is {version}{older}")
