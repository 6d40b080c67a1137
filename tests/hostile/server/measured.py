"""A command of ctisync as a real process: how it ended, how long it took, how much memory it had at most."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.support import launched

HANGS: Final = 100.0
"""Seconds after which a process is killed."""


class Ended(NamedTuple):
    """`code`: the exit code, or minus a signal's number; `peak`: the most resident memory, in MiB."""

    code: int
    stderr: str
    seconds: float
    peak: float


def run(command: Sequence[str], environ: Mapping[str, str], folder: Path, *, hangs: float = HANGS) -> Ended:
    """Run it in the folder to its end. One that hangs is killed: its code is that of SIGKILL."""
    began = time.monotonic()
    figures = folder / "figures"
    with subprocess.Popen(
        [*launched.launcher(str(figures)), *command],
        env=dict(environ),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        try:
            _, stderr = parent.communicate(timeout=hangs)
        except subprocess.TimeoutExpired:
            os.killpg(parent.pid, signal.SIGKILL)
            _, stderr = parent.communicate()
            return Ended(-signal.SIGKILL, stderr, time.monotonic() - began, 0.0)
    code, kib, _, _ = launched.measured(str(figures))
    figures.unlink()
    return Ended(code, stderr, time.monotonic() - began, kib / 1024)
