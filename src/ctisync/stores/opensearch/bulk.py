"""Bulks: their items and results, and several of them in flight at once.

Each bulk in flight has its own thread; they are sent one after the other if no thread can be started. Two
bulks that have a record name in common are never in flight together: the order in which the node executes
them would decide. The number of bulks and their size adapt to the node's load.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import chain
from typing import Final, Literal, NamedTuple

import msgspec

from ctisync.core.model import Record
from ctisync.ports import Clock
from ctisync.system.threads import submit

SMALLEST: Final = 500_000
"""Bytes. A busy node does not make bulks smaller than this."""

_AT_FIRST: Final = 2
_SLOW: Final = 10.0
"""Seconds. A node that takes longer for a bulk counts as busy."""
_WAIT: Final = 1.0
"""Seconds of waiting between two calls of `meanwhile`."""


class BulkAction(msgspec.Struct, frozen=True):
    """One item of a bulk. `parts` are the pieces of its one or two lines, with newlines: a record's line is
    the largest part by far, and is copied only when the bulk is sent. `size`: bytes in the body of a bulk."""

    kind: Literal["index", "delete"]
    name: str
    offset: int
    size: int
    parts: tuple[bytes, ...]


class RecordVersion(msgspec.Struct, frozen=True):
    """The version of a record that the store holds, as replies have it. `version` is the record's offset, -1
    if the reply has none; the other two are OpenSearch's sequence number and primary term."""

    version: int = msgspec.field(name="_version", default=-1)
    seq_no: int = msgspec.field(name="_seq_no", default=0)
    primary_term: int = msgspec.field(name="_primary_term", default=0)


class BulkResult(msgspec.Struct):
    """`created`: the number of new records. `versions`: the stored version of each record that was written,
    None for a deleted one. `conflicts`: actions that met another version. `rejections`: how often a busy node
    rejected some items first. `seconds`: how long the bulk took."""

    created: int = 0
    versions: dict[str, RecordVersion | None] = {}
    conflicts: list[BulkAction] = []
    rejections: int = 0
    seconds: float = 0.0


def index(record: Record) -> BulkAction:
    """Write the record, unless one with an offset as high is stored."""
    head = b'{"index":{"_id":%b,"version":%d,"version_type":"external"}}\n'
    line = head % (msgspec.json.encode(record.name), record.offset)
    size = len(line) + len(record.line) + 1
    return BulkAction("index", record.name, record.offset, size, (line, record.line, b"\n"))


def delete(name: str, offset: int, stored: RecordVersion) -> BulkAction:
    """Delete the record, if it still has the version `stored`."""
    head = b'{"delete":{"_id":%b,"if_seq_no":%d,"if_primary_term":%d}}\n'
    line = head % (msgspec.json.encode(name), stored.seq_no, stored.primary_term)
    return BulkAction("delete", name, offset, len(line), (line,))


def body(actions: Iterable[BulkAction]) -> bytes:
    """The request body of a bulk of these actions."""
    return b"".join(chain.from_iterable(action.parts for action in actions))


class Pace(NamedTuple):
    """The highest number of bulks in flight at once, and the bytes of one."""

    senders: int = 4
    bulk_bytes: int = 3_000_000

    @property
    def one_by_one(self) -> "Pace":
        """One bulk in flight, of as many bytes as several have together."""
        return Pace(1, self.senders * self.bulk_bytes)


class BulkPool:
    """Sends bulks in parallel. For use by one thread, which gets each result and each error from a later
    call.

    `send` sends one bulk and is called from any thread. `pace` limits number and size, `bulk_bytes` is the
    size of the next bulk. `meanwhile` is called for each gathered bulk, and every second of waiting.
    """

    def __init__(
        self,
        send: Callable[[Sequence[BulkAction]], BulkResult],
        pace: Pace,
        clock: Clock,
        meanwhile: Callable[[], None],
    ) -> None:
        self._send = send
        self._pace = pace
        self._clock = clock
        self._meanwhile = meanwhile
        self._allowed = min(_AT_FIRST, pace.senders)
        self._accepted = 0
        self._in_flight: dict[Future[BulkResult], frozenset[str]] = {}
        self._gathered: list[BulkAction] = []
        self._size = 0
        self.bulk_bytes = pace.bulk_bytes

    def add(self, actions: Iterable[BulkAction]) -> list[BulkResult]:
        """Gather the actions into bulks of at most `bulk_bytes`, or of one action, and send each full bulk.
        Returns the results received so far."""
        results = []
        for action in actions:
            if self._size + action.size > self.bulk_bytes:
                results += self._submit_gathered()
            self._gathered.append(action)
            self._size += action.size
        return results

    def submit(self, actions: Sequence[BulkAction]) -> list[BulkResult]:
        """Send a bulk as soon as pace and names in flight allow it. Returns results to other bulks; without a
        thread for it, its own, too."""
        names = frozenset(action.name for action in actions)
        results = []
        while len(self._in_flight) >= self._allowed or any(names & each for each in self._in_flight.values()):
            results.append(self._result())

        def send() -> BulkResult:
            began = self._clock.monotonic()
            result = self._send(actions)
            result.seconds = self._clock.monotonic() - began
            return result

        future = Future[BulkResult]()
        self._in_flight[future] = names  # first: a signal may come as soon as the thread runs
        if submit(send, "sender", answer=future) is None:
            del self._in_flight[future]
            results.append(self._adapted(send()))
        return results

    def drain(self) -> list[BulkResult]:
        """Send the gathered actions. Returns the results to them and to all bulks in flight."""
        results = self._submit_gathered()
        while self._in_flight:
            results.append(self._result())
        return results

    def stop(self, seconds: float) -> None:
        """Wait at most so long for the bulks in flight, and ignore their results."""
        for future in wait(self._in_flight, seconds).done:
            del self._in_flight[future]

    def _submit_gathered(self) -> list[BulkResult]:
        if not self._gathered:
            return []
        self._meanwhile()
        bulk, self._gathered, self._size = self._gathered, [], 0
        return self.submit(bulk)

    def _result(self) -> BulkResult:
        """Wait for the next finished bulk."""
        while not (done := wait(self._in_flight, _WAIT, FIRST_COMPLETED).done):
            self._meanwhile()
        future = done.pop()
        del self._in_flight[future]
        return self._adapted(future.result())

    def _adapted(self, result: BulkResult) -> BulkResult:
        """Halve number and size of the bulks if the node was busy; else raise them slowly."""
        if result.rejections or result.seconds > _SLOW:
            self._allowed = max(1, self._allowed // 2)
            self.bulk_bytes = max(min(SMALLEST, self._pace.bulk_bytes), self.bulk_bytes // 2)
            self._accepted = 0
            return result
        self._accepted += 1
        if self._accepted >= self._allowed:
            self._accepted = 0
            self._allowed = min(self._pace.senders, self._allowed + 1)
            self.bulk_bytes = min(self._pace.bulk_bytes, self.bulk_bytes + SMALLEST)
        return result
