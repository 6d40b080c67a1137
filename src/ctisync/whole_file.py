"""Writes files atomically: whole, or not at all."""

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, cast

from ctisync.own_files import is_of_kernel

STDOUT: Final = Path("-")
"""What an option takes for standard output."""

_OLD: Final = 86_400
"""Seconds: a partial file that has not changed for this long is of a dead process."""


@contextmanager
def replacing(target: Path, *, mode: int | None = None) -> Iterator[BinaryIO]:
    """Yields a new file beside `target`, which replaces it, synced to disk, if the block succeeds. Otherwise
    the file is removed, and `target` stays unchanged.

    `mode`: its permissions, regardless of the umask; None: those of any new file. Until the end only this
    user can read it. A link is replaced, never followed: in a folder that other users can write to, it can
    point anywhere. A device or pipe, such as `/dev/stdout`, is written to directly. Raises OSError.
    """
    if (special := _opened_special(target)) is not None:
        with special:
            yield special
        return
    beside = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    try:
        with _made(beside) as file:
            _remove_leftovers(target, os.fstat(file.fileno()).st_mtime)
            yield file
            file.flush()
            os.fchmod(file.fileno(), _usual_mode() if mode is None else mode)
            os.fsync(file.fileno())
        beside.replace(target)
        _sync_folder(target.parent)
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()


def _opened_special(target: Path) -> BinaryIO | None:
    """The opened target, if it must be written to directly."""
    if target == STDOUT:
        return os.fdopen(os.dup(1), "wb")
    if is_of_kernel(target):
        return target.open("wb")
    try:
        found = target.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
        return None
    if found.st_uid not in (os.geteuid(), 0):  # opening it could block forever
        raise PermissionError(1, "it is a pipe or device of another user", str(target))
    file = os.open(target, os.O_WRONLY | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(file).st_mode):  # replaced in the meantime; it is unchanged
        os.close(file)
        return None
    return os.fdopen(file, "wb")


def _made(path: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return cast(BinaryIO, os.fdopen(os.open(path, flags, 0o600), "wb"))


def _remove_leftovers(target: Path, now: float) -> None:
    """Remove partial files of processes that were killed while they wrote the same file."""
    ours = re.compile(re.escape(f".{target.name}.") + r"[0-9a-f]{16}\.part")
    for path in target.parent.iterdir():
        if ours.fullmatch(path.name):
            with suppress(OSError):  # of another user, or just removed
                found = path.lstat()
                if found.st_uid == os.geteuid() and now - found.st_mtime > _OLD:
                    path.unlink()


def _usual_mode() -> int:
    """The mode of a new file, from the umask of the process."""
    umask = os.umask(0o077)
    os.umask(umask)
    return 0o666 & ~umask


def _sync_folder(folder: Path) -> None:
    """Without this, the new name may be lost in a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
