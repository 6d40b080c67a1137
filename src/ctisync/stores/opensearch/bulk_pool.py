"""Several bulks in flight at once, each on its own thread; one after the other if no thread can be started.

Two bulks that have a record name in common are never in flight together: the order in which the node
executes them would decide. The number of bulks and their size adapt to the node's load.
"""

from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple

from ctisync.ports import Clock
from ctisync.stores.opensearch.bulk_actions import BulkAction, Sent
from ctisync.stores.shutdown import is_stop
from ctisync.system.threads import start_thread

SMALLEST: Final = 500_000
"""Bytes. A busy node does not make bulks smaller than this."""

_AT_FIRST: Final = 2
_SLOW: Final = 10.0
"""Seconds. A node that takes longer for a bulk counts as busy."""
_A_WHILE: Final = 1.0
"""Seconds of waiting between two calls of `meanwhile`."""


class Pace(NamedTuple):
    """The highest number of bulks in flight at once, and the bytes of one."""

    senders: int = 4
    bulk_bytes: int = 3_000_000

    @property
    def one_by_one(self) -> "Pace":
        """One bulk in flight, of as many bytes as several have together."""
        return Pace(1, self.senders * self.bulk_bytes)


USUAL_PACE: Final = Pace()


class _Back(NamedTuple):
    """A finished bulk: its reply, or the error that was raised."""

    names: frozenset[str]
    sent: Sent
    error: BaseException | None
    seconds: float


class BulkPool:
    """Sends bulks in parallel. For use by one thread, which gets each reply and each error from a later call.

    `send` sends one bulk and is called from any thread. `pace` limits number and size, `bulk_bytes` is the
    size of the next bulk. `meanwhile` is called for each gathered bulk, and every second of waiting.
    """

    def __init__(
        self,
        send: Callable[[Sequence[BulkAction]], Sent],
        pace: Pace,
        clock: Clock,
        meanwhile: Callable[[], None],
    ) -> None:
        self._send = send
        self._pace = pace
        self._clock = clock
        self._meanwhile = meanwhile
        self._allowed = min(_AT_FIRST, pace.senders)
        self._quiet = 0
        self._under_way = 0
        self._names: set[str] = set()
        self._gathered: list[BulkAction] = []
        self._size = 0
        self._back: SimpleQueue[_Back] = SimpleQueue()
        self.bulk_bytes = pace.bulk_bytes

    def add(self, actions: Iterable[BulkAction]) -> list[Sent]:
        """Gather the actions into bulks of at most `bulk_bytes`, or of one action, and send each full bulk.
        Returns the replies received so far."""
        replies = []
        for action in actions:
            if self._size + action.size > self.bulk_bytes:
                replies += self._submit_gathered()
            self._gathered.append(action)
            self._size += action.size
        return replies

    def submit(self, actions: Sequence[BulkAction]) -> list[Sent]:
        """Send a bulk as soon as pace and names in flight allow it. Returns replies to other bulks."""
        names = frozenset(action.name for action in actions)
        replies = []
        while self._under_way >= self._allowed or not self._names.isdisjoint(names):
            replies.append(self._next())
        self._under_way += 1
        self._names |= names
        if start_thread(lambda: self._back.put(self._over(actions, names)), "sender") is None:
            back = self._over(actions, names)
            if back.error is not None and is_stop(back.error):
                raise back.error
            self._back.put(back)
        return replies

    def drain(self) -> list[Sent]:
        """Send the gathered actions. Returns the replies to them and to all bulks in flight."""
        replies = self._submit_gathered()
        while self._under_way:
            replies.append(self._next())
        return replies

    def stop(self, seconds: float) -> None:
        """Wait at most so long for the bulks in flight, and ignore their results."""
        end = self._clock.monotonic() + seconds
        while self._under_way and (left := end - self._clock.monotonic()) > 0:
            try:
                self._back.get(timeout=left)
            except Empty:
                return
            self._under_way -= 1

    def _submit_gathered(self) -> list[Sent]:
        if not self._gathered:
            return []
        self._meanwhile()
        bulk, self._gathered, self._size = self._gathered, [], 0
        return self.submit(bulk)

    def _over(self, actions: Sequence[BulkAction], names: frozenset[str]) -> _Back:
        began = self._clock.monotonic()
        sent, error = Sent(), None
        try:
            sent = self._send(actions)
        except BaseException as raised:  # noqa: BLE001  # handed on to the caller's thread
            error = raised
        return _Back(names, sent, error, self._clock.monotonic() - began)

    def _next(self) -> Sent:
        back = self._waited_for()
        self._under_way -= 1
        self._names -= back.names
        if back.error is not None:
            raise back.error
        self._follow(is_busy=back.sent.turned_away > 0 or back.seconds > _SLOW)
        return back.sent

    def _waited_for(self) -> _Back:
        while True:
            try:
                return self._back.get(timeout=_A_WHILE)
            except Empty:
                self._meanwhile()

    def _follow(self, *, is_busy: bool) -> None:
        """Halve number and size if the node is busy; else raise them slowly."""
        if is_busy:
            self._allowed = max(1, self._allowed // 2)
            self.bulk_bytes = max(min(SMALLEST, self._pace.bulk_bytes), self.bulk_bytes // 2)
            self._quiet = 0
            return
        self._quiet += 1
        if self._quiet >= self._allowed:
            self._quiet = 0
            self._allowed = min(self._pace.senders, self._allowed + 1)
            self.bulk_bytes = min(self._pace.bulk_bytes, self.bulk_bytes + SMALLEST)
