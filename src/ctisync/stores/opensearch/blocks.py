"""Blocks: settings of an index or of the cluster that forbid writes, or more, and how a person lifts them.

OpenSearch sets two of them itself when a disk is nearly full, and takes them away when there is room; people
set any of them. And the limit on the shards that a cluster has, beyond which no index is made.
"""

import re
from collections.abc import Collection
from typing import Final

from ctisync.stores.opensearch.curl import SYNC, Curl

_NUMBER: Final = re.compile(r"\[[A-Z_]+/(\d+)/")
_NUMBERED: Final = {
    "5": "index.blocks.read_only",
    "6": "cluster.blocks.read_only",
    "7": "index.blocks.read",
    "8": "index.blocks.write",
    "9": "index.blocks.metadata",
    "10": "cluster.blocks.create_index",
    "12": "index.blocks.read_only_allow_delete",
    "13": "cluster.blocks.read_only_allow_delete",
}
"""The settings by the numbers that their blocks bear in what OpenSearch says of them."""

_LIMIT: Final = "cluster.max_shards_per_node"
_TOO_MANY: Final = re.compile(r"currently has \[(\d+)\]/\[(\d+)\] maximum (?:\w+ )?shards open")

_OF_A_FULL_DISK: Final = frozenset({"cluster.blocks.create_index", "index.blocks.read_only_allow_delete"})

_OURS: Final = "wazuh-context,ctisync-*,of-ctisync-*"
_SOME: Final = "ignore_unavailable=true&allow_no_indices=true"


def in_words(reason: str | None) -> set[str]:
    """The settings that what OpenSearch says of a refused request tells of."""
    return {_NUMBERED[each] for each in _NUMBER.findall(reason or "") if each in _NUMBERED}


def of_a_full_disk(names: Collection[str]) -> bool:
    return bool(_OF_A_FULL_DISK & set(names))


def is_block(name: str, value: object) -> bool:
    return name.startswith(("index.blocks.", "cluster.blocks.")) and str(value).lower() == "true"


def lifted(curl: Curl, names: Collection[str]) -> str:
    """What to type to take these settings away from the cluster and from ctisync's indices. One at a time:
    to what is read-only, OpenSearch takes no request that changes anything beside."""
    typed = []
    for name in sorted(set(names)):
        if name.startswith("cluster."):
            typed += [
                curl.mends("PUT", "/_cluster/settings", {how: {name: None}})
                for how in ("persistent", "transient")
            ]
        else:
            typed.append(curl.mends("PUT", f"/{_OURS}/_settings?{_SOME}", {name: None}))
    first = "free disk space, then: " if of_a_full_disk(names) else ""
    return first + "; ".join(typed) + SYNC


def is_limit(reason: str | None) -> bool:
    """Whether a request was refused since the cluster has as many shards as it may have."""
    return _TOO_MANY.search(reason or "") is not None


def limit_raised(curl: Curl, reason: str | None, data_nodes: int) -> str:
    """What to type to have room for a hundred shards more on each node. A transient value goes before a
    persistent one, so it is taken away."""
    found = _TOO_MANY.search(reason or "")
    there = max(map(int, found.groups())) if found else 1000 * data_nodes
    limit = -(-there // data_nodes) + 100
    body = {"persistent": {_LIMIT: limit}, "transient": {_LIMIT: None}}
    typed = curl.mends("PUT", "/_cluster/settings", body)
    return f"remove indices that are needed no more, or raise {_LIMIT}: {typed}{SYNC}"
