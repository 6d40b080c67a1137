"""The database file: how it comes to be, how it is opened, and what its errors mean to an operator.

Any number of connections read it, and one at a time writes: a consumer's pass holds this host's lock for it,
and whatever else writes (another consumer's pass, the history of one that has ended) takes turns with it.
The file is in WAL mode, so that readers keep the moment at which they began while a pass writes.
"""

import errno
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ctisync.errors import ConfigurationError, CtisyncError, StoreUnavailable
from ctisync.harmless import quoted
from ctisync.own_files import claimed
from ctisync.stores.sqlite.access import ReadAccess, ReadMode, beside, lacks_an_index, may_write, to_open
from ctisync.stores.sqlite.compression import Unreadable, UnreadableState
from ctisync.stores.sqlite.schema import MIGRATIONS, Migration, not_ours, refuse_newer, version_of
from ctisync.stores.sqlite.turn import turn

OLDEST: Final = (3, 24, 0)
"""The first SQLite that knows upserts; RHEL 8 and 9, which have Python 3.11, come with 3.26 and 3.34."""

PAGE_SIZE: Final = 16384
"""Bytes. Packed records of about 1.5 kB leave a tenth of their pages empty, in pages of 8192 a fifth; larger
pages make a range write more. A file keeps its size for good."""

CACHE_BYTES: Final = 16 << 20
"""Of a writer: the index by name of 300,000 records, whose pages a load comes back to again and again."""

LOG_BYTES: Final = 32 << 20
"""Of the write-ahead log, once a transaction has ended: then it is moved into the file. What is written twice
before that, such as a page of an index, is moved once."""

LOCK_PATIENCE: Final = 30.0
"""Seconds to wait for another program's lock."""

_WAL_TRIES: Final = 100
"""Each is lost to another process that tries the same, and the first to succeed has done it for all."""

_ROOM_TO_SHRINK: Final = 4
"""Times what stays in the file: twice written, and as much again for others."""


def set_aside(path: Path) -> str:
    """What to type when the file cannot be used any more."""
    folder = quoted(path.with_name(f"damaged-{path.name}"))
    moved = f"mkdir -p {folder} && mv {quoted(path)}* {folder}"
    return f"restore the file from a backup, or load anew: {moved}; then: ctisync sync"


@contextmanager
def reading(
    path: Path,
    patience: float = LOCK_PATIENCE,
    migrations: Sequence[Migration] = MIGRATIONS,
    *,
    untouched: bool = False,
) -> Iterator[sqlite3.Connection | None]:
    """A connection that sees one moment and writes nothing; None while nothing is stored.

    The one exception: a file of an older ctisync is migrated first, since a pass looks before it writes.
    Not so if all is to stay `untouched`: the connection is then to a file of whatever version, and SQLite
    leaves no file beside it.
    """
    if not _exists(path):
        yield None
        return
    with named_errors(path):
        access = ReadAccess(path, untouched=untouched)
        try:
            connection, version = _open_reader(path, patience, migrations, access.mode)
        except sqlite3.OperationalError:
            access, before = ReadAccess(path, untouched=untouched), access.mode
            if access.mode == before:
                raise
            # The last pass has ended meanwhile, and removed what was beside the file.
            connection, version = _open_reader(path, patience, migrations, access.mode)
        if 0 < version < len(migrations) and not untouched:
            connection.close()
            if not may_write(path):
                raise ConfigurationError(
                    f"{path} was written by an older ctisync, and is to be taken over before it is read",
                    hint="as the owner of it: ctisync status",
                )
            open_writable(path, patience, migrations).close()
            connection, version = _open_reader(path, patience, migrations)
        try:
            with _undisturbed(access, path):
                yield connection if version else None
        finally:
            connection.close()


@contextmanager
def _undisturbed(access: ReadAccess, path: Path) -> Iterator[None]:
    """What is read counts only if the file stayed as it was, where SQLite does not see to that."""
    try:
        yield
    except (sqlite3.Error, Unreadable) as error:
        if access.was_disturbed():
            raise _disturbed(path) from error
        raise
    if access.was_disturbed():
        raise _disturbed(path)


