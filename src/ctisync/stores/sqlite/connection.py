"""The database file: how it is created and opened, and what its errors mean to an operator.

Any number of connections read it, and one at a time writes. A consumer's pass holds this host's lock for the
consumer, and takes turns with other writers (another consumer's pass, the history of one that has ended).
The file is in WAL mode: readers keep seeing the moment at which they began while a pass writes.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from traceback import walk_tb
from typing import Final
from urllib.parse import quote

from ctisync import hints
from ctisync.errors import ConfigurationError, CtisyncError, StoreUnavailable, in_words
from ctisync.escaping import quoted
from ctisync.stores.sqlite.compression import Unreadable
from ctisync.stores.sqlite.file import (
    Mode,
    create,
    exists,
    identity,
    may_write,
    no_access,
    read_mode,
    set_aside,
    stamp,
    turn,
)
from ctisync.stores.sqlite.schema import MIGRATIONS, empty_database, not_ours, value_of, version_of
from ctisync.system.files import to_chown

PAGE_SIZE: Final = 16384
"""Bytes. Packed records of about 1.5 kB leave a tenth of such pages empty, and a fifth of pages of 8192; with
larger pages a range writes more. A file never changes its page size."""

CACHE_BYTES: Final = 16 << 20
"""Of a writer: enough for the name index of 300,000 records, whose pages a load uses again and again."""

LOG_BYTES: Final = 32 << 20
"""Size at which the write-ahead log is moved into the file, after a transaction. A page that is written twice
before that, for example of an index, is moved once."""

LOCK_PATIENCE: Final = 30.0
"""Seconds to wait for another program's lock."""

_WAL_TRIES: Final = 100
"""A try fails only if another process tries the same, and the first success serves all of them."""

_ROOM_TO_SHRINK: Final = 4
"""Times the size of the remaining data: it is written twice, and as much again stays free for others."""


@contextmanager
def reading(
    path: Path, patience: float = LOCK_PATIENCE, *, read_only: bool = False
) -> Iterator[sqlite3.Connection]:
    """A connection that sees one moment and writes nothing. While nothing is stored, it is one to an empty
    database.

    One exception: a file of an older ctisync is migrated first, because a pass reads before it writes. With
    `read_only` it is not: the file then has any version, and SQLite leaves no files beside it.
    Raises ConfigurationError or StoreUnavailable, which name the file.
    """
    with translate_errors(path):
        connection, before = _open_reader(path, patience, read_only=read_only)
        with closing(connection):
            try:
                yield connection
            except (sqlite3.Error, Unreadable) as error:
                _check_undisturbed(path, before, error)
                raise
        _check_undisturbed(path, before, None)


class Writable:
    """A writer's connection to the file at the path. It detects that another file has replaced it."""

    def __init__(self, path: Path, patience: float) -> None:
        self.path = path
        self._patience = patience
        opened = identity(path)
        self.connection = _connect(path, "rw", patience)
        # SQLite does not say which file it has opened; it is known only if the file was the same before.
        self._identity = opened if opened == identity(path) else None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction. When the block has ended without an error, its writes are on the disk, in the file
        at the path. Raises StoreUnavailable if that file was replaced meanwhile, or another writer has the
        turn."""
        with translate_errors(self.path), turn(self.path, self._patience), _transaction(self.connection):
            yield
        if self._identity is None or self._identity != identity(self.path):
            raise StoreUnavailable(
                f"{self.path} was replaced or removed while ctisync wrote to it; the last writes are lost",
                hint=hints.command("sync"),
            )

    def shrink(self) -> None:
        """Return free pages to the disk, best effort. Otherwise SQLite reuses them.

        SQLite writes the remaining data to a temporary file and to the log. So this does nothing if that
        could fill the disk.
        """
        with suppress(sqlite3.Error, StoreUnavailable), turn(self.path, self._patience):
            pages, free, size = (
                value_of(self.connection, f"PRAGMA {each}")
                for each in ("page_count", "freelist_count", "page_size")
            )
            if shutil.disk_usage(self.path.parent).free > _ROOM_TO_SHRINK * (pages - free) * size:
                self.connection.execute("VACUUM")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        self.connection.close()


def open_writable(path: Path, patience: float = LOCK_PATIENCE) -> Writable:
    """Open the file to write. It is created if it is missing, and migrated to the newest schema version.

    A read-only connection checks first that the file is ctisync's. Raises as `SqliteStore` says.
    """
    with translate_errors(path):
        if not exists(path):
            create(path)
        reader, version = _begin_read(path, "ro", patience)
        reader.close()
        file = Writable(path, patience)
        connection = file.connection
        try:
            _enter_wal(connection, new=version == 0)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = OFF")  # what is removed was public
            connection.execute(f"PRAGMA cache_size = {-CACHE_BYTES >> 10}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_BYTES // PAGE_SIZE}")
            if version < len(MIGRATIONS):
                _migrate(file)
        except BaseException:
            file.close()
            raise
        return file


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # the first error says more
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise


_NO_DAMAGE: Final = (CtisyncError, AssertionError, UnicodeEncodeError)  # the last: it was to be written


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into errors of ctisync that name the file."""
    try:
        yield
    except sqlite3.Error as error:
        code: int | None = getattr(error, "sqlite_errorcode", None)
        if code is None:  # a mistake of the caller, not of SQLite
            raise
        raise _as_error(code & 0xFF, str(error), path) from error
    except Exception as error:
        # A damaged row or schema can have values of other types and texts that are no UTF-8.
        if isinstance(error, _NO_DAMAGE) or not _is_raised_here(error):
            raise
        why = str(error) if isinstance(error, Unreadable) else in_words(error)
        raise StoreUnavailable(f"{path} is damaged: {why}", hint=set_aside(path)) from error


