"""Bulks: their items and results, and several of them in flight at once.

Each bulk in flight has its own thread; they are sent one after the other if no thread can be started. Two
bulks that have a record name in common are never in flight together: the order in which the node executes
them would decide. The number of bulks and their size adapt to the node's load.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from queue import Empty, SimpleQueue
from typing import Final, Literal, NamedTuple

import msgspec

from ctisync.core.model import Record
from ctisync.ports import Clock
from ctisync.system.process import is_stop
from ctisync.system.threads import start_thread

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
    """The version of a record that the store holds. `version` is the record's offset; the other two are
    OpenSearch's sequence number and primary term."""

    version: int
    seq_no: int
    primary_term: int


class BulkResult(msgspec.Struct):
    """`created`: the number of new records. `versions`: the stored version of each record that was written,
    None for a deleted one. `conflicts`: actions that met another version. `rejections`: how often a busy node
    rejected some items first."""

    created: int = 0
    versions: dict[str, RecordVersion | None] = {}
    conflicts: list[BulkAction] = []
    rejections: int = 0


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


USUAL_PACE: Final = Pace()


class _Finished(NamedTuple):
    """A finished bulk: its result, or the error that was raised."""

    names: frozenset[str]
    result: BulkResult
    error: BaseException | None
    seconds: float


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
        self._in_flight = 0
        self._names: set[str] = set()
        self._gathered: list[BulkAction] = []
        self._size = 0
        self._finished: SimpleQueue[_Finished] = SimpleQueue()
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
        """Send a bulk as soon as pace and names in flight allow it. Returns results to other bulks."""
        names = frozenset(action.name for action in actions)
        results = []
        while self._in_flight >= self._allowed or not self._names.isdisjoint(names):
            results.append(self._result())
        self._in_flight += 1
        self._names |= names
        if start_thread(lambda: self._finished.put(self._send_one(actions, names)), "sender") is None:
            finished = self._send_one(actions, names)
            if finished.error is not None and is_stop(finished.error):
                raise finished.error
            self._finished.put(finished)
        return results

    def drain(self) -> list[BulkResult]:
        """Send the gathered actions. Returns the results to them and to all bulks in flight."""
        results = self._submit_gathered()
        while self._in_flight:
            results.append(self._result())
        return results

    def stop(self, seconds: float) -> None:
        """Wait at most so long for the bulks in flight, and ignore their results."""
        end = self._clock.monotonic() + seconds
        while self._in_flight and (left := end - self._clock.monotonic()) > 0:
            try:
                self._finished.get(timeout=left)
            except Empty:
                return
            self._in_flight -= 1

    def _submit_gathered(self) -> list[BulkResult]:
        if not self._gathered:
            return []
        self._meanwhile()
        bulk, self._gathered, self._size = self._gathered, [], 0
        return self.submit(bulk)

    def _send_one(self, actions: Sequence[BulkAction], names: frozenset[str]) -> _Finished:
        began = self._clock.monotonic()
        result, error = BulkResult(), None
        try:
            result = self._send(actions)
        except BaseException as raised:  # noqa: BLE001  # handed on to the caller's thread
            error = raised
        return _Finished(names, result, error, self._clock.monotonic() - began)

    def _result(self) -> BulkResult:
        """Wait for the next finished bulk."""
        finished = None
        while finished is None:
            try:
                finished = self._finished.get(timeout=_WAIT)
            except Empty:
                self._meanwhile()
        self._in_flight -= 1
        self._names -= finished.names
        if finished.error is not None:
            raise finished.error
        self._adapt(is_busy=finished.result.rejections > 0 or finished.seconds > _SLOW)
        return finished.result

    def _adapt(self, *, is_busy: bool) -> None:
        """Halve number and size if the node is busy; else raise them slowly."""
        if is_busy:
            self._allowed = max(1, self._allowed // 2)
            self.bulk_bytes = max(min(SMALLEST, self._pace.bulk_bytes), self.bulk_bytes // 2)
            self._accepted = 0
            return
        self._accepted += 1
        if self._accepted >= self._allowed:
            self._accepted = 0
            self._allowed = min(self._pace.senders, self._allowed + 1)
            self.bulk_bytes = min(self._pace.bulk_bytes, self.bulk_bytes + SMALLEST)
