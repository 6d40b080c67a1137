"""How long another process takes to end, on a machine that has other work, too."""

import os
import subprocess
import time
from pathlib import Path
from typing import Any, Final

HANGS: Final = 60.0


def seconds_to_the_end(running: "subprocess.Popen[Any]", since: float) -> float:
    """Wait for its end, without taking its exit status: the seconds since a `time.monotonic()`.

    Those in which it was ready and other processes had the processors do not count, where Linux tells.
    """
    before = _delay(running.pid)
    while not _has_ended(running):
        if time.monotonic() - since > HANGS:
            running.kill()
        time.sleep(0.005)
    return time.monotonic() - since - (_delay(running.pid) - before)


def _has_ended(running: "subprocess.Popen[Any]") -> bool:
    """`send_signal` takes the exit status of a process that has ended before."""
    if running.returncode is not None:
        return True
    return os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def _delay(pid: int) -> float:
    """Of its main thread, in seconds."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0
