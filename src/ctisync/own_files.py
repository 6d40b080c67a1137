"""Whether files and folders are this user's alone: nothing that others have planted is opened or followed.

As sshd looks at its files (StrictModes): who may write to a folder may put anything there under any name.
Hosts that share a disk are others, too: what a lock means there is told.
"""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from ctisync.core.mounts import network_kind
from ctisync.errors import UsageError
from ctisync.harmless import quoted

MOUNTS: Final = Path("/proc/self/mountinfo")

_OF_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH

_ELSEWHERE: Final = "set store.url (or state_dir) to a place in a folder of your own"


class Unfit(OSError):
    """What lies there is no regular file of this user with one name."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(errno.EPERM, why, str(path))


class Fault(NamedTuple):
    """Why a folder is not this user's alone, and what to type."""

    said: str
    hint: str


def file_name(text: str) -> str:
    """The text as Python takes names of files here. Where the locale lacks its characters, as with LANG=C
    without UTF-8 mode, that is its UTF-8 with each byte as half a character."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return os.fsdecode(text.encode("utf-8", "surrogateescape"))
    return text


def own_path(path: Path, option: str) -> Path:
    """The path that was given with this option, where `~` is a user's home. Raises UsageError without one."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise UsageError(
            f"{option}: {path} begins with the home of a user, and there is none of that name",
            hint="write the whole path",
        ) from None


def opened(path: Path, flags: int) -> int:
    """A descriptor of a regular file of this user that has no other name. One that is made is for this user
    alone.

    Neither a link is followed nor a pipe waited for; nothing is truncated before it was looked at, so
    `flags` are without O_TRUNC. Raises Unfit, and OSError as `os.open` does.
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
    """The file, opened so."""
    return os.fdopen(opened(path, os.O_RDONLY), "rb")


def unfit(found: os.stat_result) -> str | None:
    """What keeps a file, not followed, from being used as our own; None when nothing does."""
    if stat.S_ISLNK(found.st_mode):
        return "it is a symbolic link"
    if not stat.S_ISREG(found.st_mode):
        return "it is no regular file"
    if found.st_uid != os.geteuid():
        return f"it is the file of another user ({found.st_uid})"
    if found.st_nlink > 1:
        return f"it has {found.st_nlink} names (hard links)"
    return None


def claimed(path: Path) -> str | None:
    """What to type to get back the file at the path, and what lies beside it under the same beginning of a
    name, where another user has made any of them: a pass was once run as root. None when that is not so."""
    try:
        beside = list(path.parent.iterdir())
        # A lock or a log is named as what it belongs to, with more behind a dot.
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


def fault_of(folder: Path) -> Fault | None:
    """What lets others change what lies in the folder; None when nothing does, or when it can't be looked at.

    A folder above it counts when all users may rename there what is not theirs. Who owns it, and whether
    a group may write to it, does not count: another folder put in place of ours would have another owner.
    """
    try:
        found = folder.stat()
    except OSError:  # told when it is to be used
        return None
    if found.st_uid not in (os.geteuid(), 0):
        return Fault(
            f"{folder} belongs to another user ({found.st_uid}), who can change what a pass relies on",
            f"run ctisync as that user, or {_ELSEWHERE}",
        )
    if found.st_mode & _OF_OTHERS:
        mend = (
            f"chmod go-w {quoted(folder)}; or "
            if found.st_uid == os.geteuid() and not _is_sticky(found)
            else ""
        )
        return Fault(
            f"others may write to {folder} ({_mode(found)}), and so change what a pass relies on",
            mend + _ELSEWHERE,
        )
    for each in _above(folder):
        found = each.stat()
        if found.st_mode & stat.S_IWOTH and not _is_sticky(found):
            return Fault(
                f"{folder} lies in {each}, where others may rename it ({_mode(found)})",
                f"chmod o-w {quoted(each)}; or {_ELSEWHERE}",
            )
    return None


def network_fault_of(folder: Path) -> Fault | None:
    """What may go wrong in a folder on a network disk; None when it is on none that is known."""
    try:
        kind = network_kind(str(folder.resolve()), os.fsdecode(MOUNTS.read_bytes()))
    except OSError:  # not Linux, or no /proc
        return None
    if kind is None:
        return None
    return Fault(
        f"{folder} is on a network disk ({kind}): a lock there may not keep two hosts apart, and SQLite is "
        "not made for it",
        "set store.url (or state_dir) to a place on a local disk",
    )


def _above(folder: Path) -> Iterator[Path]:
    """The folders that lead to it, by its name and, where links are in that, by its place."""
    yield from folder.absolute().parents
    if (place := folder.resolve()) != folder.absolute():
        yield from place.parents


def _is_sticky(found: os.stat_result) -> bool:
    return bool(found.st_mode & stat.S_ISVTX)


def _mode(found: os.stat_result) -> str:
    return f"mode {stat.S_IMODE(found.st_mode):04o}"
