"""What index templates of other programs do to a new index of ours: what alters content, and whose it is."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from ctisync.stores.opensearch_client import Client, path

_HARMLESS: Final = frozenset(
    # These govern fields that are mapped by themselves, and nothing is.
    {"_meta", "dynamic_templates", "date_detection", "numeric_detection", "dynamic_date_formats"}
)

_USUAL: Final[Mapping[str, Mapping[str, Any]]] = {
    "_source": {"enabled": True, "includes": [], "excludes": []},
    "_routing": {"required": False},
}


class _Patterns(msgspec.Struct, frozen=True):
    index_patterns: list[str] = []


class _Named(msgspec.Struct, frozen=True):
    name: str
    index_template: _Patterns = _Patterns()


class _Composable(msgspec.Struct, frozen=True):
    index_templates: list[_Named] = []


_composable_decoder: Final = msgspec.json.Decoder(_Composable)
_patterns_decoder: Final = msgspec.json.Decoder(dict[str, _Patterns])


def alters(found: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    """Whether an index that was made with the mapping `ours` has another one, so that records would come out
    otherwise than they went in, or not at all. Fields that no record has may be there."""
    properties = found.get("properties", {})
    rest = altering(found)
    kept = all(properties.get(name) == kind for name, kind in ours["properties"].items())
    return bool(rest) or not kept or str(found.get("dynamic")).lower() != str(ours["dynamic"]).lower()


def altering(mapping: Mapping[str, Any]) -> set[str]:
    """What a mapping has beside fields that alters records; `dynamic` is judged by itself."""
    beside = mapping.keys() - _HARMLESS - {"dynamic", "properties"}
    return {name for name in beside if not _is_usual(name, mapping[name])}


def _is_usual(name: str, value: object) -> bool:
    """Whether it says no more than what is so anyway. A template may have true as a text."""
    if name not in _USUAL or not isinstance(value, dict):
        return False
    usual = _USUAL[name]
    return all(key in usual and str(usual[key]).lower() == str(value[key]).lower() for key in value)


def templates_for(client: Client, index: str) -> str:
    """Who they are, for a message: `index template a, b`. Not who, when we may not ask."""
    names: set[str] = set()
    reply = client.call(
        "GET",
        path("_index_template", query="filter_path=*.name,*.index_template.index_patterns"),
        allow={401, 403},
    )
    if reply.status == 200:
        for each in client.read(reply, _composable_decoder).index_templates:
            names |= _fitting(each.name, each.index_template, index)
    reply = client.call("GET", path("_template", query="filter_path=*.index_patterns"), allow={401, 403})
    if reply.status == 200:
        for name, patterns in client.read(reply, _patterns_decoder).items():
            names |= _fitting(name, patterns, index)
    return f"index template {', '.join(sorted(names))}" if names else "an index template"


def _fitting(name: str, template: _Patterns, index: str) -> set[str]:
    return {name} if fits(template.index_patterns, index) else set()


def fits(patterns: Iterable[str], index: str) -> bool:
    return any(fnmatchcase(index, pattern) for pattern in patterns)
