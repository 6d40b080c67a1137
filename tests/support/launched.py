"""Runs one command and measures it: `launched.py FILE COMMAND...` for `python -I -S`.

On Linux the peak memory of a process starts at that of its parent, so the parent must be small: this script
imports nothing of the project. It writes four numbers to FILE: the exit status as of `wait`, the peak
resident memory in KB, seconds from start to end, and CPU seconds (user and system, with children).
"""

import os
import sys
import time


def launcher(file: str) -> list[str]:
    """The words to put before a command to run it like this."""
    return [sys.executable, "-I", "-S", __file__, file]


def measured(file: str) -> tuple[int, int, float, float]:
    """What FILE says: exit code or minus the signal, peak resident memory in KB, seconds, CPU seconds."""
    with open(file) as figures:  # noqa: PTH123  # pathlib alone would double the small process
        status, peak, wall, cpu = figures.read().split()
    return os.waitstatus_to_exitcode(int(status)), int(peak), float(wall), float(cpu)


def main(file: str, command: list[str]) -> None:
    began = time.monotonic()
    pid = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - began
    with open(file, "w") as figures:  # noqa: PTH123
        figures.write(f"{status} {usage.ru_maxrss} {wall} {usage.ru_utime + usage.ru_stime}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
