"""Every way in which a node may answer a bulk, crossed: what happened to items, to which, and how it is told.

`Cluster` is a node as small as the bulk checker can be shown: it keeps what it has really taken, so that a
test can hold what ctisync believes against what is so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final

import msgspec

from ctisync.stores.opensearch.client import OpenSearchReply
from ctisync.stores.opensearch.refusals import Problem

BUSY: Final = Problem(
    "opensearch_rejected_execution_exception", "rejected execution of coordinating operation"
)
FULL: Final = Problem(
    "cluster_block_exception", "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage]"
)
STRICT: Final = Problem(
    "strict_dynamic_mapping_exception", "mapping set to strict, introduction of [x_new] is not allowed"
)
NOT_THERE: Final = Problem("resource_not_found_exception", "no such record")
MISSING: Final = Problem("index_not_found_exception", "no such index [ctisync-w-1]")
CONFLICT: Final = Problem("version_conflict_engine_exception", "current version is as high")
TOO_LARGE: Final = Problem("circuit_breaking_exception", "[parent] Data too large")
FAILED: Final = Problem("null_pointer_exception", "a bug of the node")
AWAY: Final = Problem("unavailable_shards_exception", "primary shard is not active")

STATUSES: Final[dict[str, tuple[int, Problem | None]]] = {
    "200": (200, None),
    "201": (201, None),
    "400 mapping": (400, STRICT),
    "404": (404, NOT_THERE),
    "404 index": (404, MISSING),
    "409": (409, CONFLICT),
    "413": (413, TOO_LARGE),
    "429 load": (429, BUSY),
    "429 block": (429, FULL),
    "500": (500, FAILED),
    "503": (503, AWAY),
}
POSITIONS: Final = ("first", "middle", "last", "all")
TELLINGS: Final = ("complete", "short", "long", "reordered", "no items", "lying errors")
AS_A_WHOLE: Final = "as a whole"
"""The request itself is answered with the status, no item is done."""

LASTING: Final = (False, True)


@dataclass(frozen=True)
class Cell:
    """One way. `lasting`: each bulk is answered so, not the first one alone."""

    status: str
    position: str
    telling: str
    lasting: bool

    def __str__(self) -> str:
        return f"{self.status}, {self.position}, {self.telling}, {'always' if self.lasting else 'once'}"


def cells() -> Iterator[Cell]:
    for status, position, telling, lasting in product(STATUSES, POSITIONS, TELLINGS, LASTING):
        yield Cell(status, position, telling, lasting)
    for status, lasting in product(STATUSES, LASTING):
        if STATUSES[status][1] is not None:
            yield Cell(status, "all", AS_A_WHOLE, lasting)


@dataclass
class Cluster:
    """A `Transport` to a node that holds `records`, by name: version and sequence number.

    It answers bulks as `cell` says: an item with a failure has not been done, one with a success has; a
    "200" of an index operation stands for an older version that was there before, a "409" for this very one.
    """

    cell: Cell
    records: dict[str, tuple[int, int]] = field(default_factory=dict)
    timeout: float = 60.0
    bulks: int = 0
    sequence: int = 100

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        if target.endswith(("_refresh", "_count")):
            shards = {"total": 1, "successful": 1, "failed": 0}
            return _encoded({"_shards": shards, "count": len(self.records)})
        if "_mget" in target:
            return self._mget(msgspec.json.decode(body or b"")["ids"])
        assert "require_alias=true" in target
        self.bulks += 1
        spoiled = self.cell.lasting or self.bulks == 1
        operations = _operations(body or b"")
        if spoiled and self.cell.telling == AS_A_WHOLE:
            status, problem = STATUSES[self.cell.status]
            return OpenSearchReply(status, problem=problem or Problem())
        spoiled_places = _places(self.cell.position, len(operations)) if spoiled else set()
        items = [self._done(operation, place in spoiled_places) for place, operation in enumerate(operations)]
        return self._reply(items, spoiled)

    def close(self) -> None:
        pass

    def _done(self, operation: dict[str, dict[str, Any]], is_spoiled: bool) -> dict[str, Any]:
        [(kind, head)] = operation.items()
        name = head["_id"]
        version = head.get("version", 0)
        status, problem = STATUSES[self.cell.status] if is_spoiled else (None, None)
        if problem is CONFLICT and kind == "index":
            self.records[name] = (version, self._next())  # this very write has arrived before
        elif problem is CONFLICT:
            self.records.pop(name, None)
        if problem is not None:
            assert status is not None
            return {kind: _refused(name, status, problem)}
        return {kind: self._write(kind, name, version, head)}

    def _write(self, kind: str, name: str, version: int, head: dict[str, Any]) -> dict[str, Any]:
        stored = self.records.get(name)
        if kind == "delete":
            if stored is None:
                return {"_id": name, "status": 404, "_version": 1}
            if (stored[1], 1) != (head["if_seq_no"], head["if_primary_term"]):
                return _refused(name, 409, CONFLICT)
            del self.records[name]
            return {"_id": name, "status": 200, "_version": stored[0] + 1}
        if stored is not None and stored[0] >= version:
            return _refused(name, 409, CONFLICT)
        self.records[name] = (version, self._next())
        return {"_id": name, "status": 201 if stored is None else 200, "_version": version}

    def _reply(self, items: list[dict[str, Any]], spoiled: bool) -> OpenSearchReply:
        failed = any("error" in answered for item in items for answered in item.values())
        reply: dict[str, Any] = {"errors": failed, "items": items}
        match self.cell.telling if spoiled else "complete":
            case "short":
                reply["items"] = items[:-1]
            case "long":
                reply["items"] = [*items, items[-1]]
            case "reordered":
                reply["items"] = [*items[1:], items[0]]
            case "no items":
                del reply["items"]
            case "lying errors":
                reply["errors"] = not failed
        return _encoded(reply)

    def _mget(self, names: list[str]) -> OpenSearchReply:
        docs = []
        for name in names:
            if name in self.records:
                version, seq_no = self.records[name]
                fields = {"found": True, "_version": version, "_seq_no": seq_no, "_primary_term": 1}
                line = {"name": name, "offset": version, "payload": {}}
                docs.append({"_id": name, **fields, "_source": line})
            else:
                docs.append({"_id": name, "found": False})
        return _encoded({"docs": docs})

    def _next(self) -> int:
        self.sequence += 1
        return self.sequence


def _encoded(reply: dict[str, Any]) -> OpenSearchReply:
    return OpenSearchReply(200, msgspec.json.encode(reply))


def _refused(name: str, status: int, problem: Problem) -> dict[str, Any]:
    error = {"type": problem.type, "reason": problem.reason}
    return {"_id": name, "status": status, "error": error}


def _operations(body: bytes) -> list[dict[str, Any]]:
    """The action lines of a bulk's body; an index operation has its record's line after it."""
    lines = iter(body.splitlines())
    operations = []
    for text in lines:
        operation: dict[str, Any] = msgspec.json.decode(text)
        if "index" in operation:
            line = msgspec.json.decode(next(lines))
            assert (line["name"], line["offset"]) == (
                operation["index"]["_id"],
                operation["index"]["version"],
            )
        operations.append(operation)
    return operations


def _places(position: str, count: int) -> set[int]:
    """Which items of so many are meant; none where there is no such place."""
    match position:
        case "first":
            return {0}
        case "middle":
            return {count // 2}
        case "last":
            return {count - 1}
    return set(range(count))
