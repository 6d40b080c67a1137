"""The least time in which the node takes a snapshot: ready bulk bodies over plain connections.

Counted is all that a load owes its readers: making the index, the bulks, the settings for reading, the
refresh, and the count.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat
from threading import Lock
from typing import Any, Final, NamedTuple

from bench.processes import BenchFailed, Run
from bench.rivals.plain_http import Connection, connected
from bench.rivals.prebaked import Prebaked
from ctisync.stores.opensearch.generations import MAPPING
from tests.support.opensearch_node import OpenSearchNode

BODY_BYTES: Final = (2_000_000, 6_000_000, 12_000_000)
CONNECTIONS: Final = (1, 2, 4)

# What decides about the speed of ctisync's own loading settings.
_LOADING: Final[dict[str, Any]] = {
    "number_of_shards": 1,
    "number_of_replicas": 0,
    "refresh_interval": "-1",
}
_READING: Final = {"index": {"refresh_interval": None, "number_of_replicas": 0}}


class Manner(NamedTuple):
    """How the bodies are sent: their size in bytes, over so many connections at a time."""

    body_bytes: int
    connections: int

    def __str__(self) -> str:
        return f"{self.body_bytes / 1e6:g} MB x {self.connections}"


def load(node: OpenSearchNode, index: str, prebaked: Prebaked, manner: Manner) -> Run:
    """Into a new index. Raises BenchFailed when it does not hold all records then."""
    bodies = prebaked.bodies(manner.body_bytes)
    shared = _Shared(iter(bodies))
    with connected(node.url) as connection:
        began = time.perf_counter()
        create(connection, index)
        with ThreadPoolExecutor(manner.connections) as senders:
            list(senders.map(_send_all, repeat(node.url, manner.connections), repeat(index), repeat(shared)))
        connection.send_json("PUT", f"/{index}/_settings", _READING)
        connection.send("POST", f"/{index}/_refresh")
        count = connection.send_json("GET", f"/{index}/_count", {})["count"]
        wall = time.perf_counter() - began
    if count != len(prebaked.places):
        raise BenchFailed(f"the floor has loaded {count} records of {len(prebaked.places)}")
    return Run(wall)


def create(connection: Connection, index: str, settings: dict[str, Any] = _LOADING) -> None:
    connection.send_json("PUT", f"/{index}", {"settings": {"index": settings}, "mappings": MAPPING})


def best_manner(node: OpenSearchNode, prebaked: Prebaked) -> tuple[Manner, dict[str, float]]:
    """The quickest, and the seconds of each; the first is tried twice, since the node is cold then."""
    manners = [Manner(size, count) for size in BODY_BYTES for count in CONNECTIONS]
    seconds: dict[Manner, float] = {}
    for manner in chain(manners[:1], manners):
        node.wipe()
        seconds[manner] = load(node, "bench-floor", prebaked, manner).wall
    best = min(seconds, key=seconds.__getitem__)
    return best, {str(manner): round(wall, 3) for manner, wall in seconds.items()}


class _Shared:
    """Bodies that several senders take from."""

    def __init__(self, bodies: Iterator[memoryview]) -> None:
        self._bodies = bodies
        self._lock = Lock()

    def next(self) -> memoryview | None:
        with self._lock:
            return next(self._bodies, None)


def _send_all(url: str, index: str, shared: _Shared) -> None:
    with connected(url) as connection:
        while (body := shared.next()) is not None:
            connection.bulk(index, body)
