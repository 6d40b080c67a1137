"""Runs one command and tells what it took: `launched.py FILE COMMAND...` for `python -I -S`.

On Linux a process's peak memory begins with that of the process which started it, so a small one must do
that: this script imports nothing of the project. FILE gets four numbers: the exit status as the kernel has
it, the peak resident memory in KB, seconds from start to end, CPU seconds (user and system, children
included).
"""

import os
import sys
import time


def launcher(file: str) -> list[str]:
    """What stands before a command that is to be run so."""
    return [sys.executable, "-I", "-S", __file__, file]


def told(file: str) -> tuple[int, int, float, float]:
    """The exit code, or minus a signal's number, the peak resident memory in KB, seconds, CPU seconds."""
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
