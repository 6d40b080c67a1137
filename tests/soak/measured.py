"""Runs one command and tells its peak memory: `measured.py FILE COMMAND...` for `python -I -S`.

On Linux a process's peak begins with that of the process which started it, so a small one must do that:
this script imports nothing of the project. FILE gets two numbers: the exit status as the kernel has it, and
the peak resident memory in KB.
"""

import os
import sys


def main(file: str, command: list[str]) -> None:
    pid = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    with open(file, "w") as told:  # noqa: PTH123  # pathlib alone would double this process
        told.write(f"{status} {usage.ru_maxrss}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
