"""How a user other than the owner reads the file, and what the owner types if that user may not.

To read a file in WAL mode, SQLite needs the log and its index beside it, and creates them if they are
missing. A user without write access there reads the file alone, as long as its log is empty and no pass
writes.
"""

import os
from pathlib import Path
from typing import Final, Literal

from ctisync.escaping import quoted

ReadMode = Literal["ro", "ro&immutable=1", "rw"]

OF_SYSTEMD: Final = Path("/var/lib/private")
"""The state folders of units with DynamicUser=. systemd closes it again whenever one of them starts."""

_BESIDE: Final = ("-wal", "-shm")


class ReadAccess:
    """One read of the file. `mode`: how SQLite opens it."""

    def __init__(self, path: Path, *, untouched: bool) -> None:
        """`untouched`: create nothing beside the file, even if the user may."""
        self._path = path
        may_make = may_write(path.parent) and not untouched
        self._seen = _seen(path)
        self.mode: ReadMode = "ro" if may_make or not _needs_files(path) else "ro&immutable=1"

    def was_disturbed(self) -> bool:
        """Whether the file changed while SQLite read it as an immutable one: the result may mix two
        moments."""
        return self.mode != "ro" and _seen(self._path) != self._seen


def beside(path: Path) -> list[Path]:
    """The files that SQLite creates beside a file in WAL mode: the log and its index."""
    return [path.with_name(f"{path.name}{end}") for end in _BESIDE]


def lacks_an_index(path: Path) -> bool:
    """Whether a log is in use without an index, and this user cannot create the index."""
    return _log_is_used(path) and not beside(path)[1].exists() and not may_write(path.parent)


def may_write(path: Path) -> bool:
    """Whether this process may write to the file or folder, by its effective user."""
    return _may(path, os.W_OK)


def to_open(path: Path) -> str | None:
    """The hint that gives this user read access to the file and the files beside it, also to later ones; None
    if read access is not what is missing."""
    path = Path(os.path.realpath(path))
    folders = list(reversed(path.parents))
    closed = next((at for at, folder in enumerate(folders) if not _may(folder, os.X_OK)), len(folders))
    if closed < len(folders) and folders[closed] == OF_SYSTEMD:
        return (
            f"run this as root: only root may enter {OF_SYSTEMD}; or give the unit a User= instead of "
            "DynamicUser="
        )
    if closed < len(folders):  # its content is unknown
        shut, seen = [*folders[closed:], path], folders[closed : closed + 1]
    else:
        shut = seen = [each for each in (path, *beside(path)) if each.exists() and not _may(each, os.R_OK)]
    if not shut or not all(each.exists() for each in seen):
        return None
    groups = {os.getegid(), *os.getgroups()}
    names = " ".join(map(quoted, shut))
    group = path.stat().st_gid if path not in shut and closed == len(folders) else None
    if group in groups and not groups & {each.stat().st_gid for each in shut}:
        # The files of a pass get its own group, unless the folder passes another one on.
        folder = quoted(path.parent)
        return f"as root: chgrp {group} {names} {folder} && chmod g+rxs {folder}"
    who = "g" if all(each.stat().st_gid in groups for each in seen) else "o"
    return f"as its owner: chmod {who}+rX {names}"


def _may(path: Path, how: int) -> bool:
    if os.access in os.supports_effective_ids:
        return os.access(path, how, effective_ids=True)
    return os.access(path, how)


def _needs_files(path: Path) -> bool:
    """Whether SQLite would create files beside it to read it."""
    return _is_wal(path) and not all(each.exists() for each in beside(path)) and not _log_is_used(path)


def _log_is_used(path: Path) -> bool:
    try:
        return beside(path)[0].stat().st_size > 0
    except OSError:
        return False


def _seen(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _is_wal(path: Path) -> bool:
    """By the file's header (https://www.sqlite.org/fileformat.html, 1.3.3)."""
    try:
        with path.open("rb") as file:
            return file.read(20)[18:] == b"\x02\x02"
    except OSError:  # SQLite will meet it, too, and report it
        return False
