"""The changes of the range that comes next, asked for while those of the last one are written.

Connections, patience and bounds are for one thread at a time: whoever asks for anything else waits for the
end of what is under way.
"""

from collections.abc import Callable
from concurrent.futures import Future, wait

from ctisync.core.model import Change, OffsetRange
from ctisync.threads import beside

Start = Callable[[Callable[[], None]], bool]
"""Runs a job, at once or beside what its caller does next; False when it cannot."""


def on_a_thread(job: Callable[[], None]) -> bool:
    return beside(job, "asking-ahead") is not None


class Prefetch:
    """At most one range that was asked for ahead. For use by one thread; `start` says where `fetch` runs."""

    def __init__(self, fetch: Callable[[OffsetRange], list[Change]], start: Start) -> None:
        self._fetch = fetch
        self._start = start
        self._asked: tuple[OffsetRange, Future[list[Change]]] | None = None

    def ask(self, wanted: OffsetRange) -> None:
        """Begin to fetch these changes, where that can be. What stands in their way `changes` raises."""
        self.drop()
        answer: Future[list[Change]] = Future()
        self._asked = wanted, answer

        def fetch() -> None:
            try:
                answer.set_result(self._fetch(wanted))
            except BaseException as error:  # noqa: BLE001  # handed on to the caller's thread
                answer.set_exception(error)

        if not self._start(fetch):
            self._asked = None

    def changes(self, wanted: OffsetRange) -> list[Change]:
        """The answer to `ask`, if it was for this range, or what is fetched now."""
        self.has_ended()
        asked, self._asked = self._asked, None
        if asked is not None and asked[0] == wanted:
            return asked[1].result()
        return self._fetch(wanted)

    def drop(self) -> None:
        """Wait for what is under way, and forget it."""
        self.has_ended()
        self._asked = None

    def has_ended(self, within: float | None = None) -> bool:
        """Wait for what is under way, at most so many seconds; whether it has ended."""
        return self._asked is None or not wait([self._asked[1]], within).not_done
