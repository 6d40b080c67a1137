"""The effect of other programs' index templates on a new index of ours, and the command that prevents it."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from ctisync.escaping import quoted
from ctisync.stores.opensearch.client import Client, path
from ctisync.stores.opensearch.curl import SYNC

_HARMLESS: Final = frozenset(
    # These affect fields that OpenSearch maps dynamically; our mapping has `dynamic: false`.
    {"_meta", "dynamic_templates", "date_detection", "numeric_detection", "dynamic_date_formats"}
)

_USUAL: Final[Mapping[str, Mapping[str, Any]]] = {
    "_source": {"enabled": True, "includes": [], "excludes": []},
    "_routing": {"required": False},
}

_OWN: Final = "ctisync"
_OURS: Final = ("ctisync-*", "of-ctisync-*")
_HIGH: Final = 1_000_000


class _Patterns(msgspec.Struct, frozen=True):
    index_patterns: list[str] = []
    priority: int = 0


class _Named(msgspec.Struct, frozen=True):
    name: str
    index_template: _Patterns = _Patterns()


class _Composable(msgspec.Struct, frozen=True):
    index_templates: list[_Named] = []


_composable_decoder: Final = msgspec.json.Decoder(_Composable)
_patterns_decoder: Final = msgspec.json.Decoder(dict[str, _Patterns])


def alters(found: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    """Whether an index that was made with the mapping `ours` has one that alters or rejects records. It may
    have further fields that no record has."""
    properties = found.get("properties", {})
    rest = altering(found)
    kept = all(properties.get(name) == kind for name, kind in ours["properties"].items())
    return bool(rest) or not kept or str(found.get("dynamic")).lower() != str(ours["dynamic"]).lower()


def altering(mapping: Mapping[str, Any]) -> set[str]:
    """The entries of a mapping, beside its fields and `dynamic`, that alter records."""
    beside = mapping.keys() - _HARMLESS - {"dynamic", "properties"}
    return {name for name in beside if not _is_usual(name, mapping[name])}


def _is_usual(name: str, value: object) -> bool:
    """Whether the value is the default. A template may have `true` as a text."""
    if name not in _USUAL or not isinstance(value, dict):
        return False
    usual = _USUAL[name]
    return all(key in usual and str(usual[key]).lower() == str(value[key]).lower() for key in value)


def mended(client: Client, index: str) -> str:
    """The hint that keeps other templates from applying to such an index: an empty template of ctisync's own
    with a higher priority. If the settings' user may not list the other templates, the priority is
    1000001."""
    asked = "filter_path=*.name,*.index_template.index_patterns,*.index_template.priority"
    names: set[str] = set()
    highest = _HIGH
    reply = client.call("GET", path("_index_template", query=asked), allow={401, 403})
    if reply.status == 200:
        found = client.read(reply, _composable_decoder).index_templates
        names |= {each.name for each in found if fits(each.index_template.index_patterns, index)}
        highest = max((each.index_template.priority for each in found), default=0)
    reply = client.call("GET", path("_template", query="filter_path=*.index_patterns"), allow={401, 403})
    if reply.status == 200:
        old = client.read(reply, _patterns_decoder)
        names |= {name for name, template in old.items() if fits(template.index_patterns, index)}
    who = f"index template {', '.join(map(quoted, sorted(names)))}" if names else "an index template"
    body = {"index_patterns": list(_OURS), "priority": highest + 1}
    typed = client.curl.mends("PUT", f"/_index_template/{_OWN}", body)
    return f"put a template of ctisync's own before {who}: {typed}{SYNC}"


def fits(patterns: Iterable[str], index: str) -> bool:
    """Whether one of a template's patterns matches the index's name."""
    return any(fnmatchcase(index, pattern) for pattern in patterns)
