"""Checks that only this user can change files and folders, so that ctisync opens no file planted by others.

As sshd with StrictModes: a user who can write to a folder can put any file there under any name. For a disk
shared by several hosts, ctisync warns that locks may not work.
"""

import errno
import grp
import os
import pwd
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from ctisync.core.health import Advice
from ctisync.core.mounts import network_kind
from ctisync.errors import ConfigurationError, CtisyncError, UsageError
from ctisync.harmless import quoted

MOUNTS: Final = Path("/proc/self/mountinfo")

_OF_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH

_OF_KERNEL: Final = re.compile(r"/dev(/pts)?|/proc(/.*)?")

_MOST_LINKS: Final = 40
"""As in Linux."""

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


def absolute(path: Path, where: str, error: type[CtisyncError] = ConfigurationError) -> Path:
    """The absolute path. Raises `error`, which names the setting or option `where`, for a relative path in a
    working folder that does not exist any more."""
    try:
        return path.absolute()
    except FileNotFoundError:
        raise error(
            f"{where}: {path} is relative, and the working folder has been removed",
            hint="change to a folder that exists, or write the absolute path",
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


def reading_any(path: Path) -> BinaryIO:
    """A file of any user that a setting or an option names, opened for reading.

    Only an open file of this process, such as `/dev/fd/63` or `/dev/stdin`, may be a pipe or a device: for
    another pipe ctisync could wait for ever. Raises OSError.
    """
    if is_of_kernel(path):
        return path.open("rb")
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    mode = os.fstat(file).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(file, "rb")
    os.close(file)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def is_of_kernel(path: Path) -> bool:
    """Whether the name, which may be a link, belongs to the kernel and means an open file or a device."""
    return _OF_KERNEL.fullmatch(os.path.realpath(path.absolute().parent)) is not None


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


def fault_of(path: Path) -> Advice | None:
    """Why other users can change files in the folder, or lead a pass to another one; None if they cannot.

    `path`: the folder, or a file in it. No link is followed unseen, and each folder on the way must be one in
    which nobody else can replace the next part. The end of the path may be missing or closed: that is
    reported when it is used.
    """
    folders: list[tuple[Path, os.stat_result]] = []
    whole = False
    with suppress(OSError):
        for at, found in _way_to(path):
            if stat.S_ISDIR(found.st_mode):
                folders.append((at, found))
            elif (fault := _foreign_link(at, found)) is not None:
                return fault
        whole = True
    on_the_way = (_fault_on_the_way(*each, path) for each in folders[: -1 if whole else None])
    fault = next(filter(None, on_the_way), None)
    return _fault_in(*folders[-1]) if fault is None and whole else fault


def led_elsewhere(path: Path) -> Advice | None:
    """The link of another user on the way to the path, of which else nothing is checked; None without one."""
    with suppress(OSError):
        return next(filter(None, (_foreign_link(*each) for each in _way_to(path))), None)
    return None


def _foreign_link(at: Path, found: os.stat_result) -> Advice | None:
    if not stat.S_ISLNK(found.st_mode) or found.st_uid in _trusted():
        return None
    return Advice(f"{at} is a link of another user ({found.st_uid})", _ELSEWHERE)


def _way_to(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Every folder and link on the way from the root to the path, and its end, each with its `lstat`. Raises
    OSError."""
    ahead = list(reversed(path.absolute().parts))
    at = Path(ahead.pop())
    yield at, at.lstat()
    links = 0
    while ahead:
        part = ahead.pop()
        if part == "..":
            at = at.parent  # no link: those are resolved
            yield at, at.lstat()
            continue
        found = (at / part).lstat()
        yield at / part, found
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, "too many links", str(path))
            leads = (at / part).readlink()
            ahead += reversed(leads.parts[bool(leads.anchor) :])
            at = Path(leads.anchor or at)
        else:
            at /= part


def _fault_on_the_way(folder: Path, found: os.stat_result, path: Path) -> Advice | None:
    """Why other users can replace what is in a folder on the way to the path."""
    where = f"{path} is in {folder}, where"
    if found.st_uid not in _trusted():
        return Advice(f"{where} another user ({found.st_uid}) can rename it", _ELSEWHERE)
    others = stat.S_IWOTH if _is_private(found.st_gid) else _OF_OTHERS
    if not found.st_mode & others or _is_sticky(found):
        return None
    return _writable(f"{where} other users can rename it ({_mode(found)})", "+t", folder, found)


def _fault_in(folder: Path, found: os.stat_result) -> Advice | None:
    if found.st_uid not in _trusted():
        return Advice(
            f"{folder} belongs to another user ({found.st_uid}), who can change the files of a pass",
            f"run ctisync as that user, or {_ELSEWHERE}",
        )
    if not found.st_mode & _OF_OTHERS:
        return None
    said = f"other users can write to {folder} ({_mode(found)}), and so change the files of a pass"
    return Advice(said, _ELSEWHERE) if _is_sticky(found) else _writable(said, "go-w", folder, found)


def _writable(said: str, change: str, folder: Path, found: os.stat_result) -> Advice:
    """With the `chmod` that resolves it, if this user may do that."""
    mend = f"chmod {change} {quoted(folder)}; or " if os.geteuid() in (found.st_uid, 0) else ""
    return Advice(said, mend + _ELSEWHERE)


def _trusted() -> tuple[int, ...]:
    """The users who may change everything on the way anyway: this one and root. In a user namespace root may
    have another number, that of the owner of `/`."""
    return os.geteuid(), 0, Path("/").lstat().st_uid


def _is_private(group: int) -> bool:
    """Whether the group is root's, or has this user alone as its member: then a umask of 002, as many
    distributions set it, lets nobody else write (pam_umask, "usergroups")."""
    if group == 0:
        return True
    try:
        user, named = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:  # as in a container, without an entry
        return group == os.geteuid()
    return user.pw_gid == group and user.pw_name == named.gr_name and {*named.gr_mem} <= {user.pw_name}


def network_fault_of(folder: Path) -> Advice | None:
    """What can go wrong in a folder on a network disk; None if it is not on a known one."""
    try:
        kind = network_kind(str(folder.resolve()), os.fsdecode(MOUNTS.read_bytes()))
    except OSError:  # not Linux, or no /proc
        return None
    if kind is None:
        return None
    return Advice(
        f"{folder} is on a network disk ({kind}): locks may not work between hosts, and SQLite is "
        "not safe there",
        "set store.url (or state_dir) to a place on a local disk",
    )


def _is_sticky(found: os.stat_result) -> bool:
    return bool(found.st_mode & stat.S_ISVTX)


def _mode(found: os.stat_result) -> str:
    return f"mode {stat.S_IMODE(found.st_mode):04o}"
