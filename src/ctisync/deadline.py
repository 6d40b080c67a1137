"""Work with a deadline for all of it: names that are looked up, connections, heads, bodies."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from ctisync.threads import beside

_T = TypeVar("_T")


def within(seconds: float, work: Callable[[], _T], name: str) -> _T:
    """What `work` returns, or raises. Raises TimeoutError when it takes longer: it is then left alone, on a
    thread of that name, until it or the process ends.

    A thread, since no HTTP client bounds a reply that comes byte by byte, and none a look-up of a name. Where
    the system allows none, the work is done here, within the time-outs that its own steps have.
    """
    outcome: Future[_T] = Future()

    def attempt() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001  # handed on to the caller's thread
            outcome.set_exception(error)

    if beside(attempt, name) is None:
        attempt()
    return outcome.result(seconds)
