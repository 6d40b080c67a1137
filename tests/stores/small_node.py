"""As much of a node as a lease needs: the document of states and the aliases, with what others do between.

Its rules are OpenSearch's: a document is written when it is as last seen, a change of aliases is done as a
whole or not at all. `meanwhile` holds what happens before the next requests of ours, one after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from ctisync.backends import StoreSettings
from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState
from ctisync.stores.opensearch.client import Client, OpenSearchReply
from ctisync.stores.opensearch.fencing import FencedLease
from ctisync.stores.opensearch.generations import Generations
from ctisync.stores.opensearch.indices import missing_settings
from ctisync.stores.opensearch.lease import LeaseHolder
from ctisync.stores.opensearch.refusals import Curl, Problem
from ctisync.stores.opensearch.state_document import Lease, StateDocument, StateEntry, Swap
from ctisync.stores.opensearch.store import OpenSearchStore
from tests.support.clock import FakeClock
from tests.support.opensearch_store import opensearch_at

CONSUMER = Consumer()
EPOCH = 1_780_000_000
TTL = 900.0
LOCK = "0123456789abcdef0123456789abcdef"
"""The id of a lock file."""

Json = Any
OURS = {
    "mappings": {"_meta": {"ctisync": {"context": CONSUMER.context, "consumer": CONSUMER.name}}},
    "settings": missing_settings({}),
}


class SmallNode:
    """A `Transport`. `requests` are ours, `sent` those of them that do not only read."""

    timeout = 60.0

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.fields: dict[str, Json] | None = None
        self.version = 0
        self.generations: dict[str, set[str]] = {}
        self.meanwhile: deque[tuple[str, Callable[[], object]]] = deque()
        self.sent: list[str] = []
        self.requests: list[str] = []

    def close(self) -> None:
        pass

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        where = target.partition("?")[0]
        if where.endswith("/_bulk"):
            return self.answer(method, target, body)
        if self.meanwhile and f"{method} {where}".startswith(self.meanwhile[0][0]):
            self.meanwhile.popleft()[1]()
        self.requests.append(f"{method} {where}")
        if method != "GET":
            self.sent.append(f"{method} {where}")
        return self.answer(method, target, body)

    def answer(self, method: str, target: str, body: bytes | None) -> OpenSearchReply:
        where, _, query = target.partition("?")
        if where.endswith("/_bulk"):  # whether anything is hidden, which has no effect
            return _done({"errors": True})
        content: Json = msgspec.json.decode(body) if body else None
        match method, where.split("/")[1:]:
            case "GET", ["_cat", "health"]:
                return _done([{"epoch": str(int(EPOCH + self.clock.monotonic()))}])
            case "GET", ["wazuh-context", "_mapping"]:
                return _done({"wazuh-context": {"mappings": {}}})
            case "PUT", ["wazuh-context", "_mapping"]:
                return _done({})
            case "GET", ["wazuh-context", "_doc", _]:
                return self._read()
            case "PUT", ["wazuh-context", "_doc" | "_create", _]:
                return self._write(content, query)
            case "POST", ["ctisync-history", "_search"]:
                return OpenSearchReply(404)
            case "POST", ["_aliases"]:
                return self._change_aliases(content["actions"])
            case "GET", [_]:
                return _done({name: self._facts(name) for name in self.generations})
        raise AssertionError(f"no test has asked for {method} {target} yet")

    def store(self) -> OpenSearchStore:
        store = opensearch_at(["http://127.0.0.1:9200"], self.clock, host_lock=LOCK)
        store._client._transport = self
        return store

    def entry(self) -> StateEntry:
        return self.document().read().entry

    def document(self) -> StateDocument:
        """As somebody else reads and writes it."""
        return StateDocument(Client(_Aside(self), Curl("http://other"), self.clock), CONSUMER, 0)

    def put(self, change: Callable[[StateEntry], StateEntry]) -> None:
        """Somebody else writes the consumer's entry."""
        document = self.document()
        assert document.write(document.read(), change(document.read().entry)) is not None

    def touch(self) -> None:
        """Another consumer of the context writes its own field."""
        self.fields = (self.fields or {}) | {"another": {"offset": self.version}}
        self.version += 1

    def _read(self) -> OpenSearchReply:
        if self.fields is None:
            return OpenSearchReply(404)
        return _done({"_source": self.fields, "_seq_no": self.version, "_primary_term": 1})

    def _write(self, fields: dict[str, Json], query: str) -> OpenSearchReply:
        expected = f"if_seq_no={self.version}&if_primary_term=1" if self.fields is not None else ""
        if query != expected:
            return OpenSearchReply(409, problem=Problem("version_conflict_engine_exception"))
        self.fields = fields
        self.version += 1
        return _done({"_seq_no": self.version, "_primary_term": 1})

    def _facts(self, name: str) -> dict[str, Json]:
        return {"aliases": {alias: {} for alias in self.generations[name]}} | OURS

    def _change_aliases(self, actions: list[dict[str, dict[str, Json]]]) -> OpenSearchReply:
        changed = {name: set(aliases) for name, aliases in self.generations.items()}
        for action in actions:
            [(kind, what)] = action.items()
            name = what["index"]
            if name not in changed:
                return OpenSearchReply(404, problem=Problem("index_not_found_exception"))
            if kind == "remove_index":
                del changed[name]
            elif kind == "add":
                changed[name].add(what["alias"])
            elif what["alias"] in changed[name]:
                changed[name].remove(what["alias"])
            else:
                return OpenSearchReply(404, problem=Problem("aliases_not_found_exception"))
        self.generations = changed
        return _done({"acknowledged": True})


class _Aside:
    """The way of others to the node: nothing happens before their requests."""

    timeout = 60.0

    def __init__(self, node: SmallNode) -> None:
        self._node = node

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        return self._node.answer(method, target, body)

    def close(self) -> None:
        pass


class Holder:
    """Somebody who may take the lease."""

    def __init__(self, node: SmallNode, *, host_lock: str | None = LOCK) -> None:
        self.node = node
        client = Client(node, Curl("http://127.0.0.1:9200"), node.clock)
        document = StateDocument(client, CONSUMER, 0)
        self.lease = LeaseHolder(client, document, document.read(), host_lock=host_lock)
        self.generations = Generations(client, document, StoreSettings())
        self.hold = FencedLease(self.lease, self.generations)


def lease(**changes: Json) -> Lease:
    """Of somebody on another host, for ten minutes more."""
    theirs = Lease(token="theirs", owner="root", host="other-host", pid=4711, until=EPOCH + 600)
    return msgspec.structs.replace(theirs, **changes)


def with_content(node: SmallNode, generation: str = "ctisync-one", **changes: Json) -> ConsumerState:
    """A live generation, and the state that speaks of it."""
    state = ConsumerState(
        offset=10, content=True, snapshot_offset=10, last_offset=20, stored_for=CONSUMER, **changes
    )
    node.generations[generation] = {CONSUMER.index}
    node.put(lambda entry: msgspec.structs.replace(entry, state=state, generation=generation))
    return state


def swap(to: str, was: int, after: ConsumerState) -> Callable[[StateEntry], StateEntry]:
    """The entry of a writer who has announced a swap, and died."""
    lowered = min(was, after.offset)
    return lambda entry: msgspec.structs.replace(
        entry,
        state=msgspec.structs.replace(entry.state, offset=lowered),
        swap=Swap(to=to, was=was, after=after),
    )


def _done(body: Json) -> OpenSearchReply:
    return OpenSearchReply(200, msgspec.json.encode(body))
