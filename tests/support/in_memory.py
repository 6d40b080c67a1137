"""Where tests keep their files: in memory, since a store waits for the disk at each commit."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

ROOM: Final = 4 << 30
"""Bytes that must be free in memory; a whole run takes less than a quarter of them at a time."""

_DISK: Final = "/tmp"  # noqa: S108  # compared alone
_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # what is made in it has a random name or belongs to this user


def folder_in_memory() -> Path | None:
    """The folder for temporary files that are kept in memory. None if another one was chosen (TMPDIR), if
    there is none in which programs may be run too, and if there is no room."""
    if tempfile.gettempdir() != _DISK or not os.access(_MEMORY, os.W_OK | os.X_OK):
        return None
    if os.statvfs(_MEMORY).f_flag & getattr(os, "ST_NOEXEC", 0):
        return None
    return _MEMORY if shutil.disk_usage(_MEMORY).free >= ROOM else None
