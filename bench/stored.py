"""What a store takes on the disk, and what each of its nodes has done."""

from typing import Any, Final, NamedTuple

import httpx

from bench.client import Client
from bench.workshop import Store, Workshop
from tests.support.opensearch_node import OpenSearchNode

Json = Any

_OWN_STATISTICS: Final = "/_nodes/_local/stats/indices,http,indexing_pressure"


class NodeWork(NamedTuple):
    """As a node counts it itself: HTTP connections that it was asked over, records and bytes of bulks that
    it was sent, and records that went into shards which it holds; a replica's count as a primary's."""

    connections: int
    records_sent: int
    bytes_sent: int
    records_indexed: int

    def since(self, before: "NodeWork") -> "NodeWork":
        return NodeWork(*(now - then for now, then in zip(self, before, strict=True)))


def bytes_on_disk(workshop: Workshop, store: Store, client: Client) -> int:
    """Of a SQLite file and what lies beside it; of all indices, with their replicas, once those are made."""
    if store == "sqlite":
        parts = client.database.parent.glob(f"{client.database.name}*")
        return sum(part.stat().st_size for part in parts)
    return bytes_in_indices(workshop.node_of(store))


def bytes_in_indices(node: OpenSearchNode) -> int:
    await_copies(node)
    node.request("POST", "/_flush")
    total = node.request("GET", "/_stats/store")["_all"]["total"]
    return int(total["store"]["size_in_bytes"])


def await_copies(node: OpenSearchNode) -> None:
    """Until every replica that can be has been made."""
    node.request("GET", "/_cluster/health?wait_for_no_initializing_shards=true&timeout=50s")


def work_of_nodes(node: OpenSearchNode) -> list[NodeWork]:
    """Each asked for its own, in the order of `node.urls`."""
    replies = [httpx.get(url + _OWN_STATISTICS, trust_env=False) for url in node.urls]
    return [_work(reply.raise_for_status().json()) for reply in replies]


def _work(reply: Json) -> NodeWork:
    [found] = reply["nodes"].values()
    indexing = found["indices"]["indexing"]
    return NodeWork(
        connections=found["http"]["total_opened"],
        records_sent=sum(indexing["doc_status"].values()),
        bytes_sent=found["indexing_pressure"]["memory"]["total"]["coordinating_in_bytes"],
        records_indexed=indexing["index_total"],
    )
