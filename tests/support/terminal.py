"""A terminal of so many columns, and what a person reads on it."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_ORDERS: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ROWS: Final = 50


def shown(command: Sequence[str], columns: int, environ: Mapping[str, str], folder: Path) -> tuple[int, str]:
    """The exit code, and all that a command writes to a terminal, without colours and orders."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, columns, 0, 0))
    with subprocess.Popen(
        command, env=dict(environ), cwd=folder, stdin=its, stdout=its, stderr=its
    ) as running:
        os.close(its)
        output = b""
        while piece := _read(ours):
            output += piece
        os.close(ours)
        code = running.wait(120)
    return code, _ORDERS.sub("", output.decode()).replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""
