"""A deadline for a whole request: looking up the name, connecting, the head and the body of the reply."""

from collections.abc import Callable
from typing import TypeVar

from ctisync.threads import begun

_T = TypeVar("_T")


def within(seconds: float, work: Callable[[], _T], name: str) -> _T:
    """Returns what `work` returns, or raises what it raises. Raises TimeoutError after so many seconds;
    `work` then continues on its thread, which has this `name`, until it or the process ends.

    It needs a thread: no HTTP client limits the time of a look-up or of a reply that comes byte by byte. If
    the system allows no thread, `work` runs in this one, and only its own time limits count.
    """
    outcome = begun(work, name)
    return work() if outcome is None else outcome.result(seconds)
