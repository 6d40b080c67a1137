"""The open files of another process."""

import subprocess
import sys
from pathlib import Path


def has_open(pid: int, path: Path | str) -> bool:
    """Whether the process has the file open."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = descriptor.readlink()
        except FileNotFoundError:
            continue
        if target == Path(path):
            return True
    return False


def no_process() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    return ended.pid
