"""What is done beside something else, on a thread of its own."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Final, Generic, TypeVar

from ctisync.threads import beside

T = TypeVar("T")

_A_WHILE: Final = 1.0
"""Seconds of waiting between two calls of `waiting`."""


def on_a_thread(job: Callable[[], None]) -> bool:
    """Start the job beside the caller. Returns False if the system allows no further thread."""
    return beside(job, "meanwhile") is not None


class Meanwhile(Generic[T]):
    """A job that has begun, if it `runs`. For use by one thread, which gets its result and its error."""

    def __init__(self, job: Callable[[], T], start: Callable[[Callable[[], None]], bool]) -> None:
        self._answer: Future[T] = Future()

        def run() -> None:
            try:
                self._answer.set_result(job())
            except BaseException as error:  # noqa: BLE001  # handed on to the caller's thread
                self._answer.set_exception(error)

        self.runs = start(run)

    def result(self, waiting: Callable[[], None]) -> T:
        """What the job, which runs, returns or raises. `waiting` is called every second."""
        while wait([self._answer], _A_WHILE).not_done:
            waiting()
        return self._answer.result()

    def leave(self, seconds: float) -> None:
        """Wait at most so long for its end, and ignore what it came to."""
        if self.runs:
            wait([self._answer], seconds)
