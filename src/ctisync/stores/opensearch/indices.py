"""How an index of ours is made: with all settings that promises rest on, so that no template sets others."""

import re
from collections.abc import Mapping
from typing import Any, Final

from ctisync.errors import ConfigurationError
from ctisync.stores.opensearch.client import Client, OpenSearchReply, path

_GC_DELETES: Final = "12h"
"""For so long OpenSearch remembers the version of a deleted record, by which it refuses an older write.

A write that was sent again may be carried out late. Without that memory (60 s by default) a record comes back
when its delete was carried out in between. A request lingers in a node for minutes at most: ours wait 60 s,
and a node that stops for longer is put out of the cluster. 12 h are beyond that and beyond any pass; for that
time a deleted record costs a node some 200 bytes of memory.
"""

PINNED: Final[Mapping[str, Any]] = {
    # What is confirmed is on the disk, and no late write undoes a delete.
    "translog.durability": "request",
    "gc_deletes": _GC_DELETES,
    "write.wait_for_active_shards": "1",
    # Nothing alters a document on its way in, in the index, or on its way out, nor refuses one.
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
    # It comes about, with as many copies as we say, and is open.
    "routing.allocation.enable": "all",
    "auto_expand_replicas": False,
    "blocks.write": False,
    "blocks.read": False,
    "blocks.read_only": False,
    "blocks.read_only_allow_delete": False,
    "blocks.metadata": False,
}

_MENDED: Final = ("translog.durability", "gc_deletes")
"""What every OpenSearch knows and lets be changed while the index is in use."""

_UNKNOWN: Final = re.compile(r"unknown setting \[index\.([^\]]+)\]")


def put_index(
    client: Client, name: str, body: Mapping[str, Any], settings: Mapping[str, Any]
) -> OpenSearchReply:
    """The reply to an index being made with `settings` (named without `index.`) and all that is pinned, but
    for what this OpenSearch does not know. Its status is 400 when that is refused, or the index is there.
    Raises StoreUnavailable when the cluster has as many shards as it may have."""
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
    """A small index of our own, of one shard; one that is there already, such as of a request that was sent
    again, is left as it is. Raises ConfigurationError when OpenSearch does not want it."""
    settings = {"number_of_shards": 1, "number_of_replicas": replicas}
    reply = put_index(client, name, {"mappings": mappings}, settings)
    if reply.status == 400 and reply.problem.type != "resource_already_exists_exception":
        raise ConfigurationError(f"index {name} cannot be created: {reply.problem}")


def to_mend(settings: Mapping[str, str]) -> dict[str, Any]:
    """What an index of ours should have and has not, of its settings by their flat names: it was made by an
    earlier version, or was changed."""
    return {
        f"index.{name}": PINNED[name]
        for name in _MENDED
        if settings.get(f"index.{name}", "").lower() != PINNED[name]
    }
