"""Records of a generation: written in bulks whose replies are checked item by item, and read by name.

A bulk's status says nothing about its items. So each reply is compared with the request: the number of
items, their order, each id and each status. Index operations carry the record's offset as an external
version, deletes the sequence number that was read. A bulk that is sent twice therefore has one effect.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

import msgspec

from ctisync.core.model import MAX_RANGE, Record
from ctisync.core.wire import name_of
from ctisync.core.words import counted
from ctisync.errors import LOAD_ANEW, AnotherPass, StoreUnavailable
from ctisync.ports import Clock
from ctisync.stores.opensearch.bulk_actions import BulkAction, RecordVersion, Sent, body
from ctisync.stores.opensearch.bulk_pool import USUAL_PACE, BulkPool, Pace
from ctisync.stores.opensearch.client import Client, Problem, path

# `timeout`: how long a node waits for a shard that is missing before it reports that. It is well below the
# client's time-out.
_BULK_QUERY: Final = (
    "require_alias=true&timeout=10s&filter_path="
    "items.*._id,items.*.status,items.*._version,items.*._seq_no,items.*._primary_term,"
    "items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"
)
_NAMES_A_READ: Final = MAX_RANGE
"""One request reads a whole range."""
_LINES_A_READ: Final = 100
"""Lines to compare in one request: a whole bulk that was sent twice needs several."""
_PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0)
"""Seconds before items that a busy node rejected are sent again, in smaller bodies."""


class _Item(msgspec.Struct, frozen=True):
    status: int
    id: str = msgspec.field(name="_id")
    version: int | None = msgspec.field(name="_version", default=None)
    seq_no: int = msgspec.field(name="_seq_no", default=0)
    primary_term: int = msgspec.field(name="_primary_term", default=0)
    error: Problem | None = None


class _BulkReply(msgspec.Struct, frozen=True):
    items: list[dict[str, _Item]]


class _Found(msgspec.Struct, frozen=True):
    id: str = msgspec.field(name="_id")
    found: bool | None = None
    error: Problem | None = None
    version: int = msgspec.field(name="_version", default=0)
    seq_no: int = msgspec.field(name="_seq_no", default=0)
    primary_term: int = msgspec.field(name="_primary_term", default=0)
    source: msgspec.Raw = msgspec.field(name="_source", default=msgspec.Raw())

    @property
    def stored(self) -> RecordVersion:
        return RecordVersion(version=self.version, seq_no=self.seq_no, primary_term=self.primary_term)


class _MultiGetReply(msgspec.Struct, frozen=True):
    docs: list[_Found]


class _Head(msgspec.Struct, frozen=True):
    offset: int
    name: str | None = None
    resource: str | None = None


_bulk_decoder: Final = msgspec.json.Decoder(_BulkReply)
_multi_get_decoder: Final = msgspec.json.Decoder(_MultiGetReply)
_head_decoder: Final = msgspec.json.Decoder(_Head)


class Records:
    """The records of a generation. Each call names the fence through which it reaches them.

    Raises AnotherPass if the fence is gone: another pass has taken over, and nothing was written.
    """

    def __init__(self, client: Client, clock: Clock, pace: Pace = USUAL_PACE) -> None:
        self._client = client
        self._clock = clock
        self.pace = pace

    def read(self, fence: str, names: Collection[str]) -> dict[str, tuple[Record, RecordVersion]]:
        """The stored records among `names`, as last written, each with its version.

        Raises StoreUnavailable if another program altered one, naming the record.
        """
        found = {}
        for each in self._get(fence, names, ""):
            record = Record(name=each.id, offset=each.version, line=bytes(each.source))
            head = self._head(record)
            if (name_of(head.name, head.resource), head.offset) != (record.name, record.offset):
                raise StoreUnavailable(
                    f"another program altered record {record.name}: its line has offset {head.offset}, "
                    f"its stored version is {record.offset}",
                    hint=LOAD_ANEW,
                )
            found[each.id] = (record, each.stored)
        return found

    def versions(self, fence: str, names: Collection[str]) -> dict[str, RecordVersion]:
        """The versions of the stored records among `names`."""
        return {each.id: each.stored for each in self._get(fence, names, "_source=false")}

    def differing(self, fence: str, written: Sequence[BulkAction]) -> int:
        """How many of these index operations would have stored another line than the one that is stored."""
        number = 0
        for start in range(0, len(written), _LINES_A_READ):
            some = written[start : start + _LINES_A_READ]
            found = self.read(fence, list({action.name for action in some}))
            number += sum(action.name in found and not action.has(found[action.name][0]) for action in some)
        return number

    def pool(self, fence: str, meanwhile: Callable[[], None], *, one_by_one: bool = False) -> BulkPool:
        """A pool that sends several bulks at once, or larger ones `one_by_one`. It calls `meanwhile` every
        second while it waits."""
        pace = self.pace.one_by_one if one_by_one else self.pace
        return BulkPool(lambda actions: self.send(fence, actions), pace, self._clock, meanwhile)

    def send(self, fence: str, actions: Sequence[BulkAction]) -> Sent:
        """Send a bulk and check each item. Items that a busy node rejects are sent again.

        Raises StoreUnavailable for any item that the reply does not confirm, naming the record.
        """
        sent = Sent()
        waiting = deque([actions] if actions else [])
        pauses = iter(_PAUSES)
        target = path(fence, "_bulk", query=_BULK_QUERY)
        while waiting:
            part = waiting.popleft()
            reply = self._client.call("POST", target, body(part), allow={413, 429})
            if reply.status == 413:
                if len(part) == 1:
                    raise StoreUnavailable(
                        f"record {part[0].name} has {part[0].size} bytes, more than OpenSearch accepts",
                        hint="raise http.max_content_length in opensearch.yml",
                    )
                waiting.extendleft(reversed(_halves(part)))
                continue
            if reply.problem.is_block:
                raise self._client.blocked(reply.problem)
            busy = list(part)
            if reply.status != 429:
                busy = self._check(fence, part, self._client.read(reply, _bulk_decoder), sent)
            if busy:
                sent.turned_away += 1
                self._wait(pauses)
                waiting.extendleft(reversed(_halves(busy)))
        return sent

    def _check(
        self, fence: str, actions: Sequence[BulkAction], reply: _BulkReply, sent: Sent
    ) -> list[BulkAction]:
        """Add to `sent` what the reply confirms. Returns the actions that a busy node rejected."""
        if len(reply.items) != len(actions):
            raise StoreUnavailable(
                f"OpenSearch answered a bulk of {len(actions)} with {counted(len(reply.items), 'item')}; "
                "ctisync counts none of them as written"
            )
        busy = []
        for action, answered in zip(actions, reply.items, strict=True):
            item = answered.get(action.kind)
            if item is None or len(answered) != 1 or item.id != action.name:
                raise StoreUnavailable(f"OpenSearch's reply to a bulk does not account for {action.name}")
            if item.error is not None:
                if self._is_conflict(fence, action, item.status, item.error):
                    sent.conflicts.append(action)
                else:
                    busy.append(action)
            elif not _is_confirmed(action, item):
                raise StoreUnavailable(
                    f"OpenSearch did not confirm record {action.name}: status {item.status}"
                )
            else:
                sent.stands[action.name] = _stands(action, item)
                sent.created += action.kind == "index" and item.status == 201
        return busy

    def _is_conflict(self, fence: str, action: BulkAction, status: int, problem: Problem) -> bool:
        """True for a conflict, False for a busy node. Raises for every other error."""
        if problem.is_missing_index:
            raise fence_is_gone()
        if problem.is_block:
            raise self._client.blocked(problem)
        if status == 403:
            raise self._client.not_permitted(problem, "POST", path(fence, "_bulk"))
        if status == 409:
            return True
        if status in (429, 503):
            return False
        raise StoreUnavailable(
            f"OpenSearch refuses record {action.name} ({status}): {problem}",
            hint=f"{LOAD_ANEW} (into a new index with ctisync's own mapping)" if status == 400 else None,
        )

    def _wait(self, pauses: Iterator[float]) -> None:
        pause = next(pauses, None)
        if pause is None:
            raise StoreUnavailable(
                f"OpenSearch at {self._client.url} is overloaded and rejects writes; try again later"
            )
        self._clock.sleep(pause)

    def _get(self, fence: str, names: Collection[str], query: str) -> Iterator[_Found]:
        wanted = list(names)
        for start in range(0, len(wanted), _NAMES_A_READ):
            some = wanted[start : start + _NAMES_A_READ]
            reply = self._client.call("POST", path(fence, "_mget", query=query), {"ids": some}, allow={404})
            if reply.status == 404:
                raise fence_is_gone()
            docs = self._client.read(reply, _multi_get_decoder).docs
            if [doc.id for doc in docs] != some:
                raise StoreUnavailable("OpenSearch's reply to a read does not account for each record")
            for doc in docs:
                if doc.error is not None and doc.error.is_missing_index:
                    raise fence_is_gone()
                if doc.error is not None and doc.error.is_refusal:
                    raise self._client.not_permitted(doc.error, "POST", path(fence, "_mget"))
                if doc.error is not None and doc.error.is_block:
                    raise self._client.blocked(doc.error)
                if doc.found is None:
                    raise StoreUnavailable(f"OpenSearch cannot read record {doc.id}: {doc.error}")
                if doc.found:
                    yield doc

    def _head(self, record: Record) -> _Head:
        try:
            return _head_decoder.decode(record.line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreUnavailable(
                f"another program altered record {record.name}: {error}", hint=LOAD_ANEW
            ) from error


def _is_confirmed(action: BulkAction, item: _Item) -> bool:
    if action.kind == "delete":
        return item.status in (200, 404)
    return item.status in (200, 201) and item.version == action.offset


def _stands(action: BulkAction, item: _Item) -> RecordVersion | None:
    if action.kind == "delete":
        return None
    return RecordVersion(version=action.offset, seq_no=item.seq_no, primary_term=item.primary_term)


def _halves(actions: Sequence[BulkAction]) -> list[Sequence[BulkAction]]:
    middle = len(actions) // 2
    return [half for half in (actions[:middle], actions[middle:]) if half]


def fence_is_gone() -> AnotherPass:
    """The error of a request whose fence no longer exists."""
    return AnotherPass("another pass has taken over; this pass can no longer write")
