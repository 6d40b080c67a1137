"""What the tests of the OpenSearch store share: killed processes, and short ways to ask a node."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from ctisync.core.model import Consumer, Record, Snapshot, Write
from ctisync.core.state import ConsumerState
from ctisync.ports import Store, Writer
from ctisync.stores.opensearch.client import NoReply, OpenSearchReply, Transport
from ctisync.stores.opensearch.store import OpenSearchStore
from tests.support.clock import FakeClock
from tests.support.opensearch_node import OpenSearchNode
from tests.support.opensearch_store import opensearch_at
from tests.support.records import read

LOCK = "the id of this host's lock file"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Killed(BaseException):
    """The process is dead: no handler of ours catches this, as none runs after a SIGKILL."""


class MortalTransport:
    """Dies right after its `writes`-th request that alters something; from then on nothing is sent."""

    def __init__(self, inner: Transport, writes: int) -> None:
        self._inner = inner
        self.timeout = inner.timeout
        self._left = writes
        self.dead = False

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        if self.dead:
            raise Killed
        reply = self._inner.send(method, target, body, timeout)
        self._left -= alters(method, target)
        if self._left == 0:
            self.dead = True
            raise Killed
        return reply

    def close(self) -> None:
        self._inner.close()


class ForgetfulTransport:
    """Loses the reply to everything that alters something, once: each such request is done twice."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.timeout = inner.timeout
        self._done_once = False

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        reply = self._inner.send(method, target, body, timeout)
        self._done_once = alters(method, target) and not self._done_once
        if self._done_once:
            raise NoReply("timed out")
        return reply

    def close(self) -> None:
        self._inner.close()


def alters(method: str, target: str) -> bool:
    """The last of these is how a writer asks whether something is hidden from it."""
    reads = ("_mget", "_search", "_count", "_refresh", "_bulk?require_alias=true&filter_path=errors")
    return method != "GET" and not any(read in target for read in reads)


def new_consumer() -> Consumer:
    token = uuid.uuid4().hex[:12]
    return Consumer(context=f"context_{token}", name="vd_4.8.0", index=f"wazuh-cve-{token}")


def open_store(node: OpenSearchNode, clock: FakeClock | None = None, **settings: Any) -> OpenSearchStore:
    """By default all of them hold one lock: each takes a lease over from any other at once."""
    return opensearch_at([node.url], clock or FakeClock(), **{"host_lock": LOCK, **settings})


def mortal_store(node: OpenSearchNode, writes: int) -> OpenSearchStore:
    store = open_store(node)
    store._client._transport = MortalTransport(store._client._transport, writes)
    return store


def forgetful_store(node: OpenSearchNode) -> OpenSearchStore:
    store = open_store(node)
    store._client._transport = ForgetfulTransport(store._client._transport)
    return store


def snapshot(offset: int) -> Snapshot:
    return Snapshot(f"https://cti.example.org/{offset}.zip", offset)


def loaded(state: ConsumerState, consumer: Consumer, offset: int) -> ConsumerState:
    return state.initialised(snapshot(offset), consumer, NOW)


def load(writer: Writer, consumer: Consumer, records: Collection[Record], offset: int) -> None:
    with writer.load(snapshot(offset)) as building:
        building.add(list(records))
        building.publish(loaded(writer.state, consumer, offset))


def initialise(store: Store, consumer: Consumer, records: Collection[Record], offset: int) -> None:
    with store.writer(consumer) as writer:
        load(writer, consumer, records, offset)


def apply(writer: Writer, writes: Collection[Write], to: int) -> None:
    """Apply a range as a pass does: what stands at a write's offset already is not written again."""
    names = [write.name for write in writes]
    standing = read(writer, names)
    due = [
        write
        for write, name in zip(writes, names, strict=True)
        if name not in standing or standing[name].offset < write.offset
    ]
    apply_unread(writer, due, to)


def apply_unread(writer: Writer, writes: Sequence[Write], to: int) -> None:
    writer.apply(writes, writer.state.advanced(to, NOW))


def lines(store: Store, consumer: Consumer) -> list[bytes]:
    return list(store.export(consumer))


def aliases(node: OpenSearchNode, consumer: Consumer) -> dict[str, set[str]]:
    """The consumer's generations, and the aliases of each."""
    slug = consumer.index
    indices = node.request("GET", f"/ctisync-{slug}-*/_alias?allow_no_indices=true")
    return {name: set(index["aliases"]) for name, index in indices.items()}


def refresh(node: OpenSearchNode, consumer: Consumer) -> None:
    """Searches then find what was written, whoever wrote it and died."""
    node.request("POST", f"/{consumer.index}*/_refresh")


def document(node: OpenSearchNode, consumer: Consumer) -> Any:
    return node.request("GET", f"/wazuh-context/_doc/{consumer.context}")["_source"]


def put_document(node: OpenSearchNode, consumer: Consumer, content: object) -> None:
    node.request("PUT", f"/wazuh-context/_doc/{consumer.context}", content)


def put_lease(node: OpenSearchNode, consumer: Consumer, **changes: object) -> None:
    """Somebody holds the lease: the one that stands there, with changes."""
    content = document(node, consumer)
    lease = {"token": "theirs", "owner": "root", "host": "other-host", "pid": 4711, "until": 0}
    content[consumer.name]["ctisync"]["lease"] = lease | changes
    put_document(node, consumer, content)
