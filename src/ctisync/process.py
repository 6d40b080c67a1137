"""What the operating system has to do with a run: signals that end it, streams that are gone or full."""

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import BinaryIO, Final, TextIO

from ctisync.errors import CtisyncError, Unexpected, UsageError
from ctisync.harmless import ERRORS, Drawn, in_json, lines
from ctisync.threads import beside

LONGEST_STOP: Final = 4.0
"""Seconds in which a run that was asked to stop ends by itself; then it is ended."""

_ONE_REQUEST: Final = 0.3
"""Seconds within which a further signal asks for nothing new: `timeout`, for one, sends each one twice."""

_RAISE_AGAIN_AFTER: Final = 0.02
"""Seconds after which a StopAsked that was lost is raised again."""

_LAST_WORDS: Final = 0.5
"""Seconds for a message that may have nowhere to go."""


class StopAsked(BaseException):
    """A signal came. No `Exception`, so that no library takes it for an error of its own and tries again."""

    def __init__(self, signal_number: int, at: float) -> None:
        """`at`: when, in seconds of the clock that `stopping_on_signals` was given."""
        super().__init__(signal_number)
        self.signal_number = signal_number
        self.at = at


def stop_behind(error: BaseException) -> StopAsked | None:
    """The StopAsked that this error was made of: Python before 3.12 puts another in its place when it is
    raised while a class is being made, as it is in an import."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, StopAsked):
        found = found.__cause__ or found.__context__
    return found


def told_as(error: Exception) -> CtisyncError:
    """The error as an operator is told of it: itself, or Unexpected. Raises the StopAsked behind it."""
    if isinstance(error, CtisyncError):
        return error
    if stop := stop_behind(error):
        raise stop from None
    return Unexpected(error)


@contextmanager
def no_other_errors() -> Iterator[None]:
    """Nothing leaves the block but a CtisyncError, or a StopAsked."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  # a bug must not take along what comes after the block
        raise told_as(error)  # noqa: B904  # its cause is set


@contextmanager
def stopping_on_signals(tell_ended: Callable[[int], None], monotonic: Callable[[], float]) -> Iterator[None]:
    """SIGTERM and SIGINT raise StopAsked, once, wherever the block stands; what it has begun it undoes, or
    leaves to the next pass, on its way out.

    A second signal, or a way out that takes longer than LONGEST_STOP (in a statement of the database, or a
    look-up of a name, no handler runs), ends the process at once: with the signal's exit code, as safely as
    SIGKILL. `tell_ended` is called first, with the signal's number.
    """
    # What is ignored from outside (nohup, a shell's background jobs) stays ignored.
    both = (signal.SIGTERM, signal.SIGINT)
    heeded = [each for each in both if signal.getsignal(each) is not signal.SIG_IGN]

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in heeded:
            signal.signal(each, _heard)
        raise StopAsked(number, monotonic())

    def raise_lost(lost: "sys.UnraisableHookArgs") -> None:
        """What is raised in a destructor, or in a callback of a weak reference, goes no further."""
        if isinstance(lost.exc_value, StopAsked):
            number = lost.exc_value.signal_number
            signal.signal(number, stop)
            beside(lambda: _signal_again(number), "signal-again")
        else:
            sys.__unraisablehook__(lost)

    end_watch = _watch_signals(heeded, tell_ended)
    sys.unraisablehook = raise_lost
    stopped = False
    try:
        for each in heeded:
            signal.signal(each, stop)
        yield
    except StopAsked:
        stopped = True  # the way out isn't over: it is watched to the end of the process
        raise
    finally:
        if not stopped:
            for each in heeded:  # nothing is left that could be stopped but the interpreter
                signal.signal(each, signal.SIG_DFL)
            end_watch()
            sys.unraisablehook = sys.__unraisablehook__


def _signal_again(number: int) -> None:
    select.select((), (), (), _RAISE_AGAIN_AFTER)
    os.kill(os.getpid(), number)


