"""The least time in which SQLite takes rows that are ready, in a file as safe as ctisync's.

A table and an index of the same shape, write-ahead log, synchronous FULL; the lines are stored as text, as
they are. Counted is all until the file is closed with an empty log.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from bench.feed.files import RangeWork
from bench.processes import Run
from bench.rivals.prebaked import Prebaked
from ctisync.stores.sqlite.connection import PAGE_SIZE

_TABLE: Final = """
    CREATE TABLE records (
        id INTEGER PRIMARY KEY,
        generation INTEGER NOT NULL,
        name TEXT NOT NULL,
        offset INTEGER NOT NULL,
        line TEXT NOT NULL
    )
"""
_INDEX: Final = "CREATE UNIQUE INDEX records_by_name ON records (generation, name)"
_INSERT: Final = "INSERT INTO records (generation, name, offset, line) VALUES (1, ?, ?, CAST(? AS TEXT))"
_READ: Final = "SELECT line FROM records WHERE generation = 1 AND name = ?"
_UPDATE: Final = (
    "INSERT INTO records (generation, name, offset, line) VALUES (1, ?, ?, CAST(? AS TEXT))"
    " ON CONFLICT (generation, name) DO UPDATE SET offset = excluded.offset, line = excluded.line"
)
_DELETE: Final = "DELETE FROM records WHERE generation = 1 AND name = ?"


def load(path: Path, prebaked: Prebaked) -> Run:
    """All rows by one `executemany` in one transaction, into a new file."""
    rows = prebaked.rows()
    began = time.perf_counter()
    with _opened(path) as connection:
        connection.execute("BEGIN")
        connection.execute(_TABLE)
        connection.execute(_INDEX)
        connection.executemany(_INSERT, rows)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Run(time.perf_counter() - began)


def update(path: Path, step: Sequence[RangeWork]) -> Run:
    """Each range: the touched rows are read, then the ready ones written, in one transaction."""
    ready = [
        (
            [(name,) for name in work.reads],
            [(write.name, write.offset, write.line) for write in work.writes if write.line is not None],
            [(write.name,) for write in work.writes if write.line is None],
        )
        for work in step
    ]
    began = time.perf_counter()
    with _opened(path) as connection:
        for names, rows, gone in ready:
            connection.execute("BEGIN IMMEDIATE")
            for name in names:
                connection.execute(_READ, name).fetchone()
            connection.executemany(_UPDATE, rows)
            connection.executemany(_DELETE, gone)
            connection.execute("COMMIT")
    return Run(time.perf_counter() - began)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.text_factory = bytes
        yield connection
