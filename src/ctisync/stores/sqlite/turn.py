"""One writing transaction at a time on a database file, with the checkpoint that follows it.

SQLite releases its own lock with the commit, and moves the log into the file after that. Before 3.51.3 it can
damage the file if another connection commits at that moment (https://www.sqlite.org/wal.html#walresetbug).
"""

import fcntl
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ctisync.errors import StoreUnavailable
from ctisync.escaping import quoted
from ctisync.system.files import open_own_fd, to_chown

_STEP: Final = 0.01
"""Seconds between two tries of a lock. A waiting flock would have no time-out."""


@contextmanager
def turn(database: Path, patience: float) -> Iterator[None]:
    """Hold the lock file beside the database. The file stays; the kernel releases the lock if its holder
    dies.

    `patience`: seconds to wait for it. Raises StoreUnavailable after that, or if the file cannot be locked.
    """
    path = database.with_name(f"{database.name}.lock")
    try:
        file = open_own_fd(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise _cannot_lock(path, error) from error
    try:
        if not _locked(file, path, max(1, round(patience / _STEP))):
            hint = f"fuser -v {quoted(path)}"
            raise StoreUnavailable(f"{database} is locked by another program", hint=hint)
        yield
    finally:
        os.close(file)


def _locked(file: int, path: Path, tries: int) -> bool:
    for _ in range(tries):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            select.select((), (), (), _STEP)
        except OSError as error:
            raise _cannot_lock(path, error) from error
    return False


def _cannot_lock(path: Path, error: OSError) -> StoreUnavailable:
    hint = to_chown(path) or f"ls -l {quoted(path)}"
    return StoreUnavailable(f"cannot lock {path}: {error.strerror}", hint=hint)
