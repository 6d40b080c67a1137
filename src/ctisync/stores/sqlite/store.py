"""SQLite: one file, one writer, each step of a pass one transaction.

Content rows belong to a generation, and each consumer's row points to the live one. A new content is
committed piece by piece into a generation without readers, and goes live together with its state.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from ctisync.core.health import CheckResult
from ctisync.core.model import Consumer, Footprint
from ctisync.core.pass_report import PassReport, Work
from ctisync.core.state import ConsumerState, Summary
from ctisync.ports import Clock
from ctisync.stores import invariants
from ctisync.stores.sqlite import tables
from ctisync.stores.sqlite.compression import Compression
from ctisync.stores.sqlite.connection import LOCK_PATIENCE, open_writable, reading
from ctisync.stores.sqlite.verify import SqliteInspection, diagnose, refusals
from ctisync.stores.sqlite.writer import SqliteWriter


class SqliteStore(msgspec.Struct, frozen=True):
    """A `ctisync.ports.Store` in the file `path`, which the first write creates (its folder must exist).

    `patience`: seconds to wait for another program's lock. `compression`: of new lines; both kinds can be
    read. `read_only`: reading neither migrates the file of an older ctisync nor leaves SQLite's own files
    beside it.
    Raises ConfigurationError for a path that cannot be opened and for a file that is not ctisync's or
    a newer ctisync's, StoreUnavailable for a lock, a full disk and damage. For use by one thread.
    """

    path: Path
    clock: Clock
    patience: float = LOCK_PATIENCE
    compression: Compression = "zstd"
    read_only: bool = False

    @property
    def name(self) -> str:
        return f"sqlite:///{self.path}"

    def read_state(self, consumer: Consumer) -> ConsumerState:
        with self._reading(consumer) as (connection, row):
            return _state(connection, consumer, row)

    def facts_behind(self, consumer: Consumer) -> bool:  # there is no facts index
        return False

    def record_check(self, consumer: Consumer, state: ConsumerState) -> None:
        with self._transaction(self.patience) as connection:
            row = tables.find_consumer(connection, consumer)
            row = row if row.id else tables.add_consumer(connection, consumer)
            if invariants.differs_by_check(row.state, state):
                tables.set_state(connection, row.id, state)

    @contextmanager
    def writer(self, consumer: Consumer) -> Iterator[SqliteWriter]:
        with closing(open_writable(self.path, self.patience)) as file:
            yield SqliteWriter(file, consumer, self.clock, self.compression)

    def summary(self, consumer: Consumer) -> Summary:
        """State and pointer to the live content are in one row, so readers see the content of the state."""
        with self._reading(consumer) as (connection, row):
            live = tables.live_generation(connection, row)
            records = None if live is None else tables.count_records(connection, live)
            return Summary(_state(connection, consumer, row), records)

    def certificates(self) -> Iterator[tuple[str, datetime]]:
        yield from ()

    def export(self, consumer: Consumer) -> Iterator[bytes]:
        with self._reading(consumer) as (connection, row):
            if (live := tables.live_generation(connection, row)) is None:
                raise invariants.no_content(self.name, consumer, _state(connection, consumer, row))
            yield from tables.lines_by_name(connection, live)

    @contextmanager
    def inspect(self, consumer: Consumer) -> Iterator[SqliteInspection]:
        with self._reading(consumer) as (connection, row):
            yield SqliteInspection(connection, self.path, row)

    def diagnose(self, consumers: Sequence[Consumer]) -> Iterator[CheckResult]:
        return diagnose(self.path)

    def refusals(self, consumers: Sequence[Consumer]) -> Iterator[CheckResult]:
        return refusals(self.path)

    def work(self, consumer: Consumer) -> Work | None:
        with self._reading(consumer) as (connection, row):
            return tables.load_under_way(connection, row) if row.state.loading else None

    def remember(self, report: PassReport, keep: int, within: float) -> None:
        with self._transaction(min(self.patience, within)) as connection:
            tables.add_report(connection, report, keep)

    def passes(self, consumer: Consumer, most: int, *, touched: bool = False) -> Iterator[PassReport]:
        with reading(self.path, self.patience) as connection:
            yield from tables.find_passes(connection, consumer, most, touched=touched)

    def consumers(self) -> list[Consumer]:
        with reading(self.path, self.patience, read_only=True) as connection:
            return tables.consumers_with_content(connection)

    def footprint(self, consumer: Consumer) -> Footprint:
        with reading(self.path, self.patience, read_only=True) as connection:
            row = tables.find_consumer(connection, consumer)
            stored = tables.bytes_of_contents(connection, row.id)
            return Footprint(
                places=() if stored is None else (str(self.path),),
                records=None if row.generation is None else tables.count_records(connection, row.generation),
                bytes=stored or 0,
                passes=tables.count_passes(connection, consumer),
                state=row.id != 0,
            )

    def forget(self, consumer: Consumer) -> None:
        with reading(self.path, self.patience, read_only=True) as connection:
            has_row = tables.find_consumer(connection, consumer).id != 0
            is_stored = has_row or tables.count_passes(connection, consumer) > 0
        if is_stored:
            with self.writer(consumer) as writer:
                writer.forget()

    def close(self) -> None:
        """Nothing is open between two calls."""

    @contextmanager
    def _transaction(self, patience: float) -> Iterator[sqlite3.Connection]:
        with closing(open_writable(self.path, patience)) as file, file.transaction():
            yield file.connection

    @contextmanager
    def _reading(self, consumer: Consumer) -> Iterator[tuple[sqlite3.Connection, tables.ConsumerRow]]:
        """A connection that sees one moment, and the consumer's row."""
        with reading(self.path, self.patience, read_only=self.read_only) as connection:
            yield connection, tables.find_consumer(connection, consumer)


def _state(connection: sqlite3.Connection, consumer: Consumer, row: tables.ConsumerRow) -> ConsumerState:
    if (occupant := tables.occupant(connection, consumer, row)) is not None:
        return msgspec.structs.replace(row.state, occupant=occupant[1])
    is_gone = row.state.content and tables.live_generation(connection, row) is None
    return msgspec.structs.replace(row.state, unsettled=is_gone)
