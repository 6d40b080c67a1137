"""Validates documents against the part of JSON Schema that the schema of the settings uses."""

import operator
from collections.abc import Callable, Iterator
from typing import Any, Final

_TYPES: Final[dict[str, Any]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": int | float,
    "array": list,
    "object": dict,
}
_BOUNDS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "minimum": operator.ge,
    "maximum": operator.le,
    "exclusiveMinimum": operator.gt,
    "const": operator.eq,
    "enum": lambda value, choices: value in choices,
}
_WORDS: Final = frozenset({"$schema", "$defs", "title", "description", "default", "required"})
_INNER: Final = frozenset({"$ref", "type", "anyOf", "items", "properties", "additionalProperties"})


def mistakes(schema: dict[str, Any], value: Any) -> list[str]:
    """The mistakes of a document with their places, such as `store.shards: minimum 1`; none if it is
    valid."""
    return list(_mistakes_in(schema, schema["$defs"], value, ""))


def _mistakes_in(node: dict[str, Any], sections: Any, value: Any, where: str) -> Iterator[str]:
    assert node.keys() <= _WORDS | _INNER | _BOUNDS.keys(), f"the checker does not know all of {node}"
    if "$ref" in node:
        yield from _mistakes_in(sections[node["$ref"].rpartition("/")[2]], sections, value, where)
    elif "anyOf" in node:
        if all(list(_mistakes_in(each, sections, value, where)) for each in node["anyOf"]):
            yield f"{where}: none of these"
    elif "type" in node and not isinstance(value, _TYPES[node["type"]]):
        yield f"{where}: type {node['type']}"
    else:
        for word in _BOUNDS.keys() & node.keys():
            if not _BOUNDS[word](value, node[word]):
                yield f"{where}: {word} {node[word]}"
        yield from _inside(node, sections, value, where)


def _inside(node: dict[str, Any], sections: Any, value: Any, where: str) -> Iterator[str]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _mistakes_in(node["items"], sections, item, f"{where}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            place = f"{where}.{key}".lstrip(".")
            if key in node["properties"]:
                yield from _mistakes_in(node["properties"][key], sections, item, place)
            elif node["additionalProperties"] is False:
                yield f"{place}: not known"
