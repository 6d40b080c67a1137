"""Folders: whether other users can change the files in one or lead a pass to another one, the kind of disk,
and its free space.

As sshd with StrictModes: a user who can write to a folder can put any file there under any name.
"""

import errno
import grp
import os
import pwd
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from ctisync.core.health import Advice, CheckResult, failed, ok, warning
from ctisync.errors import StoreUnavailable
from ctisync.escaping import quoted

_OF_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH

MOUNTS: Final = Path("/proc/self/mountinfo")

_OVER_A_NETWORK: Final = re.compile(
    r"nfs4?|cifs|smb3|smbfs|9p|afs|beegfs|ceph|glusterfs|lustre|vboxsf"
    r"|fuse\.(ceph|gcsfuse|glusterfs|juicefs|rclone|s3fs|sshfs)"
)
"""The names in mountinfo. Other FUSE file systems may be local (for example that of a container)."""

_MOST_LINKS: Final = 40
"""As in Linux."""

_ELSEWHERE: Final = "set store.url (or state_dir) to a place in a folder of your own"


def folder_risk(path: Path) -> Advice | None:
    """Why other users can change files in the folder, or lead a pass to another one; None if they cannot.

    `path`: the folder, or a file in it. No link is followed unseen, and each folder on the way must be one in
    which nobody else can replace the next part. The end of the path may be missing or closed: that is
    reported when it is used.
    """
    folders: list[tuple[Path, os.stat_result]] = []
    whole = False
    with suppress(OSError):
        for at, status in _way_to(path):
            if stat.S_ISDIR(status.st_mode):
                folders.append((at, status))
            elif (risk := _risk_of_link(at, status)) is not None:
                return risk
        whole = True
    for folder, status in folders[:-1] if whole else folders:
        if (risk := _risk_on_the_way(folder, status, path)) is not None:
            return risk
    return _risk_in(*folders[-1]) if whole else None


def foreign_link(path: Path) -> Advice | None:
    """The link of another user on the way to the path, of which else nothing is checked; None without one."""
    with suppress(OSError):
        return next(filter(None, (_risk_of_link(*each) for each in _way_to(path))), None)
    return None


def _risk_of_link(at: Path, status: os.stat_result) -> Advice | None:
    if not stat.S_ISLNK(status.st_mode) or status.st_uid in _trusted():
        return None
    return Advice(f"{at} is a link of another user ({status.st_uid})", _ELSEWHERE)


def _way_to(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Every folder and link on the way from the root to the path, and its end, each with its `lstat`. Raises
    OSError."""
    ahead = list(reversed(path.absolute().parts))
    at = Path(ahead.pop())
    yield at, at.lstat()
    links = 0
    while ahead:
        part = ahead.pop()
        here = at.parent if part == ".." else at / part  # `at` is no link: those are resolved
        status = here.lstat()
        yield here, status
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, "too many links", str(path))
            leads = here.readlink()
            ahead += reversed(leads.parts[bool(leads.anchor) :])
            at = Path(leads.anchor or at)
        else:
            at = here


def _risk_on_the_way(folder: Path, status: os.stat_result, path: Path) -> Advice | None:
    """Why other users can replace what is in a folder on the way to the path."""
    where = f"{path} is in {folder}, where"
    if status.st_uid not in _trusted():
        return Advice(f"{where} another user ({status.st_uid}) can rename it", _ELSEWHERE)
    others = stat.S_IWOTH if _is_private(status.st_gid) else _OF_OTHERS
    if not status.st_mode & others or _is_sticky(status):
        return None
    return _writable(f"{where} other users can rename it ({_mode(status)})", "+t", folder, status)


def _risk_in(folder: Path, status: os.stat_result) -> Advice | None:
    if status.st_uid not in _trusted():
        return Advice(
            f"{folder} belongs to another user ({status.st_uid}), who can change the files of a pass",
            f"run ctisync as that user, or {_ELSEWHERE}",
        )
    if not status.st_mode & _OF_OTHERS:
        return None
    text = f"other users can write to {folder} ({_mode(status)}), and so change the files of a pass"
    return Advice(text, _ELSEWHERE) if _is_sticky(status) else _writable(text, "go-w", folder, status)


def _writable(text: str, change: str, folder: Path, status: os.stat_result) -> Advice:
    """With the `chmod` that resolves it, if this user may do that."""
    mend = f"chmod {change} {quoted(folder)}; or " if os.geteuid() in (status.st_uid, 0) else ""
    return Advice(text, mend + _ELSEWHERE)


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


def _is_sticky(status: os.stat_result) -> bool:
    return bool(status.st_mode & stat.S_ISVTX)


def _mode(status: os.stat_result) -> str:
    return f"mode {stat.S_IMODE(status.st_mode):04o}"


def network_disk_risk(folder: Path) -> Advice | None:
    """What can go wrong in a folder on a network disk; None if it is not on a known one."""
    try:
        device = nearest(folder).stat().st_dev
        kind = network_kind(f"{os.major(device)}:{os.minor(device)}", os.fsdecode(MOUNTS.read_bytes()))
    except OSError:  # not Linux, or no /proc
        return None
    if kind is None:
        return None
    return Advice(
        f"{folder} is on a network disk ({kind}): locks may not work between hosts, and SQLite is "
        "not safe there",
        "set store.url (or state_dir) to a place on a local disk",
    )


def network_kind(device: str, mountinfo: str) -> str | None:
    """The kind of the network file system on a device, such as "0:45"; None if it has no known one.
    `mountinfo`: the text of `/proc/self/mountinfo` (proc(5)), with one line per mount."""
    for line in mountinfo.splitlines():
        mount, _, system = line.partition(" - ")
        kind = system.partition(" ")[0]
        if mount.split(" ")[2:3] == [device] and _OVER_A_NETWORK.fullmatch(kind):
            return kind
    return None


def free_in(folder: Path) -> int:
    """Free bytes on a folder's disk. Raises StoreUnavailable if they cannot be read."""
    try:
        return shutil.disk_usage(folder).free
    except OSError as error:
        raise StoreUnavailable(
            f"cannot read the free disk space of {folder}: {error.strerror}", hint=f"ls -ld {quoted(folder)}"
        ) from error


def diagnose_folder(folder: Path, *, is_made: bool) -> CheckResult:
    """Whether locks, downloads and a database can be written there, and by this user only; nothing is
    written. `is_made`: a pass creates the folder if it is missing. A network disk is a warning."""
    there = nearest(folder)
    hint = f"ls -ld {quoted(there)}; set state_dir, or run ctisync as the folder's owner"
    if there != folder and not is_made:
        return failed("folder", f"{folder} does not exist", f"mkdir -p {quoted(folder)}")
    if not there.is_dir():
        return failed("folder", f"{there} is not a folder", hint)
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        what = "" if there == folder else f"cannot be created: {there} "
        return failed("folder", f"{folder} {what}cannot be written to", hint)
    if (fault := folder_risk(folder)) is not None:
        return failed("folder", *fault)
    if (risk := network_disk_risk(there)) is not None:
        return warning("folder", *risk)
    state = "can be written to" if there == folder else "does not exist yet; the first pass creates it"
    return ok("folder", f"{folder} {state}")


def nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(each for each in (folder, *folder.parents) if os.path.lexists(each))
