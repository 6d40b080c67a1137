"""Blocks: settings of an index or of the cluster that forbid writes, and the commands that remove them.

OpenSearch itself sets two of them when a disk is nearly full, and removes them when there is free disk space;
administrators can set all of them. Also the limit on shards per node, at which OpenSearch creates no index.
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
"""The settings by the numbers of their blocks in the messages of OpenSearch."""

_LIMIT: Final = "cluster.max_shards_per_node"
_TOO_MANY: Final = re.compile(r"currently has \[(\d+)\]/\[(\d+)\] maximum (?:\w+ )?shards open")

_OF_A_FULL_DISK: Final = frozenset({"cluster.blocks.create_index", "index.blocks.read_only_allow_delete"})

_OURS: Final = "wazuh-context,ctisync-*,of-ctisync-*"
_SOME: Final = "ignore_unavailable=true&allow_no_indices=true"


def in_words(reason: str | None) -> set[str]:
    """The settings whose blocks are named in the reason for which OpenSearch refused a request."""
    return {_NUMBERED[each] for each in _NUMBER.findall(reason or "") if each in _NUMBERED}


def of_a_full_disk(names: Collection[str]) -> bool:
    return bool(_OF_A_FULL_DISK & set(names))


def is_block(name: str, value: object) -> bool:
    return name.startswith(("index.blocks.", "cluster.blocks.")) and str(value).lower() == "true"


def lifted(curl: Curl, names: Collection[str]) -> str:
    """What to type to remove these settings from the cluster and from the indices of ctisync. One request per
    setting: while one is read-only, OpenSearch refuses a request that also changes something else."""
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
    """Whether OpenSearch refused a request because the cluster has reached its maximum of shards."""
    return _TOO_MANY.search(reason or "") is not None


def limit_raised(curl: Curl, reason: str | None, data_nodes: int) -> str:
    """What to type to allow a hundred more shards on each node. It also removes a transient value, which
    would override the persistent one."""
    found = _TOO_MANY.search(reason or "")
    there = max(map(int, found.groups())) if found else 1000 * data_nodes
    limit = -(-there // data_nodes) + 100
    body = {"persistent": {_LIMIT: limit}, "transient": {_LIMIT: None}}
    typed = curl.mends("PUT", "/_cluster/settings", body)
    return f"delete indices that you no longer need, or raise {_LIMIT}: {typed}{SYNC}"
