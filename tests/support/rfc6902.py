"""A second implementation of RFC 6902, slow and simple, to compare with `ctisync.core.patch`.

It never alters a value: each operation makes a new document. As ctisync does, and the RFC does not, it
refuses to remove, copy or move the whole document.
"""

from collections.abc import Callable, Hashable, Iterator
from fractions import Fraction

from ctisync.core.model import Json

DIGITS = "0123456789"


class ImpossibleError(Exception):
    """An operation that cannot be performed."""


def outcome(document: Json, operations: list[Json]) -> tuple[int | None, Json]:
    """The index of the operation that cannot be performed, or None, and the document at that point."""
    for index, operation in enumerate(operations):
        try:
            document = performed(document, operation)
        except ImpossibleError:
            return index, document
    return None, document


def performed(document: Json, operation: Json) -> Json:
    path = tokens(member(operation, "path"))
    match member(operation, "op"):
        case "add":
            result = added(document, path, member(operation, "value"))
        case "remove":
            result = removed(document, path)
        case "replace":
            value = member(operation, "value")
            result = rebuilt(document, path, lambda _: value)
        case "copy":
            result = added(document, path, value_at(document, source(operation)))
        case "move":
            result = moved(document, source(operation), path)
        case "test":
            result = document
            if meaning(value_at(document, path)) != meaning(member(operation, "value")):
                raise ImpossibleError
        case _:
            raise ImpossibleError
    return result


def member(operation: Json, name: str) -> Json:
    if not isinstance(operation, dict) or name not in operation:
        raise ImpossibleError
    return operation[name]


def source(operation: Json) -> list[str]:
    origin = tokens(member(operation, "from"))
    if not origin:
        raise ImpossibleError
    return origin


def tokens(pointer: Json) -> list[str]:
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise ImpossibleError
    return [unescaped(token) for token in pointer.split("/")[1:]]


def unescaped(token: str) -> str:
    plain, rest = "", token
    while rest:
        if rest[0] != "~":
            plain, rest = plain + rest[0], rest[1:]
        elif rest[:2] in ("~0", "~1"):
            plain, rest = plain + {"~0": "~", "~1": "/"}[rest[:2]], rest[2:]
        else:
            raise ImpossibleError
    return plain


def index(token: str, end: int) -> int:
    """The array index of a token, less than `end`."""
    well_formed = token == "0" or (token and token[0] != "0" and all(char in DIGITS for char in token))
    if not well_formed or int(token) >= end:
        raise ImpossibleError
    return int(token)


def value_at(node: Json, path: list[str]) -> Json:
    for token in path:
        if isinstance(node, dict) and token in node:
            node = node[token]
        elif isinstance(node, list):
            node = node[index(token, len(node))]
        else:
            raise ImpossibleError
    return node


def rebuilt(node: Json, path: list[str], change: Callable[[Json], Json]) -> Json:
    """`node` with `change` applied to the value at an existing path."""
    if not path:
        return change(node)
    value_at(node, path[:1])
    if isinstance(node, dict):
        return {**node, path[0]: rebuilt(node[path[0]], path[1:], change)}
    here = index(path[0], len(node))
    return [*node[:here], rebuilt(node[here], path[1:], change), *node[here + 1 :]]


def added(document: Json, path: list[str], value: Json) -> Json:
    if not path:
        return value

    def with_value(parent: Json) -> Json:
        if isinstance(parent, dict):
            return {**parent, path[-1]: value}
        if not isinstance(parent, list):
            raise ImpossibleError
        here = len(parent) if path[-1] == "-" else index(path[-1], len(parent) + 1)
        return [*parent[:here], value, *parent[here:]]

    return rebuilt(document, path[:-1], with_value)


def removed(document: Json, path: list[str]) -> Json:
    if not path:
        raise ImpossibleError
    value_at(document, path)

    def without(parent: Json) -> Json:
        if isinstance(parent, dict):
            return {key: item for key, item in parent.items() if key != path[-1]}
        here = index(path[-1], len(parent))
        return [*parent[:here], *parent[here + 1 :]]

    return rebuilt(document, path[:-1], without)


def moved(document: Json, origin: list[str], path: list[str]) -> Json:
    value = value_at(document, origin)
    if origin == path:
        return document
    if path[: len(origin)] == origin:
        raise ImpossibleError
    return added(removed(document, origin), path, value)


def meaning(value: Json) -> Hashable:
    """A value that is equal for equal JSON values, whatever their Python types."""
    if isinstance(value, dict):
        return "object", frozenset((key, meaning(item)) for key, item in value.items())
    if isinstance(value, list):
        return "array", tuple(meaning(item) for item in value)
    if isinstance(value, str):
        return "string", value
    if value is None or isinstance(value, bool):
        return "literal", value
    return "number", Fraction(value)


def containers(value: Json) -> Iterator[int]:
    """The identity of every object and array in a value."""
    if isinstance(value, (dict, list)):
        yield id(value)
        for item in value.values() if isinstance(value, dict) else value:
            yield from containers(item)
