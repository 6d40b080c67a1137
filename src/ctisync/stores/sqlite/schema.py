"""The tables, their version, and how to recognise a file of ctisync.

A *generation* is one loaded content; each consumer's row points to the live one. To change the
schema, append a migration: the existing ones have been run on users' files.
"""

import sqlite3
from itertools import chain
from pathlib import Path
from typing import Any, Final

from ctisync.errors import ConfigurationError

Migration = tuple[str, ...]
"""The statements from one version to the next, which run in one transaction."""

APPLICATION_ID: Final = 0x43544953
"""Marks a file of ctisync in its header ("CTIS")."""

# No STRICT tables: an SQLite older than 3.37 could not open the file. The order of `records.id` has no
# meaning; an export reads in the order of `generation, name`.
MIGRATIONS: Final[tuple[Migration, ...]] = (
    (
        f"PRAGMA application_id = {APPLICATION_ID}",
        """
        CREATE TABLE consumers (
            id INTEGER PRIMARY KEY,
            context TEXT NOT NULL,
            name TEXT NOT NULL,
            generation INTEGER,
            writer TEXT,
            state TEXT NOT NULL,
            UNIQUE (context, name)
        )
        """,
        """
        CREATE TABLE generations (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            consumer INTEGER NOT NULL,
            snapshot_offset INTEGER NOT NULL,
            snapshot_link TEXT NOT NULL,
            begun_at TEXT NOT NULL
        )
        """,
        """
        CREATE TABLE records (
            id INTEGER PRIMARY KEY,
            generation INTEGER NOT NULL,
            name TEXT NOT NULL CHECK (typeof(name) = 'text'),
            offset INTEGER NOT NULL CHECK (typeof(offset) = 'integer'),
            line TEXT NOT NULL CHECK (typeof(line) = 'text')
        )
        """,
        "CREATE UNIQUE INDEX records_by_name ON records (generation, name)",
        """
        CREATE VIEW content AS
        SELECT consumers.context, consumers.name AS consumer, records.name, records.offset, records.line
        FROM consumers JOIN records ON records.generation = consumers.generation
        """,
        """
        CREATE VIEW consumer_state AS
        SELECT context, name AS consumer,
            json_extract(state, '$.offset') AS offset,
            json_extract(state, '$.last_offset') AS last_offset,
            json_extract(state, '$.snapshot_offset') AS snapshot_offset,
            json_extract(state, '$.last_snapshot_link') AS last_snapshot_link,
            json_extract(state, '$.owed.offset') AS owed_offset,
            json_extract(state, '$.checked_at') AS checked_at,
            json_extract(state, '$.updated_at') AS updated_at
        FROM consumers
        """,
    ),
    # Packed lines have a column of their own: to allow other types in `line`, the table would have to be
    # created again, or the schema edited (docs/adr/0014-packed-lines.md).
    (
        "ALTER TABLE records ADD COLUMN packed BLOB",
        """
        CREATE TABLE dictionaries (
            id INTEGER PRIMARY KEY,
            generation INTEGER NOT NULL UNIQUE,
            content BLOB NOT NULL
        )
        """,
        "DROP VIEW content",
        """
        CREATE VIEW content AS
        SELECT consumers.context, consumers.name AS consumer, records.name, records.offset,
            CASE WHEN records.packed IS NULL THEN records.line ELSE records.packed END AS line
        FROM consumers JOIN records ON records.generation = consumers.generation
        """,
    ),
    # A pass may fail before the file has a row of its consumer, so it has the name and not the number.
    (
        """
        CREATE TABLE passes (
            id INTEGER PRIMARY KEY,
            pass_id TEXT NOT NULL UNIQUE,
            context TEXT NOT NULL,
            consumer TEXT NOT NULL,
            account TEXT NOT NULL,
            touched TEXT NOT NULL
        )
        """,
        "CREATE INDEX passes_by_consumer ON passes (context, consumer, id)",
        """
        CREATE VIEW history AS
        SELECT context, consumer, pass_id,
            json_extract(account, '$.began_at') AS began_at,
            json_extract(account, '$.seconds') AS seconds,
            json_extract(account, '$.command') AS command,
            json_extract(account, '$.exit_code') AS exit_code,
            json_extract(account, '$.outcome') AS outcome,
            json_extract(account, '$.why') AS why,
            json_extract(account, '$.from_offset') AS from_offset,
            json_extract(account, '$.offset') AS offset,
            json_extract(account, '$.last_offset') AS last_offset,
            json_extract(account, '$.changes') AS changes,
            json_extract(account, '$.records') AS records
        FROM passes
        """,
    ),
)


def empty_database() -> sqlite3.Connection:
    """A database in memory with the tables, in which nothing is stored. Its version is 0."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.text_factory = bytes
    connection.executescript(";".join(chain.from_iterable(MIGRATIONS)))
    return connection


def version_of(connection: sqlite3.Connection, path: Path, newest: int) -> int:
    """The file's schema version; 0 if nothing is stored.

    Call it within a transaction. Raises ConfigurationError for a version above `newest`, and for another
    program's database.
    """
    application = value_of(connection, "PRAGMA application_id")
    version: int = value_of(connection, "PRAGMA user_version")
    if application == APPLICATION_ID:
        if version > newest:
            raise ConfigurationError(
                f"{path} has schema version {version}; this ctisync supports versions up to {newest}",
                hint="run the newer ctisync that wrote it, or set store.url to another file",
            )
        return version
    if application or version or value_of(connection, "SELECT count(*) FROM sqlite_master"):
        raise not_ours(path, "another program's database")
    return 0


def not_ours(path: Path, what: str) -> ConfigurationError:
    """The error for a path that is `what` instead of a database of ctisync."""
    return ConfigurationError(f"{path} is {what}", hint="set store.url to a file that does not exist yet")


def value_of(connection: sqlite3.Connection, query: str, *values: str | int | None) -> Any:
    """The first column of the first row that the query returns; None if it returns none."""
    row = connection.execute(query, values).fetchone()
    return None if row is None else row[0]