def _is_raised_here(error: Exception) -> bool:
    """Whether this package was reading the file, and not a caller that uses what was read."""
    last = [frame for frame, _ in walk_tb(error.__traceback__)][-1]
    return str(last.f_globals.get("__name__")).startswith("ctisync.stores.sqlite")


def _enter_wal(connection: sqlite3.Connection, *, new: bool) -> None:
    """Put the file into WAL mode permanently.

    SQLite does not wait here for another process, for example one that creates the file at the same time. It
    does wait for a transaction, so an empty one precedes each further try.
    """
    for tries_left in reversed(range(_WAL_TRIES)):
        try:
            if value_of(connection, "PRAGMA journal_mode") == b"wal":
                return
            if new:
                # If the process is killed here, a journal file would be left that a reader must roll back but
                # cannot. With the journal in memory there is none.
                connection.execute("PRAGMA journal_mode = MEMORY")
                connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            code: int = getattr(error, "sqlite_errorcode", 0)
            if code & 0xFF != sqlite3.SQLITE_BUSY or not tries_left:
                raise
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("ROLLBACK")


def _migrate(file: Writable) -> None:
    for number, statements in enumerate(MIGRATIONS, start=1):
        with file.transaction():
            if version_of(file.connection, file.path, len(MIGRATIONS)) < number:
                for statement in statements:
                    file.connection.execute(statement)
                file.connection.execute(f"PRAGMA user_version = {number}")


def _open_reader(
    path: Path, patience: float, *, read_only: bool
) -> tuple[sqlite3.Connection, tuple[int, ...] | None]:
    """A read-only connection in a transaction; also the file's stamp if SQLite does not protect the read from
    writes."""
    if not exists(path):
        return empty_database(), None
    before = stamp(path)  # first, so that a write while the mode is chosen counts, too
    mode = read_mode(path, read_only=read_only)
    if mode == "ro":
        before = None
    try:
        connection, version = _begin_read(path, mode, patience)
    except sqlite3.DatabaseError as error:
        if not os.path.lexists(path):
            raise
        if read_mode(path, read_only=read_only) == mode:
            _check_undisturbed(path, before, error)
            raise
        # A pass has started or ended meanwhile: SQLite has created or removed the files beside the file.
        return _open_reader(path, patience, read_only=read_only)
    if 0 < version < len(MIGRATIONS) and not read_only:
        connection.close()
        if not may_write(path):
            raise ConfigurationError(
                f"{path} was written by an older ctisync and must be migrated before it is read",
                hint=f"as its owner: {hints.command('status')}",
            )
        open_writable(path, patience).close()
        connection, version = _begin_read(path, "ro", patience)
    if not version:
        connection.close()
        return empty_database(), None
    return connection, before


def _check_undisturbed(path: Path, before: tuple[int, ...] | None, failure: Exception | None) -> None:
    """Raises StoreUnavailable, because of `failure` if there is one, if the file had another stamp before."""
    if before is not None and stamp(path) != before:
        raise StoreUnavailable(
            f"a pass started and wrote to {path} during the read",
            hint="run the same command again; it can read while a pass is running",
        ) from failure


def _begin_read(path: Path, mode: Mode, patience: float) -> tuple[sqlite3.Connection, int]:
    """A connection in a transaction, and the file's schema version. Raises as `version_of` does."""
    connection = _connect(path, mode, patience)
    try:
        connection.execute("BEGIN")
        return connection, version_of(connection, path, len(MIGRATIONS))
    except BaseException:
        connection.close()
        raise


def _connect(path: Path, mode: Mode, patience: float) -> sqlite3.Connection:
    uri = f"file:{quote(os.fsencode(path.absolute()))}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=patience, isolation_level=None)
    connection.text_factory = bytes  # a line is returned unchanged
    return connection


def _as_error(code: int, reason: str, path: Path) -> CtisyncError:
    """The error for an SQLite result code (its lowest byte, https://www.sqlite.org/rescode.html)."""
    if not os.path.lexists(path) and identity(path.parent) is not None:
        # It was there before it was opened. SQLite calls that an I/O error, or that it cannot open it.
        return StoreUnavailable(
            f"{path} was replaced or removed while ctisync opened it", hint=hints.command("sync")
        )
    quoted_db = quoted(path)
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreUnavailable(f"{path} is locked by another program", hint=f"fuser -v {quoted_db}")
        case sqlite3.SQLITE_FULL:
            return StoreUnavailable(f"{path} cannot grow: the disk is full", hint=f"df -h {quoted_db}")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_IOERR:
            return StoreUnavailable(
                f"{path} cannot be read or written: {reason}", hint=to_chown(path) or f"ls -l {quoted_db}"
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_ERROR:  # the latter: a table or a column is missing
            return StoreUnavailable(f"{path} is damaged: {reason}", hint=set_aside(path))
        case sqlite3.SQLITE_NOTADB:
            return not_ours(path, "not an SQLite database")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return no_access(path)
        case _:
            return StoreUnavailable(f"{path} cannot be used: {reason}")
