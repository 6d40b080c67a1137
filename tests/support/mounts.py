"""A small file system for a test. Only root can mount one, and not in every container."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Creates `folder` as a file system of this size; it is unmounted after the block."""
    folder.mkdir()
    # Without a mode it is for all to write to, as /tmp is, and no pass would use it.
    _system("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _system("umount", str(folder))


def resize(disk: Path, megabytes: int) -> None:
    """Change its size; its files stay."""
    _system("mount", "-o", f"remount,size={megabytes}m", str(disk))


@cache
def may_mount() -> bool:
    """Whether this user can mount one on this machine."""
    if os.geteuid() != 0:
        return False
    try:
        _system("unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt")
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _system(command: str, *arguments: str) -> None:
    subprocess.run([shutil.which(command) or command, *arguments], check=True, capture_output=True)