def _heard(_number: int, _frame: FrameType | None) -> None:
    """Nothing: a handler must stand there for the watch to be woken."""


def _watch_signals(heeded: Sequence[signal.Signals], tell_ended: Callable[[int], None]) -> Callable[[], None]:
    """Start the thread that ends the process; the function that ends the thread.

    It learns of signals from their numbers in a pipe, into which Python writes them whatever it is doing.
    """
    arrived, arrive = os.pipe()
    os.set_blocking(arrive, False)
    # A signal that this thread took would not wake the main thread from what it waits for.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, heeded)
    watch = beside(lambda: _end_process(arrived, tell_ended), "signals")
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if watch is None:  # a signal is heard all the same, but for where no handler runs
        os.close(arrive)
        os.close(arrived)
        return lambda: None
    signal.set_wakeup_fd(arrive, warn_on_full_buffer=False)

    def end() -> None:
        signal.set_wakeup_fd(-1)
        os.close(arrive)
        watch.join()
        os.close(arrived)

    return end


def _end_process(arrived: int, tell_ended: Callable[[int], None]) -> None:
    first = os.read(arrived, 1)
    if not first:
        return
    select.select([], [], [], _ONE_REQUEST)
    os.set_blocking(arrived, False)
    with suppress(BlockingIOError):
        os.read(arrived, 100)
    select.select([arrived], [], [], LONGEST_STOP - _ONE_REQUEST)
    number = first[0]
    if words := beside(lambda: tell_ended(number), "last-words"):
        words.join(_LAST_WORDS)
    os._exit(128 + number)


class _Results(TextIOWrapper):
    """Standard output, which raises UsageError when it cannot be written, whoever writes: an OSError of it
    would look like one of the program's own. A reader that went away stays a BrokenPipeError."""

    def __init__(self, stream: TextIOWrapper) -> None:
        encoding, buffering, through = stream.encoding, stream.line_buffering, stream.write_through
        super().__init__(stream.detach(), encoding, line_buffering=buffering, write_through=through)

    def write(self, text: str) -> int:
        with _told_unwritable():
            return super().write(text)

    def flush(self) -> None:
        with _told_unwritable():
            super().flush()


@contextmanager
def _told_unwritable() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(
            f"cannot write to standard output: {error.strerror}", hint="let it lead to where there is room"
        ) from error


def open_streams() -> None:
    """A caller may have closed them; what is written to them is then for nobody. What their encoding lacks
    is no reason to fail."""
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    if type(sys.stdout) is TextIOWrapper:
        sys.stdout = _Results(sys.stdout)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            with suppress(OSError):  # what it leads to cannot be asked where it stands
                stream.reconfigure(errors=ERRORS)


def standard_input() -> BinaryIO:
    """Raises UsageError when there is none."""
    if sys.stdin is None:  # a caller has closed it
        raise UsageError("standard input is closed", hint="give a file instead of -")
    return sys.stdin.buffer


def print_result(text: str) -> None:
    """Lines for standard output. What outsiders have put in is obeyed by no terminal, wherever it came in."""
    sys.stdout.write(lines(text) + "\n")


def print_json(text: str) -> None:
    """The same of JSON: its values stay what they are."""
    sys.stdout.write(in_json(text) + "\n")


def print_drawn(drawn: Drawn) -> None:
    """The same of what has colours of its own."""
    sys.stdout.write(drawn + "\n")


def confirmed(told: str, question: str) -> bool | None:
    """Whether a person at the terminal says yes to the question below `told`; None where there is none."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    sys.stderr.write(f"{lines(told)}\n{question}")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def flush_results() -> None:
    """Write out what standard output holds. Raises UsageError when it cannot be written."""
    with _told_unwritable():
        sys.stdout.flush()


def forget_unwritten_results() -> None:
    """What could not be written has been told; the interpreter is not to try, and complain, at its end."""
    try:
        sys.stdout.flush()
    except (OSError, UsageError):
        drop_results()


def drop_results() -> None:
    """Nobody waits for the rest of them: a reader that reads no more would hold up the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")
