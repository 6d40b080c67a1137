"""The prefetch: the changes of the next range are requested while those of the last one are written.

Connections, retry budget and limits are for one thread at a time: any other request waits until the prefetch
has ended.
"""

from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial

from ctisync.core.model import Change, OffsetRange
from ctisync.system.threads import Start, begun


class Prefetch:
    """At most one range that is prefetched. For use by one thread; `start` decides where `fetch` runs."""

    def __init__(self, fetch: Callable[[OffsetRange], list[Change]], start: Start) -> None:
        self._fetch = fetch
        self._start = start
        self._asked: tuple[OffsetRange, Future[list[Change]]] | None = None

    def ask(self, wanted: OffsetRange) -> None:
        """Start to fetch these changes, if possible. `changes` raises the errors."""
        self.drop()
        answer = begun(partial(self._fetch, wanted), "asking-ahead", self._start)
        self._asked = None if answer is None else (wanted, answer)

    def changes(self, wanted: OffsetRange) -> list[Change]:
        """The prefetched changes if `ask` was for this range; else they are fetched now."""
        self.has_ended()
        asked, self._asked = self._asked, None
        if asked is not None and asked[0] == wanted:
            return asked[1].result()
        return self._fetch(wanted)

    def drop(self) -> None:
        """Wait for the prefetch, and discard it."""
        self.has_ended()
        self._asked = None

    def has_ended(self, within: float | None = None) -> bool:
        """Wait for the prefetch, at most so many seconds. Returns whether it has ended."""
        return self._asked is None or not wait([self._asked[1]], within).not_done
