"""What a SQLite file has stored, for comparisons to the byte."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from ctisync.core.model import Consumer
from ctisync.stores.sqlite.compression import register
from ctisync.stores.sqlite.store import SqliteStore

Row = tuple[str, int, bytes]
"""Of the view `content`: name, offset and line."""


class Stored(NamedTuple):
    """What readers get, byte for byte, and all that is stored. `exported` is what an export writes; `files`
    lie beside the database, where a test asks for them."""

    exported: tuple[bytes, ...]
    view: tuple[Row, ...]
    generations: int
    rows: int
    files: frozenset[str] = frozenset()


def read_stored(store: SqliteStore, path: Path, consumer: Consumer) -> Stored:
    """`path` is that of the store's file."""
    exported = tuple(store.export(consumer))
    with closing(sqlite3.connect(path)) as database:
        [(generations,)] = database.execute("SELECT count(*) FROM generations")
        [(rows,)] = database.execute("SELECT count(*) FROM records")
    return Stored(exported, view_of(path), generations, rows)


def view_of(path: Path) -> tuple[Row, ...]:
    """The rows of the view `content`, by name."""
    with closing(sqlite3.connect(path)) as database:
        register(database)
        query = "SELECT name, offset, CAST(ctisync_line(line) AS BLOB) FROM content ORDER BY name"
        return tuple(database.execute(query))
