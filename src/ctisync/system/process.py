"""The process: signals that stop it, standard streams that are closed or full, and memory."""

import math
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import BinaryIO, Final, TextIO

from ctisync.errors import CtisyncError, Unexpected, UsageError
from ctisync.escaping import ERRORS, Drawn, escape_json, escape_lines
from ctisync.system.files import named_write_errors
from ctisync.system.threads import start_thread

LONGEST_STOP: Final = 4.0
"""Seconds for a command to stop by itself after a signal; then ctisync ends the process."""

_ONE_REQUEST: Final = 0.3
"""Seconds in which a second signal is ignored: `timeout`, for example, sends each one twice."""

_RAISE_AGAIN_AFTER: Final = 0.02
"""Seconds after which a lost StopRequested is raised again."""

_LAST_WORDS: Final = 0.5
"""Seconds for the last message, which the stream may not accept."""


HURRY: Final = 2.0
"""Seconds for the clean-up of a store when a signal ends the pass; the next pass does the rest."""

_ARENA_MAX: Final = -8
"""M_ARENA_MAX of mallopt(3)."""


class StopRequested(BaseException):
    """A signal came. Not an `Exception`, so that no library catches it and tries again."""

    def __init__(self, signal_number: int, at: float) -> None:
        """`at`: the time, in seconds of the clock passed to `stopping_on_signals`."""
        super().__init__(signal_number)
        self.signal_number = signal_number
        self.at = at


def stop_behind(error: BaseException) -> StopRequested | None:
    """The StopRequested behind this error: Python before 3.12 replaces it by another error if it is raised
    while a class is being created, for example during an import."""
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, StopRequested):
        reason = reason.__cause__ or reason.__context__
    return reason


def is_stop(error: BaseException) -> bool:
    """Whether a signal's handler raised this: it is neither an `Exception` nor the close of a generator."""
    return not isinstance(error, Exception | GeneratorExit)


def finish(work: Callable[[float], None]) -> None:
    """Call `work` with the seconds that it may take. It must be repeatable: if a signal interrupts it, it is
    called again with 2 seconds."""
    try:
        work(math.inf)
    except BaseException as error:
        if is_stop(error):
            work(HURRY)
        raise


def error_to_report(error: Exception) -> CtisyncError:
    """The error to report: itself, or Unexpected. Raises the StopRequested behind it, if any."""
    if isinstance(error, CtisyncError):
        return error
    if stop := stop_behind(error):
        raise stop from None
    return Unexpected(error)


@contextmanager
def only_ctisync_errors() -> Iterator[None]:
    """The block raises only CtisyncError or StopRequested."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  # a bug must not stop what follows the block
        raise error_to_report(error)  # noqa: B904  # its cause is set


@contextmanager
def stopping_on_signals(
    report_forced_end: Callable[[int], None], monotonic: Callable[[], float]
) -> Iterator[None]:
    """SIGTERM and SIGINT raise StopRequested once, anywhere in the block, which then undoes its work or
    leaves it to the next pass.

    A second signal, or a stop that takes longer than LONGEST_STOP (no handler runs during a statement of the
    database or a name lookup), ends the process at once, with the exit code of the signal; that is as safe as
    SIGKILL. `report_forced_end` is called first, with the number of the signal.
    """
    # Signals that the caller ignores (nohup, background jobs of a shell) stay ignored.
    both = (signal.SIGTERM, signal.SIGINT)
    heeded = [each for each in both if signal.getsignal(each) is not signal.SIG_IGN]

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in heeded:
            signal.signal(each, _ignore)
        raise StopRequested(number, monotonic())

    end_watch = _watch_signals(heeded, report_forced_end)
    sys.unraisablehook = partial(_raise_again, stop)
    stopped = False
    try:
        for each in heeded:
            signal.signal(each, stop)
        yield
    except StopRequested:
        stopped = True  # still stopping: the watch continues until the process ends
        raise
    finally:
        if not stopped:
            for each in heeded:  # only the end of the interpreter is left
                signal.signal(each, signal.SIG_DFL)
            end_watch()
            sys.unraisablehook = sys.__unraisablehook__


def _raise_again(stop: Callable[[int, FrameType | None], None], lost: "sys.UnraisableHookArgs") -> None:
    """A hook: Python drops an exception in a destructor or in a callback of a weak reference."""
    if isinstance(lost.exc_value, StopRequested):
        number = lost.exc_value.signal_number
        signal.signal(number, stop)
        start_thread(lambda: _signal_again(number), "signal-again")
    else:
        sys.__unraisablehook__(lost)


def _signal_again(number: int) -> None:
    select.select((), (), (), _RAISE_AGAIN_AFTER)
    os.kill(os.getpid(), number)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Does nothing: a signal without a handler would not wake the watch."""


