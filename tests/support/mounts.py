"""A small file system of a test's own. Only root may have one, and not in every container."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """`folder`, made, with so much room and no more."""
    folder.mkdir()
    # Without a mode it is for all to write to, as /tmp is, and no pass would use it.
    _system("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _system("umount", str(folder))


def resize(disk: Path, megabytes: int) -> None:
    """Give it another size, what is on it stays."""
    _system("mount", "-o", f"remount,size={megabytes}m", str(disk))


@cache
def may_mount() -> bool:
    """Whether this user, on this machine, can have one at all."""
    if os.geteuid() != 0:
        return False
    try:
        _system("unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt")
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _system(command: str, *arguments: str) -> None:
    subprocess.run([shutil.which(command) or command, *arguments], check=True, capture_output=True)
