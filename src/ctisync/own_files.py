"""Checks that only this user can change files and folders, so that ctisync opens no file planted by others.

As sshd with StrictModes: a user who can write to a folder can put any file there under any name. For a disk
shared by several hosts, ctisync warns that locks may not work.
"""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from ctisync.core.health import Doubt
from ctisync.core.mounts import network_kind
from ctisync.errors import UsageError
from ctisync.harmless import quoted

MOUNTS: Final = Path("/proc/self/mountinfo")

_OF_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH

_ELSEWHERE: Final = "set store.url (or state_dir) to a place in a folder of your own"


class Unfit(OSError):
    """The file is not a regular file of this user with a single name."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(errno.EPERM, why, str(path))


def file_name(text: str) -> str:
    """The text as a file name for Python: characters that the locale lacks, as with LANG=C without UTF-8
    mode, become lone surrogates for their UTF-8 bytes."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return os.fsdecode(text.encode("utf-8", "surrogateescape"))
    return text


def own_path(path: Path, option: str) -> Path:
    """The path given with `option`, with `~` and `~user` expanded. Raises UsageError for an unknown user."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise UsageError(
            f"{option}: {path} begins with the home folder of a user that does not exist",
            hint="write the absolute path",
        ) from None


def opened(path: Path, flags: int) -> int:
    """A descriptor of a regular file of this user with a single name. A new file is accessible only to this
    user.

    Follows no link and waits for no pipe. Truncates nothing before the check: do not pass O_TRUNC in
    `flags`. Raises Unfit, and OSError as `os.open` does.
    """
    try:
        file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Unfit(path, "it is a symbolic link") from error
        raise
    if (why := unfit(os.fstat(file))) is not None:
        os.close(file)
        raise Unfit(path, why)
    return file


def reading(path: Path) -> BinaryIO:
    """The file, opened for reading as by `opened`."""
    return os.fdopen(opened(path, os.O_RDONLY), "rb")


def unfit(found: os.stat_result) -> str | None:
    """Why ctisync cannot trust the file with this result of `lstat` or `fstat`, in words; None if it can."""
    if stat.S_ISLNK(found.st_mode):
        return "it is a symbolic link"
    if not stat.S_ISREG(found.st_mode):
        return "it is not a regular file"
    if found.st_uid != os.geteuid():
        return f"it belongs to another user ({found.st_uid})"
    if found.st_nlink > 1:
        return f"it has {found.st_nlink} names (hard links)"
    return None


def claimed(path: Path) -> str | None:
    """The command that makes this user the owner of the file and of files beside it with the same prefix, if
    another user created them, for example a pass run as root. None if there are none."""
    try:
        beside = list(path.parent.iterdir())
        # The name of a lock or log is that of its database, with a suffix after a dot.
        named = [each.name for each in beside if path.name.startswith(f"{each.name}.")]
        first = min([*named, path.name.removesuffix(".lock")])
        others = [each for each in beside if each.name.startswith(first) and _is_of_another(each.lstat())]
    except OSError:
        return None
    if not others:
        return None
    names = " ".join(quoted(each) for each in sorted(others))
    return f"sudo chown {os.geteuid()}:{os.getegid()} {names}; then: ctisync sync"


def _is_of_another(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid != os.geteuid()


def fault_of(folder: Path) -> Doubt | None:
    """Why other users can change files in the folder; None if they cannot, or if the folder cannot be read.

    A parent folder counts if all users can rename the files of others in it. Its owner, and write permission
    of a group, do not count: a folder put in place of this one would have another owner.
    """
    try:
        found = folder.stat()
    except OSError:  # reported when it is used
        return None
    if found.st_uid not in (os.geteuid(), 0):
        return Doubt(
            f"{folder} belongs to another user ({found.st_uid}), who can change the files of a pass",
            f"run ctisync as that user, or {_ELSEWHERE}",
        )
    if found.st_mode & _OF_OTHERS:
        mend = (
            f"chmod go-w {quoted(folder)}; or "
            if found.st_uid == os.geteuid() and not _is_sticky(found)
            else ""
        )
        return Doubt(
            f"other users can write to {folder} ({_mode(found)}), and so change the files of a pass",
            mend + _ELSEWHERE,
        )
    for each in _above(folder):
        found = each.stat()
        if found.st_mode & stat.S_IWOTH and not _is_sticky(found):
            return Doubt(
                f"{folder} is in {each}, where other users can rename it ({_mode(found)})",
                f"chmod o-w {quoted(each)}; or {_ELSEWHERE}",
            )
    return None


def network_fault_of(folder: Path) -> Doubt | None:
    """What can go wrong in a folder on a network disk; None if it is not on a known one."""
    try:
        kind = network_kind(str(folder.resolve()), os.fsdecode(MOUNTS.read_bytes()))
    except OSError:  # not Linux, or no /proc
        return None
    if kind is None:
        return None
    return Doubt(
        f"{folder} is on a network disk ({kind}): locks may not work between hosts, and SQLite is "
        "not safe there",
        "set store.url (or state_dir) to a place on a local disk",
    )


def _above(folder: Path) -> Iterator[Path]:
    """The parent folders of the path and, if it contains links, of the resolved path."""
    yield from folder.absolute().parents
    if (place := folder.resolve()) != folder.absolute():
        yield from place.parents


def _is_sticky(found: os.stat_result) -> bool:
    return bool(found.st_mode & stat.S_ISVTX)


def _mode(found: os.stat_result) -> str:
    return f"mode {stat.S_IMODE(found.st_mode):04o}"
