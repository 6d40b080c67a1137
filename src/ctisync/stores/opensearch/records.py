"""Records of a generation: written in bulks whose replies are checked item by item, and read by name.

A bulk's status says nothing about its items. So each reply is compared with the request: the number of
items, their order, each id and each status. Index operations carry the record's offset as an external
version, deletes the sequence number that was read. A bulk that is sent twice therefore has one effect.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

import msgspec

from ctisync import hints
from ctisync.core.model import MAX_RANGE, Record
from ctisync.core.wire import name_of
from ctisync.core.words import counted
from ctisync.errors import StoreUnavailable
from ctisync.stores.opensearch.bulk import BulkAction, BulkPool, BulkResult, Pace, RecordVersion, body
from ctisync.stores.opensearch.client import Client, OpenSearchReply, path
from ctisync.stores.opensearch.indices import fence_is_gone
from ctisync.stores.opensearch.refusals import Problem

# `timeout`: how long a node waits for a shard that is missing before it reports that. It is well below the
# client's time-out.
_BULK_QUERY: Final = (
    "require_alias=true&timeout=10s&filter_path="
    "items.*._id,items.*.status,items.*._version,items.*._seq_no,items.*._primary_term,"
    "items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"
)
_NAMES_PER_READ: Final = MAX_RANGE
"""One request reads a whole range."""
_LINES_PER_READ: Final = 100
"""Lines to compare in one request: a whole bulk that was sent twice needs several."""
_PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0)
"""Seconds before items that a busy node rejected are sent again, in smaller bodies."""


class _Answer(RecordVersion, frozen=True, kw_only=True):
    """The part of a reply that is about one record."""

    id: str = msgspec.field(name="_id")
    error: Problem | None = None

    @property
    def record_version(self) -> RecordVersion:
        """The version alone, without what else was read."""
        return RecordVersion(self.version, self.seq_no, self.primary_term)


class _Item(_Answer, frozen=True, kw_only=True):
    status: int

    def confirms(self, action: BulkAction) -> bool:
        if action.kind == "delete":
            return self.status in (200, 404)
        return self.status in (200, 201) and self.version == action.offset


class _BulkReply(msgspec.Struct, frozen=True):
    items: list[dict[str, _Item]]


class _Document(_Answer, frozen=True, kw_only=True):
    found: bool | None = None
    source: msgspec.Raw = msgspec.field(name="_source", default=msgspec.Raw())


class _MultiGetReply(msgspec.Struct, frozen=True):
    docs: list[_Document]


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

    def __init__(self, client: Client, pace: Pace) -> None:
        self._client = client
        self.pace = pace

    def read(self, fence: str, names: Collection[str]) -> dict[str, tuple[Record, RecordVersion]]:
        """The stored records among `names`, as last written, each with its version.

        Raises StoreUnavailable if another program altered one, naming the record.
        """
        records = {}
        for document in self._documents(fence, names, ""):
            record = Record(name=document.id, offset=document.version, line=bytes(document.source))
            _check_unaltered(record)
            records[record.name] = (record, document.record_version)
        return records

    def versions(self, fence: str, names: Collection[str]) -> dict[str, RecordVersion]:
        """The versions of the stored records among `names`."""
        return {each.id: each.record_version for each in self._documents(fence, names, "_source=false")}

    def differing(self, fence: str, actions: Sequence[BulkAction]) -> int:
        """How many of these index operations would have stored another line than the one that is stored."""
        number = 0
        for start in range(0, len(actions), _LINES_PER_READ):
            some = actions[start : start + _LINES_PER_READ]
            stored = self.read(fence, list({action.name for action in some}))
            for action in some:
                number += action.name in stored and stored[action.name][0].line not in action.parts
        return number

    def pool(self, fence: str, meanwhile: Callable[[], None], *, one_by_one: bool = False) -> BulkPool:
        """A pool that sends several bulks at once, or larger ones `one_by_one`. It calls `meanwhile` every
        second while it waits."""
        pace = self.pace.one_by_one if one_by_one else self.pace
        return BulkPool(lambda actions: self.send(fence, actions), pace, self._client.clock, meanwhile)

    def send(self, fence: str, actions: Sequence[BulkAction]) -> BulkResult:
        """Send a bulk and check each item. Items that a busy node rejects are sent again.

        Raises StoreUnavailable for any item that the reply does not confirm, naming the record.
        """
        result = BulkResult()
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
                raise self._client.refusal(reply, "POST", target)
            busy = list(part)
            if reply.status != 429:
                busy = self._check(fence, part, self._client.read(reply, _bulk_decoder), result)
            if busy:
                result.rejections += 1
                if (pause := next(pauses, None)) is None:
                    problem = "is overloaded and rejects writes; try again later"
                    raise StoreUnavailable(f"OpenSearch at {self._client.url} {problem}")
                self._client.clock.sleep(pause)
                waiting.extendleft(reversed(_halves(busy)))
        return result

    def _check(
        self, fence: str, actions: Sequence[BulkAction], reply: _BulkReply, result: BulkResult
    ) -> list[BulkAction]:
        """Add to `result` what the reply confirms. Returns the actions that a busy node rejected."""
        if len(reply.items) != len(actions):
            raise StoreUnavailable(
                f"OpenSearch answered a bulk of {len(actions)} with {counted(len(reply.items), 'item')}; "
                "ctisync counts none of them as written"
            )
        busy = []
        for action, answer in zip(actions, reply.items, strict=True):
            item = answer.get(action.kind)
            if item is None or len(answer) != 1 or item.id != action.name:
                raise StoreUnavailable(f"OpenSearch's reply to a bulk does not account for {action.name}")
            if item.error is not None:
                if self._is_conflict(fence, action, item.status, item.error):
                    result.conflicts.append(action)
                else:
                    busy.append(action)
            elif not item.confirms(action):
                raise StoreUnavailable(
                    f"OpenSearch did not confirm record {action.name}: status {item.status}"
                )
            else:
                result.versions[action.name] = None if action.kind == "delete" else item.record_version
                result.created += action.kind == "index" and item.status == 201
        return busy

    def _is_conflict(self, fence: str, action: BulkAction, status: int, problem: Problem) -> bool:
        """True for a conflict, False for a busy node. Raises for every other error."""
        self._check_access(problem, status, path(fence, "_bulk"))
        if status == 409:
            return True
        if status in (429, 503):
            return False
        hint = f"{hints.load_anew()} (into a new index with ctisync's own mapping)" if status == 400 else None
        raise StoreUnavailable(f"OpenSearch refuses record {action.name} ({status}): {problem}", hint=hint)

    def _check_access(self, problem: Problem, status: int, target: str) -> None:
        """Raises the error of an item if the fence is gone, a block is set, or a privilege is missing."""
        if problem.type == "index_not_found_exception":
            raise fence_is_gone()
        if problem.is_block or status == 403:
            raise self._client.refusal(OpenSearchReply(status, problem=problem), "POST", target)

    def _documents(self, fence: str, names: Collection[str], query: str) -> Iterator[_Document]:
        ids = list(names)
        for start in range(0, len(ids), _NAMES_PER_READ):
            some = ids[start : start + _NAMES_PER_READ]
            reply = self._client.call("POST", path(fence, "_mget", query=query), {"ids": some}, allow={404})
            if reply.status == 404:
                raise fence_is_gone()
            documents = self._client.read(reply, _multi_get_decoder).docs
            if [document.id for document in documents] != some:
                raise StoreUnavailable("OpenSearch's reply to a read does not account for each record")
            for document in documents:
                problem = document.error
                if problem is not None:
                    self._check_access(problem, 403 if problem.is_refusal else 500, path(fence, "_mget"))
                if document.found is None:
                    raise StoreUnavailable(f"OpenSearch cannot read record {document.id}: {problem}")
                if document.found:
                    yield document


def _check_unaltered(record: Record) -> None:
    """Raises StoreUnavailable if the line is not of the name and the version under which it is stored."""
    try:
        head = _head_decoder.decode(record.line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        altered = str(error)
    else:
        if (name_of(head.name, head.resource), head.offset) == (record.name, record.offset):
            return
        altered = f"its line has offset {head.offset}, its stored version is {record.offset}"
    raise StoreUnavailable(f"another program altered record {record.name}: {altered}", hint=hints.load_anew())


def _halves(actions: Sequence[BulkAction]) -> list[Sequence[BulkAction]]:
    middle = len(actions) // 2
    return [half for half in (actions[:middle], actions[middle:]) if half]
