"""The database file on the disk: who may read and write it, which files are beside it, and whose turn it is.

To read a file in WAL mode, SQLite needs the log and its index beside it, and creates them if they are
missing. A user without write access there reads the file alone, as long as its log is empty and no pass
writes.
"""

import errno
import fcntl
import os
import select
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

from ctisync import hints
from ctisync.errors import ConfigurationError, CtisyncError, StoreUnavailable
from ctisync.escaping import quoted
from ctisync.stores.sqlite.schema import not_ours
from ctisync.system.files import open_own_fd, to_chown

Mode = Literal["ro", "ro&immutable=1", "rw"]
"""How SQLite opens the file."""

OF_SYSTEMD: Final = Path("/var/lib/private")
"""The state folders of units with DynamicUser=. systemd closes it again whenever one of them starts."""

_BESIDE: Final = ("-wal", "-shm")

_STEP: Final = 0.01
"""Seconds between two tries of a lock. A waiting flock would have no time-out."""


def read_mode(path: Path, *, read_only: bool) -> Mode:
    """How this user can read the file. `read_only`: creating nothing beside it, even if the user may."""
    if may_write(path.parent) and not read_only:
        return "ro"
    lacks_files = not all(each.exists() for each in beside(path))
    return "ro&immutable=1" if _is_wal(path) and lacks_files and not _log_is_used(path) else "ro"


def stamp(path: Path) -> tuple[int, ...] | None:
    """What differs once another program has written to the file itself."""
    status = _status(path)
    return None if status is None else (status.st_ino, status.st_size, status.st_mtime_ns)


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file at the path now."""
    status = _status(path)
    return None if status is None else (status.st_dev, status.st_ino)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def beside(path: Path) -> list[Path]:
    """The files that SQLite creates beside a file in WAL mode: the log and its index."""
    return [path.with_name(f"{path.name}{end}") for end in _BESIDE]


def may_write(path: Path) -> bool:
    """Whether this process may write to the file or folder, by its effective user."""
    return _may(path, os.W_OK)


def to_open(path: Path) -> str | None:
    """The hint that gives this user read access to the file and the files beside it, also to later ones; None
    if read access is not what is missing."""
    path = Path(os.path.realpath(path))
    closed = [folder for folder in reversed(path.parents) if not _may(folder, os.X_OK)]
    if closed[:1] == [OF_SYSTEMD]:
        return (
            f"run this as root: only root may enter {OF_SYSTEMD}; or give the unit a User= instead of "
            "DynamicUser="
        )
    if closed:  # its content is unknown
        shut = [*closed, path]
    else:
        shut = [each for each in (path, *beside(path)) if each.exists() and not _may(each, os.R_OK)]
    if not shut or not shut[0].exists():
        return None
    groups, names = {os.getegid(), *os.getgroups()}, " ".join(map(quoted, shut))
    if path not in shut and (group := path.stat().st_gid) in groups and not groups & _groups(shut):
        # The files of a pass get its own group, unless the folder passes another one on.
        folder = quoted(path.parent)
        return f"as root: chgrp {group} {names} {folder} && chmod g+rxs {folder}"
    visible = shut[:1] if closed else shut
    who = "".join(sorted({"g" if group in groups else "o" for group in _groups(visible)}))
    return f"as its owner: chmod {who}+rX {names}"


def _groups(paths: Iterable[Path]) -> set[int]:
    return {each.stat().st_gid for each in paths}


def _may(path: Path, how: int) -> bool:
    return os.access(path, how, effective_ids=os.access in os.supports_effective_ids)


def _log_is_used(path: Path) -> bool:
    status = _status(beside(path)[0])
    return status is not None and status.st_size > 0


def _is_wal(path: Path) -> bool:
    """By the file's header (https://www.sqlite.org/fileformat.html, 1.3.3)."""
    try:
        with path.open("rb") as file:
            return file.read(20)[18:] == b"\x02\x02"
    except OSError:  # SQLite will meet it, too, and report it
        return False


def set_aside(path: Path) -> str:
    """The hint for a file that can no longer be used."""
    folder = quoted(path.with_name(f"damaged-{path.name}"))
    moved = f"mkdir -p {folder} && mv {quoted(path)}* {folder}"
    return (
        f"restore the file from a backup, or load the content again: {moved}; then: {hints.command('sync')}"
    )


def exists(path: Path) -> bool:
    """Whether the file exists, even if it is empty. Raises if the user may not see it, or if SQLite would
    open a pipe or a device beside it, and could wait for ever."""
    real = Path(os.path.realpath(path))
    for each in (*beside(real), real.with_name(f"{real.name}-journal")):
        with suppress(OSError):  # SQLite reports what else is wrong with it
            mode = each.stat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise ConfigurationError(
                    f"{each} is not a regular file", hint=f"rm {quoted(each)}; then: {hints.command('sync')}"
                )
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _cannot_open(path, error) from error
    if not stat.S_ISREG(mode):
        raise not_ours(path, "not a file")
    return True


def create(path: Path) -> None:
    """Create an empty file that only the user may read, in a set-group-id folder also its group. If the file
    exists meanwhile, it is used."""
    try:
        shared = stat.S_IRGRP if path.absolute().parent.stat().st_mode & stat.S_ISGID else 0
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600 | shared))
    except FileExistsError:
        pass
    except FileNotFoundError as error:
        folder = path.absolute().parent
        raise ConfigurationError(
            f"the folder {folder} of the store does not exist", hint=f"mkdir -p {quoted(folder)}"
        ) from error
    except OSError as error:
        raise _cannot_open(path, error) from error


def _cannot_open(path: Path, error: OSError) -> CtisyncError:
    reason = f"{path} cannot be opened: {error.strerror}"
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
        return StoreUnavailable(reason, hint=f"df -h {quoted(path.parent)}")
    return ConfigurationError(reason, hint=to_open(path) or to_chown(path) or f"ls -ld {quoted(path.parent)}")


def no_access(path: Path) -> CtisyncError:
    """The error if SQLite cannot open the file, with the hint for what is missing."""
    if _log_is_used(path) and not beside(path)[1].exists() and not may_write(path.parent):
        return ConfigurationError(
            f"{path} cannot be opened by a user with read access only: {path}-wal has no index",
            hint=f"as its owner: {hints.command('status')}",
        )
    quoted_files = " ".join(quoted(each) for each in (path.parent, path, *beside(path)) if each.exists())
    return ConfigurationError(
        f"{path} cannot be opened; this user needs read access to it and the files beside it; a pass also "
        "needs write access to them and to the folder",
        hint=to_open(path) or to_chown(path) or f"ls -ld {quoted_files}",
    )


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
        for _ in range(max(1, round(patience / _STEP))):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                select.select((), (), (), _STEP)
            except OSError as error:
                raise _cannot_lock(path, error) from error
        else:
            raise StoreUnavailable(
                f"{database} is locked by another program", hint=f"fuser -v {quoted(path)}"
            )
        yield
    finally:
        os.close(file)


def _cannot_lock(path: Path, error: OSError) -> StoreUnavailable:
    hint = to_chown(path) or f"ls -l {quoted(path)}"
    return StoreUnavailable(f"cannot lock {path}: {error.strerror}", hint=hint)
