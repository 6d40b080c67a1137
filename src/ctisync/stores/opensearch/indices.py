"""Creates ctisync's indices, with every setting that our guarantees need, so that no template changes one."""

import re
from collections.abc import Mapping
from typing import Any, Final

from ctisync.errors import ConfigurationError
from ctisync.stores.opensearch.client import Client, OpenSearchReply, path

_GC_DELETES: Final = "12h"
"""How long OpenSearch remembers the version of a deleted record and refuses an older write of it.

A write that was sent twice may be executed late. Once OpenSearch has forgotten the delete (after 60 s by
default), such a write brings the record back. A request stays in a node for minutes at most: ours wait 60 s,
and the cluster removes a node that stops for longer. 12 h is longer than that and than any pass. During that
time a deleted record takes about 200 bytes of a node's memory.
"""

PINNED: Final[Mapping[str, Any]] = {
    # A confirmed write is on the disk, and no late write undoes a delete.
    "translog.durability": "request",
    "gc_deletes": _GC_DELETES,
    "write.wait_for_active_shards": "1",
    # Nothing alters a document when it is written, stored or read, or refuses one.
    "default_pipeline": "_none",
    "final_pipeline": "_none",
    "search.default_pipeline": "_none",
    "mapping.ignore_malformed": False,
    "append_only.enabled": False,
    # Our mappings, pages and searches are within the limits.
    "mapping.total_fields.limit": 1000,
    "mapping.depth.limit": 20,
    "mapping.field_name_length.limit": 50_000,
    "query.max_nested_depth": 20,
    "max_result_window": 10_000,
    # The index gets allocated, with the configured number of replicas, and has no blocks.
    "routing.allocation.enable": "all",
    "auto_expand_replicas": False,
    "blocks.write": False,
    "blocks.read": False,
    "blocks.read_only": False,
    "blocks.read_only_allow_delete": False,
    "blocks.metadata": False,
}

_MENDED: Final = ("translog.durability", "gc_deletes")
"""The settings that every OpenSearch knows and can change while the index is in use."""

_UNKNOWN: Final = re.compile(r"unknown setting \[index\.([^\]]+)\]")


def put_index(
    client: Client, name: str, body: Mapping[str, Any], settings: Mapping[str, Any]
) -> OpenSearchReply:
    """Create an index with `settings` (named without `index.`) and the pinned settings that this OpenSearch
    knows. Returns the reply: its status is 400 if OpenSearch refuses it or the index exists.
    Raises StoreUnavailable if the cluster has reached its limit of shards."""
    wanted = {**PINNED, **settings}
    while True:
        named = {f"index.{setting}": value for setting, value in wanted.items()}
        reply = client.call("PUT", path(name), {**body, "settings": named}, allow={400})
        if reply.problem.is_of_too_many_shards:
            raise client.refusal(reply, "PUT", path(name))
        unknown = _UNKNOWN.search(reply.problem.reason or "") if reply.status == 400 else None
        if unknown is None or wanted.pop(unknown[1], None) is None:
            return reply


def create_index(client: Client, name: str, replicas: int, mappings: Mapping[str, Any]) -> None:
    """Create an index of one shard. An existing one, for example of a repeated request, stays as it is.
    Raises ConfigurationError if OpenSearch refuses it."""
    settings = {"number_of_shards": 1, "number_of_replicas": replicas}
    reply = put_index(client, name, {"mappings": mappings}, settings)
    if reply.status == 400 and reply.problem.type != "resource_already_exists_exception":
        raise ConfigurationError(f"index {name} cannot be created: {reply.problem}")


def to_mend(settings: Mapping[str, str]) -> dict[str, Any]:
    """The settings to change in an index of ours, given its settings by their flat names. They differ if an
    earlier version made the index, or another program changed them."""
    return {
        f"index.{name}": PINNED[name]
        for name in _MENDED
        if settings.get(f"index.{name}", "").lower() != PINNED[name]
    }
