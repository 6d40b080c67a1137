"""What the tests of the OpenSearch store share: short ways to ask a node."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from ctisync.core.model import Consumer, Record, Snapshot, Write
from ctisync.core.state import ConsumerState
from ctisync.ports import Store, Writer
from ctisync.stores.opensearch.store import OpenSearchStore
from tests.support.clock import FakeClock
from tests.support.faults_node import ForgetfulTransport, MortalTransport
from tests.support.opensearch_node import OpenSearchNode
from tests.support.opensearch_store import opensearch_at
from tests.support.records import read

LOCK = "the id of this host's lock file"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def new_consumer() -> Consumer:
    token = uuid.uuid4().hex[:12]
    return Consumer(context=f"context_{token}", name="vd_4.8.0", index=f"wazuh-cve-{token}")


def open_store(node: OpenSearchNode, clock: FakeClock | None = None, **settings: Any) -> OpenSearchStore:
    """By default all of them hold one lock: each takes a lease over from any other at once."""
    return opensearch_at([node.url], clock or FakeClock(), **{"host_lock": LOCK, **settings})


def mortal_store(node: OpenSearchNode, writes: int, **settings: Any) -> OpenSearchStore:
    store = open_store(node, **settings)
    MortalTransport(store, writes)
    return store


def forgetful_store(node: OpenSearchNode) -> OpenSearchStore:
    store = open_store(node)
    ForgetfulTransport(store)
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
