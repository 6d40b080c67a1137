"""ctisync's indices: created with every setting that our guarantees need, refreshed and counted.

Index templates of other programs may match a new index. OpenSearch then adds their mappings and aliases to
the request's, and their settings if the request lacks them.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from ctisync.core.words import counted
from ctisync.errors import AnotherPass, ConfigurationError, StoreUnavailable
from ctisync.escaping import quoted
from ctisync.stores.opensearch.client import Client, path
from ctisync.stores.opensearch.refusals import Problem, then_sync

STATE_INDEX: Final = "wazuh-context"
"""The states and leases of all consumers, one document a context. Other software reads it."""

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

_REPAIRABLE: Final = ("translog.durability", "gc_deletes")
"""The settings that every OpenSearch knows and can change while the index is in use."""

_HARMLESS_ENTRIES: Final = frozenset(
    # These affect fields that OpenSearch maps dynamically; our mapping has `dynamic: false`.
    {"_meta", "dynamic_templates", "date_detection", "numeric_detection", "dynamic_date_formats"}
)
_DEFAULT_ENTRIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "_source": {"enabled": True, "includes": [], "excludes": []},
    "_routing": {"required": False},
}
"""Entries of a mapping that do not alter records, beside its fields and `dynamic`."""

_OWN_TEMPLATE: Final = "ctisync"
_OWN_PATTERNS: Final = ("ctisync-*", "of-ctisync-*")
_HIGH_PRIORITY: Final = 1_000_000

_IF_ANY: Final = "flat_settings=true&ignore_unavailable=true&allow_no_indices=true&expand_wildcards=all"

_UNKNOWN_SETTING: Final = re.compile(r"unknown setting \[([^\]]+)\]")


class FactsMark(msgspec.Struct, frozen=True):
    """Of a facts index: it has documents of this form, of all records of `generation` up to `offset`; by
    default of none."""

    form: int = 0
    generation: str = ""
    offset: int = -1


_mark_decoder: Final = msgspec.json.Decoder(FactsMark)


class Index(msgspec.Struct, frozen=True):
    """An index, as far as it was requested: aliases, mapping, and settings by their flat names."""

    aliases: dict[str, Any] = {}
    mappings: dict[str, Any] = {}
    settings: dict[str, Any] = {}

    @property
    def meta(self) -> dict[str, Any]:
        """What ctisync stored in the mapping of its index; empty for another index."""
        meta = self.mappings.get("_meta")
        ours = meta.get("ctisync") if isinstance(meta, dict) else None
        return ours if isinstance(ours, dict) else {}

    @property
    def mark(self) -> tuple[str, str] | None:
        """Context and name of the consumer whose generation or facts index it is; None if it is neither."""
        context, name = self.meta.get("context"), self.meta.get("consumer")
        return (context, name) if isinstance(context, str) and isinstance(name, str) else None

    @property
    def facts(self) -> FactsMark | None:
        """How far a facts index was filled; None if the index is none."""
        if "facts" not in self.meta:
            return None
        try:
            return _mark_decoder.decode(msgspec.json.encode(self.meta["facts"]))
        except msgspec.ValidationError:
            return FactsMark()


class _Template(msgspec.Struct, frozen=True):
    index_patterns: list[str] = []
    priority: int = 0

    def matches(self, index: str) -> bool:
        return any(fnmatchcase(index, pattern) for pattern in self.index_patterns)


class _Composable(msgspec.Struct, frozen=True):
    name: str
    index_template: _Template = _Template()


class _Composables(msgspec.Struct, frozen=True):
    index_templates: list[_Composable] = []


class Shards(msgspec.Struct, frozen=True):
    failed: int


class _ShardsReply(msgspec.Struct, frozen=True):
    """`count` only if the request counts."""

    shards: Shards = msgspec.field(name="_shards")
    count: int = 0


indices_decoder: Final = msgspec.json.Decoder(dict[str, Index])
_composables_decoder: Final = msgspec.json.Decoder(_Composables)
_legacy_decoder: Final = msgspec.json.Decoder(dict[str, _Template])
_shards_decoder: Final = msgspec.json.Decoder(_ShardsReply)


def read_indices(client: Client, *parts: str) -> dict[str, Index]:
    """The existing indices among names, aliases and patterns in the first part of the path; with a second
    part, such as `_settings`, only that of them."""
    return client.read(client.call("GET", path(*parts, query=_IF_ANY)), indices_decoder)


def put_index(client: Client, name: str, body: dict[str, Any], settings: dict[str, Any]) -> Problem | None:
    """Create an index with `settings` (named without `index.`) and the pinned settings that this OpenSearch
    knows. An existing one, for example of a repeated request, stays as it is.

    Returns the problem if OpenSearch refuses it. Raises StoreUnavailable if the cluster has reached its limit
    of shards.
    """
    requested = {f"index.{setting}": value for setting, value in {**PINNED, **settings}.items()}
    while True:
        reply = client.call("PUT", path(name), {**body, "settings": requested}, allow={400})
        if reply.problem.shard_limit is not None:
            raise client.refusal(reply, "PUT", path(name))
        unknown = _UNKNOWN_SETTING.search(reply.problem.reason or "") if reply.status == 400 else None
        if unknown is None or requested.pop(unknown[1], None) is None:
            is_refused = reply.status == 400 and reply.problem.type != "resource_already_exists_exception"
            return reply.problem if is_refused else None


def create_index(client: Client, name: str, replicas: int, mappings: Mapping[str, Any]) -> None:
    """Create an index of one shard, unless it exists. Raises ConfigurationError if OpenSearch refuses it."""
    settings = {"number_of_shards": 1, "number_of_replicas": replicas}
    problem = put_index(client, name, {"mappings": mappings}, settings)
    if problem is not None:
        raise ConfigurationError(f"index {name} cannot be created: {problem}")


def missing_settings(settings: Mapping[str, str]) -> dict[str, Any]:
    """The settings to change in an index of ours, given its settings by their flat names. They differ if an
    earlier version made the index, or another program changed them."""
    return {
        f"index.{name}": PINNED[name]
        for name in _REPAIRABLE
        if settings.get(f"index.{name}", "").lower() != PINNED[name]
    }


def is_altered(mapping: Mapping[str, Any], requested: Mapping[str, Any]) -> bool:
    """Whether an index that was created with the mapping `requested` has one that alters or rejects records.
    It may have further fields that no record has."""
    properties = mapping.get("properties", {})
    others = mapping.keys() - _HARMLESS_ENTRIES - {"dynamic", "properties"}
    return (
        not all(_is_default(name, mapping[name]) for name in others)
        or any(properties.get(name) != kind for name, kind in requested["properties"].items())
        or str(mapping.get("dynamic")).lower() != str(requested["dynamic"]).lower()
    )


def _is_default(name: str, value: object) -> bool:
    """A template may have `true` as a text."""
    if name not in _DEFAULT_ENTRIES or not isinstance(value, dict):
        return False
    default = _DEFAULT_ENTRIES[name]
    return all(key in default and str(default[key]).lower() == str(value[key]).lower() for key in value)


def template_hint(client: Client, index: str) -> str:
    """What keeps other templates from applying to such an index: an empty template of ctisync's own with a
    higher priority. If the settings' user may not list the other templates, the priority is 1000001."""
    names: set[str] = set()
    highest = _HIGH_PRIORITY
    query = "filter_path=*.name,*.index_template.index_patterns,*.index_template.priority"
    reply = client.call("GET", path("_index_template", query=query), allow={401, 403})
    if reply.status == 200:
        composables = client.read(reply, _composables_decoder).index_templates
        names |= {each.name for each in composables if each.index_template.matches(index)}
        highest = max((each.index_template.priority for each in composables), default=0)
    reply = client.call("GET", path("_template", query="filter_path=*.index_patterns"), allow={401, 403})
    if reply.status == 200:
        legacy = client.read(reply, _legacy_decoder)
        names |= {name for name, template in legacy.items() if template.matches(index)}
    theirs = f"index template {', '.join(map(quoted, sorted(names)))}" if names else "an index template"
    body = {"index_patterns": list(_OWN_PATTERNS), "priority": highest + 1}
    command = client.curl.change("PUT", f"/_index_template/{_OWN_TEMPLATE}", body)
    return f"put a template of ctisync's own before {theirs}: {command}{then_sync()}"


def count_records(client: Client, name: str, *, partial: bool = False) -> int | None:
    """The searchable records of an index or alias; None if it does not exist. Raises StoreUnavailable if a
    shard does not answer, unless a `partial` count will do."""
    return _on_all_shards(client, "GET", name, "_count", partial=partial)


def refresh(client: Client, fence: str) -> None:
    """Make all writes to a generation searchable. Raises StoreUnavailable if a shard does not answer."""
    if _on_all_shards(client, "POST", fence, "_refresh") is None:
        raise fence_is_gone()


def fence_is_gone() -> AnotherPass:
    """The error of a request whose fence no longer exists."""
    return AnotherPass("another pass has taken over; this pass can no longer write")


def _on_all_shards(client: Client, method: str, *parts: str, partial: bool = False) -> int | None:
    reply = client.call(method, path(*parts), allow={404})
    if reply.status == 404:
        return None
    answer = client.read(reply, _shards_decoder)
    if answer.shards.failed and not partial:
        shards = counted(answer.shards.failed, "shard")
        raise StoreUnavailable(f"{shards} of OpenSearch did not answer to {parts[-1]}")
    return answer.count
