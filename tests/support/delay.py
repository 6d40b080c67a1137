"""How long another process takes to end, on a machine that also runs other processes."""

import os
import subprocess
import time
from pathlib import Path
from typing import Any, Final

HANGS: Final = 60.0


def seconds_to_the_end(running: "subprocess.Popen[Any]", since: float) -> float:
    """Wait for the end of the process, and leave its exit status to the caller. Returns the seconds since
    `since`, a `time.monotonic()`, without those in which it waited for a processor (if Linux reports them).
    """
    before = _delay(running.pid)
    while not _has_ended(running):
        if time.monotonic() - since > HANGS:
            running.kill()
        time.sleep(0.005)
    return time.monotonic() - since - (_delay(running.pid) - before)


def _has_ended(running: "subprocess.Popen[Any]") -> bool:
    """Also if `send_signal` has already read the exit status."""
    if running.returncode is not None:
        return True
    return os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def _delay(pid: int) -> float:
    """The seconds in which its main thread waited for a processor."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0
