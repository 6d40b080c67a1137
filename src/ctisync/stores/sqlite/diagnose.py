"""The SQLite checks of `doctor`: whether a pass can read and write the file. They change nothing."""

import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from ctisync.core.health import ROOM_FOR_A_RANGE, CheckResult, failed, guarded, mib, ok
from ctisync.escaping import quoted
from ctisync.stores.sqlite.connection import check_library, reading
from ctisync.stores.sqlite.schema import MIGRATIONS, version_of
from ctisync.system.files import to_chown

_LOOK_PATIENCE: Final = 1.0
"""Seconds to wait for another program's lock: `doctor` does not wait for a backup to end."""


def diagnose(path: Path) -> Iterator[CheckResult]:
    """The verdicts on the library and the file. A file that does not exist yet is fine; its folder is checked
    elsewhere."""
    yield from guarded("sqlite", _library)
    yield from guarded("store", lambda: _file(path))


def refusals(path: Path) -> Iterator[CheckResult]:
    """What prevents the file's owner, as whom passes run, from writing to it. The caller may be another
    user."""
    with suppress(OSError):  # without access there is nothing to report
        if not _owner_can_write(path):
            yield _unwritable(path)
        elif (free := shutil.disk_usage(path.parent).free) < ROOM_FOR_A_RANGE:
            told = f"the disk of {path} has {mib(free)} of free disk space, too little for a pass"
            yield failed("store-disk", told, f"df -h {quoted(path.parent)}")


def _owner_can_write(path: Path) -> bool:
    file, folder = path.stat(), path.parent.stat()
    is_seen = os.geteuid() in (0, file.st_uid)
    if is_seen and not all(os.access(each, os.R_OK | os.W_OK) for each in (path, path.parent)):
        return False
    modes = [each.st_mode for each in (file, folder) if each.st_uid == file.st_uid]
    wanted = stat.S_IRUSR | stat.S_IWUSR
    return file.st_uid == 0 or all(mode & wanted == wanted for mode in modes)


def _unwritable(path: Path) -> CheckResult:
    return failed(
        "store",
        f"{path} can be read but not written: the file and its folder must both be writable",
        to_chown(path) or f"ls -ld {quoted(path.parent)} {quoted(path)}",
    )


def _library() -> Iterator[CheckResult]:
    check_library()
    yield ok("sqlite", f"the version of SQLite is {sqlite3.sqlite_version}")


def _file(path: Path) -> Iterator[CheckResult]:
    with reading(path, _LOOK_PATIENCE, untouched=True) as connection:
        if connection is None:
            yield ok("store", f"{path} does not exist yet; the first pass creates it")
        elif not all(os.access(each, os.R_OK | os.W_OK) for each in (path, path.parent)):
            yield _unwritable(path)
        else:
            version = version_of(connection, path)
            older = "" if version == len(MIGRATIONS) else "; the next pass migrates it to the newest"
            yield ok(
                "store",
                f"{path} can be read and written, its schema version is {version}{older}",
            )
