"""Work on other threads, if the system allows them (`ulimit -u`, systemd's `TasksMax=`), and deadlines."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")

Start = Callable[[Callable[[], None], str], bool]
"""Starts a job under a name; it may run beside its caller. Returns False if it cannot be started."""


def start_thread(work: Callable[[], object], name: str) -> Thread | None:
    """Start `work` on a thread of this name; the process can end before the thread does. None if the system
    allows no further thread: `work` has not started then."""
    thread = Thread(target=work, daemon=True, name=name)
    try:
        thread.start()
    except RuntimeError:  # "can't start new thread"
        return None
    return thread


def start_on_thread(job: Callable[[], None], name: str) -> bool:
    """`Start` on a thread of its own."""
    return start_thread(job, name) is not None


def submit(
    work: Callable[[], T], name: str, start: Start = start_on_thread, answer: Future[T] | None = None
) -> Future[T] | None:
    """The future result, or error, of `work`, which has been started; None if it could not be. `answer`: the
    future to use, for a caller that must have it even if a signal comes before this returns."""
    outcome = Future[T]() if answer is None else answer

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001  # handed on to the caller's thread
            outcome.set_exception(error)

    return outcome if start(run, name) else None


def run_within(seconds: float, work: Callable[[], T], name: str) -> T:
    """Returns what `work` returns, or raises what it raises. Raises TimeoutError after so many seconds;
    `work` then continues on its thread, which has this `name`, until it or the process ends.

    It needs a thread: no HTTP client limits the time of a look-up or of a reply that comes byte by byte. If
    the system allows no thread, `work` runs in this one, and only its own time limits count.
    """
    outcome = submit(work, name)
    return work() if outcome is None else outcome.result(seconds)