def _disturbed(path: Path) -> StoreUnavailable:
    return StoreUnavailable(
        f"{path} was written to while it was read, by a pass that has just begun",
        hint="the same command again; it reads beside a pass that is at work",
    )


class Writable:
    """The connection of a writer, and what it needs to write to the file that stands at the path."""

    def __init__(self, path: Path, patience: float) -> None:
        self.path = path
        self._patience = patience
        identity = _identity(path)
        self.connection = _connect(path, "rw", patience)
        # Which file SQLite has opened shows in nothing but that it was the same before and after.
        self._identity = identity if identity == _identity(path) else None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing. When this ends it is on the disk, in the file at the path; else it raises
        StoreUnavailable."""
        with turn(self.path, self._patience), _transaction(self.connection):
            yield
        if self._identity is None or self._identity != _identity(self.path):
            raise StoreUnavailable(
                f"{self.path} was replaced or removed while ctisync wrote to it, and does not hold that",
                hint="ctisync sync",
            )

    def shrink(self) -> None:
        """Give pages that are free back to the disk, best effort: they are used again otherwise.

        SQLite writes what stays anew, into a temporary file and into the log: not where that could fill the
        disk.
        """
        with suppress(sqlite3.Error, StoreUnavailable), turn(self.path, self._patience):
            (pages,) = self.connection.execute("PRAGMA page_count").fetchone()
            (free,) = self.connection.execute("PRAGMA freelist_count").fetchone()
            (size,) = self.connection.execute("PRAGMA page_size").fetchone()
            if shutil.disk_usage(self.path.parent).free > _ROOM_TO_SHRINK * (pages - free) * size:
                self.connection.execute("VACUUM")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        self.connection.close()


def open_writable(
    path: Path, patience: float = LOCK_PATIENCE, migrations: Sequence[Migration] = MIGRATIONS
) -> Writable:
    """To write to a file of the newest schema version, which is created when missing.

    What is not ours is refused through a connection that cannot write.
    """
    with named_errors(path):
        if not _exists(path):
            _create(path)
        reader, version = _open_reader(path, patience, migrations)
        reader.close()
        file = Writable(path, patience)
        connection = file.connection
        try:
            _enter_wal(connection, new=version == 0)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = OFF")  # what is removed was public
            connection.execute(f"PRAGMA cache_size = {-CACHE_BYTES >> 10}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_BYTES // PAGE_SIZE}")
            if version < len(migrations):
                _migrate(file, migrations)
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
        with suppress(sqlite3.Error):  # the error that led here says more
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """What SQLite reports within leaves as an error of ctisync that names the file."""
    try:
        yield
    except sqlite3.Error as error:
        code: int | None = getattr(error, "sqlite_errorcode", None)
        if code is None:  # not SQLite's but the caller's mistake
            raise
        raise _meaning(code & 0xFF, str(error), path) from error
    except UnreadableState as error:
        raise StoreUnavailable(
            f"{path} holds a state that cannot be read: {error}", hint=set_aside(path)
        ) from error
    except Unreadable as error:
        raise StoreUnavailable(f"{path} is damaged: {error}", hint=set_aside(path)) from error


def _enter_wal(connection: sqlite3.Connection, *, new: bool) -> None:
    """Put the file into WAL mode, in which it stays for good.

    For this SQLite waits for nobody, such as another process that has found no file and makes it just now.
    It does wait for a transaction: one that changes nothing comes before each further try.
    """
    for tries_left in reversed(range(_WAL_TRIES)):
        try:
            _try_wal(connection, new=new)
            return
        except sqlite3.OperationalError as error:
            code: int = getattr(error, "sqlite_errorcode", 0)
            if code & 0xFF != sqlite3.SQLITE_BUSY or not tries_left:
                raise
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("ROLLBACK")


def _try_wal(connection: sqlite3.Connection, *, new: bool) -> None:
    if connection.execute("PRAGMA journal_mode").fetchone() == (b"wal",):
        return
    if new:
        # Without a journal file there is none that a reader would have to roll back, but cannot, when the
        # process is killed just here.
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    connection.execute("PRAGMA journal_mode = WAL")


def _migrate(file: Writable, migrations: Sequence[Migration]) -> None:
    for number, statements in enumerate(migrations, start=1):
        with file.transaction():
            if version_of(file.connection, file.path) < number:
                for statement in statements:
                    file.connection.execute(statement)
                file.connection.execute(f"PRAGMA user_version = {number}")


def _open_reader(
    path: Path, patience: float, migrations: Sequence[Migration], mode: ReadMode = "ro"
) -> tuple[sqlite3.Connection, int]:
    """A connection that cannot write, in a transaction, and the schema version that it finds."""
    connection = _connect(path, mode, patience)
    try:
        connection.execute("BEGIN")
        version = version_of(connection, path)
        refuse_newer(version, len(migrations), path)
    except BaseException:
        connection.close()
        raise
    return connection, version


def check_library() -> None:
    """Raises ConfigurationError when Python's SQLite is too old."""
    if sqlite3.sqlite_version_info < OLDEST:
        needed = ".".join(map(str, OLDEST))
        raise ConfigurationError(
            f"Python's SQLite is {sqlite3.sqlite_version}, ctisync needs {needed} or later",
            hint="run ctisync with a Python that was built with a newer SQLite",
        )


