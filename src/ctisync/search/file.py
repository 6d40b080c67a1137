"""The file of an index: opened, made anew or brought up to date, by one search at a time."""

import errno
import secrets
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from ctisync.errors import AnotherPass, ConfigurationError, StoreUnavailable
from ctisync.escaping import quoted
from ctisync.ports import Clock, Inspection, Log
from ctisync.search.index import APPLICATION_ID, FORM, Damaged, Index, create, update
from ctisync.system.files import open_any
from ctisync.system.locks import host_lock

_T = TypeVar("_T")

_BUSY: Final = 2.0
"""Seconds that a search waits for another one that updates the index, before it uses the older state."""
_BUILT: Final = 900.0
"""Seconds that it waits if there is no older state."""
_POLL: Final = 0.1

_MAGIC: Final = b"SQLite format 3\0"
_FORM_AT: Final = slice(60, 64)
_APPLICATION_AT: Final = slice(68, 72)


def read_stored(path: Path, question: Callable[[Index], _T]) -> _T | None:
    """The answer of the index in this file as it is, of whatever content and offset; nothing is made or
    updated. None if there is no index that can be read."""
    unreadable = (Damaged, sqlite3.DatabaseError, ConfigurationError, StoreUnavailable)
    with ExitStack() as opened, suppress(*unreadable):
        index = _opened_index(path, opened)
        return None if index is None else question(index)
    return None


def _opened_index(path: Path, opened: ExitStack) -> Index | None:
    """None if there is no index of this form, or it is damaged. `opened` closes it."""
    if not _is_index(path):
        return None
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        connection = opened.enter_context(closing(sqlite3.connect(uri, uri=True, timeout=_BUSY)))
        connection.execute("PRAGMA temp_store = MEMORY")
        return Index(connection)
    except (Damaged, sqlite3.DatabaseError):
        opened.close()
        return None


def _is_index(path: Path) -> bool:
    """Whether the file is an index of this form. Raises ConfigurationError if it is something else."""
    try:
        with open_any(path) as file:
            header = file.read(100)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in (errno.EISDIR, errno.EINVAL):  # no regular file
            raise _foreign(path) from error
        raise StoreUnavailable(f"cannot read the index {path}: {error.strerror}") from error
    application = int.from_bytes(header[_APPLICATION_AT], "big")
    if header and (not header.startswith(_MAGIC) or application != APPLICATION_ID):
        raise _foreign(path)
    return int.from_bytes(header[_FORM_AT], "big") == FORM


def _foreign(path: Path) -> ConfigurationError:
    hint = f"move it away: mv {quoted(path)} {quoted(path)}.old"
    return ConfigurationError(f"{path} is not an index of ctisync", hint=hint)


class IndexFile:
    """The index of `content` in the file `path`, which the users of the file `like` may read, too; None: only
    this one. `log` gets what a reader of the answer should know."""

    def __init__(
        self, path: Path, content: Inspection, clock: Clock, log: Log, like: Path | None = None
    ) -> None:
        self._path = path
        self._like = like
        self._content = content
        self._clock = clock
        self._log = log

    def ask(self, question: Callable[[Index], _T]) -> _T:
        """The answer to a question to the index as of the content; as of before, if another search updates it
        at this moment. A damaged index is made anew.

        Raises ConfigurationError if the file is not an index, or this SQLite has no full-text index, and
        StoreUnavailable if the index cannot be made.
        """
        for _ in range(2):
            with ExitStack() as opened:
                index = self._open(opened)
                if index is None or not self._is_current(index):
                    opened.close()
                    self._bring_up_to_date(index is not None)
                    index = self._open(opened)
                try:
                    if index is not None:
                        return question(index)
                except (Damaged, sqlite3.DatabaseError) as error:
                    if _is_busy(error):
                        raise StoreUnavailable(f"another search writes the index {self._path}") from error
            with self._named_errors():
                self._path.unlink(missing_ok=True)
        raise StoreUnavailable(f"the index {self._path} cannot be read")

    def _open(self, opened: ExitStack) -> Index | None:
        """None if there is no index of this form and this content, or it is damaged."""
        index = _opened_index(self._path, opened)
        return None if index is None or index.generation != self._content.generation else index

    def _is_current(self, index: Index) -> bool:
        return index.offset == self._content.state.offset

    def _bring_up_to_date(self, is_usable: bool) -> None:
        """Update the index, or make it anew; or wait for another search that does."""
        with self._named_errors():
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        end = self._clock.monotonic() + (_BUSY if is_usable else _BUILT)
        while True:
            try:
                with host_lock(
                    self._path.with_name(f"{self._path.name}.lock"), self._clock, "ctisync search"
                ):
                    self._write()
                return
            except AnotherPass as error:
                if self._clock.monotonic() >= end:
                    if is_usable:
                        self._log.event("warning", "index-behind", why="another search updates the index")
                        return
                    raise StoreUnavailable(f"another search still makes the index {self._path}") from error
                self._clock.sleep(_POLL)

    def _write(self) -> None:
        with self._named_errors(), ExitStack() as opened:
            self._roll_back()
            index = self._open(opened)  # another search may have written it meanwhile
            if index is not None and self._is_current(index):
                return
            if index is not None:
                opened.close()
                try:
                    with self._connected(self._path) as connection:
                        if update(connection, Index(connection), self._content):
                            return
                except (Damaged, sqlite3.DatabaseError) as error:
                    if _is_busy(error):
                        self._log.event("warning", "index-behind", why="another search reads the index")
                        return
            self._make()

    def _roll_back(self) -> None:
        """Undo what a search has written that was killed in a commit. Readers cannot do it; and its journal
        would be applied to a new index of this name."""
        if self._path.with_name(f"{self._path.name}-journal").exists():
            with suppress(sqlite3.DatabaseError), self._connected(self._path) as connection:
                connection.execute("SELECT count(*) FROM content")

    def _make(self) -> None:
        """Make the index beside the file, and put it in its place when it is complete."""
        beside = self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}.part")
        for part in self._path.parent.iterdir():
            if part.name.startswith(f".{self._path.name}.") and part.suffix == ".part":  # of a killed search
                part.unlink(missing_ok=True)
        total = self._content.count()
        try:
            with (
                self._connected(beside) as connection,
                self._log.progress("index", total, "records") as progress,
            ):
                beside.chmod(0o600 if self._like is None else stat.S_IMODE(self._like.stat().st_mode))
                create(connection, self._content, progress.reached)
            beside.replace(self._path)
        finally:
            with suppress(OSError):
                beside.unlink(missing_ok=True)

    def _connected(self, path: Path) -> AbstractContextManager[sqlite3.Connection]:
        return closing(sqlite3.connect(path, timeout=_BUSY, isolation_level=None))

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if "fts5" in str(error):
                raise ConfigurationError(
                    "this Python's SQLite has no full-text index (FTS5), which search needs",
                    hint="install a Python whose SQLite has FTS5",
                ) from error
            raise self._not_written(str(error)) from error
        except OSError as error:
            raise self._not_written(error.strerror) from error

    def _not_written(self, reason: str | None) -> StoreUnavailable:
        hint = f"its folder must be writable, with free disk space: df -h {quoted(self._path.parent)}"
        return StoreUnavailable(f"cannot write the index {self._path}: {reason}", hint=hint)


def _is_busy(error: Exception) -> bool:
    """Whether another process holds a lock of the index."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
