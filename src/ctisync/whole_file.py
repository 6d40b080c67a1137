"""A file that is written whole or not at all."""

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, cast

STDOUT: Final = Path("-")
"""A name that stands for standard output."""

_OLD: Final = 86_400
"""Seconds: a file that has not grown for so long is of a run that died."""

_SYSTEM: Final = re.compile(r"/dev(/pts)?|/proc(/.*)?")
"""Folders whose names, links included, are the kernel's and stand for something open."""


@contextmanager
def replacing(target: Path, *, mode: int | None = None) -> Iterator[BinaryIO]:
    """A file beside `target` that takes its place at the end, on the disk, when nothing went wrong. Else it
    is gone, and `target` is what it was.

    `mode`: its permissions, whatever the umask; until its end it is for this user alone. A link under the
    name is replaced, and nothing is written through it: in a folder that others may write to, it can lead
    anywhere. A device or a pipe is written to as it is, which is how `/dev/stdout` is meant, too: it cannot
    be replaced without doing harm. Raises OSError.
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
    """What stands under the name, opened, when it must be written to as it is."""
    if target == STDOUT:
        return os.fdopen(os.dup(1), "wb")
    if _SYSTEM.fullmatch(os.path.realpath(target.absolute().parent)):
        return target.open("wb")
    try:
        found = target.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
        return None
    if found.st_uid not in (os.geteuid(), 0):  # it could keep us waiting for ever
        raise PermissionError(1, "it is another user's pipe or device", str(target))
    file = os.open(target, os.O_WRONLY | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(file).st_mode):  # exchanged since; nothing has been done to it
        os.close(file)
        return None
    return os.fdopen(file, "wb")


def _made(path: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return cast(BinaryIO, os.fdopen(os.open(path, flags, 0o600), "wb"))


def _remove_leftovers(target: Path, now: float) -> None:
    """Of runs that were killed while they wrote the same file, by the clock of its disk."""
    ours = re.compile(re.escape(f".{target.name}.") + r"[0-9a-f]{16}\.part")
    for path in target.parent.iterdir():
        if ours.fullmatch(path.name):
            with suppress(OSError):  # another user's, or just gone
                found = path.lstat()
                if found.st_uid == os.geteuid() and now - found.st_mtime > _OLD:
                    path.unlink()


def _usual_mode() -> int:
    """That of a new file, which only a process's umask tells."""
    umask = os.umask(0o077)
    os.umask(umask)
    return 0o666 & ~umask


def _sync_folder(folder: Path) -> None:
    """Else the new name may be gone after a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
