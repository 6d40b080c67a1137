"""What the operating system has to do with a run: signals that end it, streams that are gone or full."""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TextIO

from ctisync.errors import UsageError


class StopAsked(BaseException):
    """A signal came. No `Exception`, so that no library takes it for an error of its own and tries again."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


def stop_on_signals() -> None:
    """SIGTERM and SIGINT raise StopAsked; a second one ends the process at once, as SIGKILL would."""

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in heeded:
            signal.signal(each, signal.SIG_DFL)
        raise StopAsked(number)

    # What is ignored from outside (nohup, a shell's background jobs) stays ignored.
    both = (signal.SIGTERM, signal.SIGINT)
    heeded = [each for each in both if signal.getsignal(each) is not signal.SIG_IGN]
    for each in heeded:
        signal.signal(each, stop)


def open_missing_streams() -> None:
    """A caller may have closed them; what is written to them is then for nobody."""
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()


def flush_results() -> None:
    """Write out what standard output holds. Raises UsageError when it cannot be written."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(f"cannot write to standard output: {error.strerror}") from error


def forget_unwritten_results() -> None:
    """What could not be written has been told; the interpreter is not to try, and complain, at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")