def _connect(path: Path, mode: ReadMode, patience: float) -> sqlite3.Connection:
    check_library()
    uri = f"file:{quote(os.fsencode(path.absolute()))}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=patience, isolation_level=None)
    connection.text_factory = bytes  # a line is handed out as it came in
    return connection


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file stands there now, by device and inode."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _exists(path: Path) -> bool:
    """Whether there is a file, be it empty; what hides it from us is an error, not an absence."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _no_access(path, error) from error
    if not stat.S_ISREG(mode):
        raise not_ours(path, "no file")
    return True


def _create(path: Path) -> None:
    """Make an empty file that is the user's alone; one that has come to be meanwhile is taken as it is."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass
    except FileNotFoundError as error:
        folder = path.absolute().parent
        raise ConfigurationError(
            f"the folder {folder} of the store does not exist", hint=f"mkdir -p {quoted(folder)}"
        ) from error
    except OSError as error:
        raise _no_access(path, error) from error


def _no_access(path: Path, error: OSError) -> CtisyncError:
    reason = f"{path} cannot be opened: {error.strerror}"
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
        return StoreUnavailable(reason, hint=f"df -h {quoted(path.parent)}")
    return ConfigurationError(reason, hint=to_open(path) or claimed(path) or f"ls -ld {quoted(path.parent)}")


def _closed(path: Path) -> ConfigurationError:
    if lacks_an_index(path):
        return ConfigurationError(
            f"{path} cannot be opened by a user who may only read it: {path}-wal has no index beside it",
            hint="as the owner of it: ctisync status",
        )
    quoted_files = " ".join(quoted(each) for each in (path.parent, path, *beside(path)) if each.exists())
    return ConfigurationError(
        f"{path} cannot be opened; this user must be allowed to read it and what lies beside it; a pass must "
        "be allowed to write, too, also to the folder",
        hint=to_open(path) or claimed(path) or f"ls -ld {quoted_files}",
    )


def _meaning(code: int, reason: str, path: Path) -> CtisyncError:
    """What an SQLite result code (its lowest byte, https://www.sqlite.org/rescode.html) says of the file."""
    quoted_db = quoted(path)
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreUnavailable(f"{path} is locked by another program", hint=f"fuser -v {quoted_db}")
        case sqlite3.SQLITE_FULL:
            return StoreUnavailable(f"{path} cannot grow: the disk is full", hint=f"df -h {quoted_db}")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_IOERR:
            return StoreUnavailable(
                f"{path} cannot be read or written: {reason}", hint=claimed(path) or f"ls -l {quoted_db}"
            )
        case sqlite3.SQLITE_CORRUPT:
            return StoreUnavailable(f"{path} is damaged: {reason}", hint=set_aside(path))
        case sqlite3.SQLITE_NOTADB:
            return not_ours(path, "no SQLite database")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return _closed(path)
        case _:
            return StoreUnavailable(f"{path} cannot be used: {reason}")
