"""One writing transaction at a time on a database file, with the checkpoint that follows it.

SQLite lets its own lock go with the commit, and moves the log into the file after that. Before 3.51.3 it can
damage the file when another connection commits just then (https://www.sqlite.org/wal.html#walresetbug).
"""

import fcntl
import os
import select
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ctisync.errors import StoreUnavailable

_STEP: Final = 0.01
"""Seconds until a lock that another one holds is tried again. A waiting flock would have no time-out."""


class Turn:
    """A lock file beside the database, which stays: the kernel lets the lock go when its holder ends."""

    def __init__(self, database: Path, patience: float) -> None:
        """`patience`: seconds to wait for it. Raises OSError, its `filename` the lock file's."""
        self._database = database
        self._path = database.with_name(f"{database.name}.lock")
        self._tries = max(1, round(patience / _STEP))
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(self._path, flags, 0o600)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Raises StoreUnavailable when it does not come in time, or cannot come at all."""
        self._take()
        try:
            yield
        finally:
            with suppress(OSError):  # closing the file lets it go, too
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._file)

    def _take(self) -> None:
        for _ in range(self._tries):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                select.select((), (), (), _STEP)
            except OSError as error:
                raise StoreUnavailable(
                    f"cannot lock {self._path}: {error.strerror}",
                    hint=f"df -T {shlex.quote(str(self._path.parent))} (it must support flock)",
                ) from error
        raise StoreUnavailable(
            f"{self._database} is locked by another program", hint=f"fuser -v {shlex.quote(str(self._path))}"
        )
