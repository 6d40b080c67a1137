"""SQLite, for an examination: whether a pass can read and write the file, by looking at it."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ctisync.core.health import Verdict, failed, guarded, ok
from ctisync.harmless import quoted
from ctisync.stores.sqlite_file import check_library, reading
from ctisync.stores.sqlite_schema import MIGRATIONS, version_of

_MOMENT: Final = 1.0
"""Seconds to wait for another program's lock: nobody who examines waits for a backup to end."""


def examine(path: Path) -> Iterator[Verdict]:
    """The library, then the file; the one that is not there yet is as good as its folder is."""
    yield from guarded("sqlite", _library)
    yield from guarded("store", lambda: _file(path))


def _library() -> Iterator[Verdict]:
    check_library()
    yield ok("sqlite", f"the library is {sqlite3.sqlite_version}")


def _file(path: Path) -> Iterator[Verdict]:
    with reading(path, _MOMENT, untouched=True) as connection:
        if connection is None:
            yield ok("store", f"{path} is made by the first pass")
        elif not all(os.access(each, os.R_OK | os.W_OK) for each in (path, path.parent)):
            quoted_path = quoted(path)
            yield failed(
                "store",
                f"{path} can be read and not written: the file and its folder must both be writable",
                f"ls -ld {quoted(path.parent)} {quoted_path}",
            )
        else:
            version = version_of(connection, path)
            older = "" if version == len(MIGRATIONS) else ", which the next pass makes a newer one"
            yield ok(
                "store",
                f"{path} can be read and written, its schema version is {version}{older}",
            )
