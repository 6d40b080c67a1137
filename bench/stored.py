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
    it was sent, records that went into shards which it holds (a replica's count as a primary's), and bulks
    that it turned away because it had too many under way."""

    connections: int
    records_sent: int
    bytes_sent: int
    records_indexed: int
    rejected: int

    def since(self, before: "NodeWork") -> "NodeWork":
        return NodeWork(*(now - then for now, then in zip(self, before, strict=True)))


def bytes_on_disk(workshop: Workshop, store: Store, client: Client) -> int:
    """Of a SQLite file and what lies beside it; of all segments, with their replicas, once those are made."""
    if store == "sqlite":
        parts = client.database.parent.glob(f"{client.database.name}*")
        return sum(part.stat().st_size for part in parts)
    return bytes_in_indices(workshop.node_of(store))


def bytes_in_indices(node: OpenSearchNode) -> int:
    await_copies(node)
    for settled in ("_flush", "_refresh"):  # else what was merged counts twice
        node.request("POST", f"/{settled}")
    indices = node.request("GET", "/_segments")["indices"]  # _stats is some seconds late
    return sum(
        segment["size_in_bytes"]
        for index in indices.values()
        for copies in index["shards"].values()
        for copy in copies
        for segment in copy["segments"].values()
    )


def await_copies(node: OpenSearchNode) -> None:
    """Until every replica that can be has been made."""
    node.request("GET", "/_cluster/health?wait_for_status=green&timeout=50s")


def work_of_nodes(node: OpenSearchNode) -> list[NodeWork]:
    """Each asked for its own, in the order of `node.urls`."""
    replies = [httpx.get(url + _OWN_STATISTICS, trust_env=False) for url in node.urls]
    return [_work(reply.raise_for_status().json()) for reply in replies]


def _work(reply: Json) -> NodeWork:
    [statistics] = reply["nodes"].values()
    indexing, pressure = statistics["indices"]["indexing"], statistics["indexing_pressure"]["memory"]["total"]
    return NodeWork(
        connections=statistics["http"]["total_opened"],
        records_sent=sum(indexing["doc_status"].values()),
        bytes_sent=pressure["coordinating_in_bytes"],
        records_indexed=indexing["index_total"],
        rejected=pressure["coordinating_rejections"] + pressure["primary_rejections"],
    )
