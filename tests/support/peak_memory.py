"""Runs one command and tells its peak memory: `peak_memory.py FILE COMMAND...` for `python -I -S`.

On Linux a process's peak begins with that of the process which started it, so a small one must do that:
this script imports nothing of the project. FILE gets two numbers: the exit status as the kernel has it, and
the peak resident memory in KB.
"""

import os
import sys


def launcher(file: str) -> list[str]:
    """What stands before a command that is to be run so."""
    return [sys.executable, "-I", "-S", __file__, file]


def told(file: str) -> tuple[int, int]:
    """The exit code, or minus a signal's number, and the peak resident memory in KB."""
    with open(file) as figures:  # noqa: PTH123  # pathlib alone would double the small process
        status, peak = map(int, figures.read().split())
    return os.waitstatus_to_exitcode(status), peak


def main(file: str, command: list[str]) -> None:
    pid = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    with open(file, "w") as figures:  # noqa: PTH123
        figures.write(f"{status} {usage.ru_maxrss}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
