"""The effect of index templates on a new index of ours, as far as it can be computed without creating one.

OpenSearch merges a request and templates so: of the composable templates that match, only the one with the
highest priority counts, with its components, and the request's leaf fields replace its own. If none matches,
all matching legacy templates count, and their fields add the parameters that the request's fields lack.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from ctisync.stores.opensearch.client import Client, path
from ctisync.stores.opensearch.index_templates import altering, fits
from ctisync.stores.opensearch.indices import PINNED

_MAY_REFUSE: Final = ("mapping.", "sort.")
"""Settings that may prevent an index with our mapping."""


class _Template(msgspec.Struct, frozen=True):
    mappings: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    aliases: dict[str, Any] = {}


class _Old(_Template, frozen=True):
    index_patterns: list[str] = []


class _Composed(msgspec.Struct, frozen=True):
    index_patterns: list[str]
    template: _Template = _Template()
    composed_of: list[str] = []
    priority: int = 0


class _NamedComposed(msgspec.Struct, frozen=True):
    index_template: _Composed


class _AllComposed(msgspec.Struct, frozen=True):
    index_templates: list[_NamedComposed] = []


class _Component(msgspec.Struct, frozen=True):
    template: _Template = _Template()


class _NamedComponent(msgspec.Struct, frozen=True):
    name: str
    component_template: _Component


class _AllComponents(msgspec.Struct, frozen=True):
    component_templates: list[_NamedComponent] = []


_composed_decoder: Final = msgspec.json.Decoder(_AllComposed)
_old_decoder: Final = msgspec.json.Decoder(dict[str, _Old])
_components_decoder: Final = msgspec.json.Decoder(_AllComponents)


def clashes(client: Client, index: str, ours: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What templates would add to an index of that name with the mapping `ours`: first what makes a load
    fail, then what may do so. Raises AccessRefused if the user may not read templates."""
    composed = client.call("GET", path("_index_template"))
    fitting = [
        each.index_template
        for each in client.read(composed, _composed_decoder).index_templates
        if fits(each.index_template.index_patterns, index)
    ]
    if fitting:
        chosen = max(fitting, key=lambda each: each.priority)
        templates: Sequence[_Template] = [*_components(client, chosen.composed_of), chosen.template]
    else:
        old = client.read(client.call("GET", path("_template")), _old_decoder)
        templates = [each for each in old.values() if fits(each.index_patterns, index)]
    wrong, doubtful = set[str](), set[str]()
    for each in templates:
        wrong |= {f"the alias {alias}" for alias in each.aliases}
        wrong |= {f"its own {name}" for name in _altered(each.mappings, ours, leaves_give_way=bool(fitting))}
        doubtful |= {
            f"{name} = {value}"
            for name, value in _flat(each.settings)
            if name.startswith(_MAY_REFUSE) and name not in PINNED
        }
    return sorted(wrong), sorted(doubtful)


def _components(client: Client, names: Sequence[str]) -> list[_Template]:
    if not names:
        return []
    reply = client.call("GET", path("_component_template"))
    found = client.read(reply, _components_decoder).component_templates
    return [each.component_template.template for each in found if each.name in names]


def _altered(theirs: Mapping[str, Any], ours: Mapping[str, Any], *, leaves_give_way: bool) -> Iterator[str]:
    """The parts of `ours` that a template would change, and its additions that alter records."""
    yield from altering(theirs)
    fields = theirs.get("properties", {})
    for name in fields.keys() & ours["properties"].keys():
        found, wanted = fields[name], ours["properties"][name]
        unlike = leaves_give_way and _is_object(found) != _is_object(wanted)
        if unlike or ({**found, **wanted} != wanted and (_is_object(wanted) or not leaves_give_way)):
            yield name


def _is_object(field: Mapping[str, Any]) -> bool:
    return field.get("type", "object") in ("object", "nested")


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """The settings by their dotted names without `index.`, from any nesting."""
    for key, value in settings.items():
        name = f"{above}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        else:
            yield name.removeprefix("index."), value
