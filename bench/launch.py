"""Runs one command and tells what it took: `launch.py FILE COMMAND...` for `python -I -S`.

On Linux a process's peak memory begins with that of the process which started it, so a small one must do
that: this script imports nothing of the project. FILE gets four numbers: the exit status as the kernel has
it, seconds from start to end, CPU seconds (user and system, children included), peak resident memory in KB.
"""

import os
import sys
import time


def main(file: str, command: list[str]) -> None:
    began = time.monotonic()
    pid = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - began
    with open(file, "w") as told:  # noqa: PTH123  # pathlib alone would double this process
        told.write(f"{status} {wall} {usage.ru_utime + usage.ru_stime} {usage.ru_maxrss}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