def _watch_signals(
    heeded: Sequence[signal.Signals], report_forced_end: Callable[[int], None]
) -> Callable[[], None]:
    """Start the thread that ends the process; returns the function that ends the thread.

    The thread reads the numbers of signals from a pipe, into which Python writes them at any time.
    """
    arrived, arrive = os.pipe()
    os.set_blocking(arrive, False)
    # A signal delivered to this thread would not wake the main thread.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, heeded)
    watch = start_thread(lambda: _end_process(arrived, report_forced_end), "signals")
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if watch is None:  # signals still work, except where no handler runs
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


def _end_process(arrived: int, report_forced_end: Callable[[int], None]) -> None:
    first = os.read(arrived, 1)
    if not first:
        return
    select.select([], [], [], _ONE_REQUEST)
    os.set_blocking(arrived, False)
    with suppress(BlockingIOError):
        os.read(arrived, 100)
    select.select([arrived], [], [], LONGEST_STOP - _ONE_REQUEST)
    number = first[0]
    if words := start_thread(lambda: report_forced_end(number), "last-words"):
        words.join(_LAST_WORDS)
    os._exit(128 + number)


class _Results(TextIOWrapper):
    """Standard output, which raises UsageError if it cannot be written, for every writer: an OSError would
    look like a bug. A closed reader stays a BrokenPipeError."""

    def __init__(self, stream: TextIOWrapper) -> None:
        encoding, buffering, through = stream.encoding, stream.line_buffering, stream.write_through
        super().__init__(stream.detach(), encoding, line_buffering=buffering, write_through=through)

    def write(self, text: str) -> int:
        with _named_errors():
            return super().write(text)

    def flush(self) -> None:
        with _named_errors():
            super().flush()


def _named_errors() -> AbstractContextManager[None]:
    return named_write_errors("standard output", hint="redirect it to a disk with free space")


def open_streams() -> None:
    """Prepare the standard streams: output to a closed one is discarded; characters that their encoding lacks
    are escaped."""
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    if type(sys.stdout) is TextIOWrapper:
        sys.stdout = _Results(sys.stdout)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            with suppress(OSError):  # the position in the stream is unknown
                stream.reconfigure(errors=ERRORS)


def standard_input() -> BinaryIO:
    """The bytes of standard input. Raises UsageError if it is closed."""
    if sys.stdin is None:  # closed by the caller
        raise UsageError("standard input is closed", hint="pass a file instead of -")
    return sys.stdin.buffer


def print_result(text: str) -> None:
    """Print lines to standard output, with control characters escaped (`escaping.escape_lines`)."""
    sys.stdout.write(escape_lines(text) + "\n")


def print_json(text: str) -> None:
    """The same for JSON, whose values stay unchanged (`escaping.escape_json`)."""
    sys.stdout.write(escape_json(text) + "\n")


def print_drawn(drawn: Drawn) -> None:
    """The same for a table, which has colours."""
    sys.stdout.write(drawn + "\n")


def confirm(text: str, question: str) -> bool | None:
    """Print `text` and below it the question, at the terminal. Whether the answer is yes; None without a
    terminal, where nothing is printed."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    sys.stderr.write(f"{escape_lines(text)}\n{question}")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def flush_results() -> None:
    """Flush standard output. Raises UsageError if it cannot be written."""
    with _named_errors():
        sys.stdout.flush()


def drop_unwritten_results() -> None:
    """Drop output that could not be written and was reported, so that the interpreter does not try again."""
    try:
        sys.stdout.flush()
    except (OSError, UsageError):
        drop_results()


def drop_results() -> None:
    """Drop the rest of the output: a reader that has stopped reading would block the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def use_one_arena() -> None:
    """Let all threads share one arena. Call it before threads are started.

    glibc gives each thread memory of its own, and keeps what a thread has freed for that thread: bodies of
    several MB, which each thread has in turn, would be held once for each.
    """
    _glibc("mallopt", _ARENA_MAX, 1)


def give_back_memory() -> None:
    """Return freed memory to the system, which takes about 7 ms of processor time.

    glibc keeps it otherwise. The bodies and the records of a range leave gaps that those of the next range do
    not fit into: a pass of thirty ranges took 20 MB more than one of ten.
    """
    _glibc("malloc_trim", 0)


def _glibc(function: str, *arguments: int) -> None:
    """Call a function; another C library may lack it."""
    import ctypes

    with suppress(AttributeError, OSError):
        getattr(ctypes.CDLL(None), function)(*arguments)
