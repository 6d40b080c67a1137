"""Name, type, default and description of each setting: the source of all documents about them.

A description is a `Meta(description=...)` on the field's type; bounds are separate Metas.
"""

from collections.abc import Iterator
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

import msgspec


class Setting(msgspec.Struct, frozen=True):
    """One field. `kind` is its type with its bounds, without the description; a struct is a section."""

    name: str
    kind: Any
    default: Any
    about: str


def settings_of(schema: type[msgspec.Struct]) -> Iterator[Setting]:
    """The fields of a section, in the order of their definition."""
    for field in msgspec.structs.fields(schema):
        kind, about = _taken_apart(field.type)
        made = field.default_factory
        default = field.default if made is msgspec.NODEFAULT else made()
        yield Setting(field.name, kind, default, about)


def kinds(schema: type[msgspec.Struct]) -> dict[str, Any]:
    """The type of each field with its bounds, by its name."""
    return {setting.name: setting.kind for setting in settings_of(schema)}


def is_section(kind: Any) -> bool:
    """Whether the type of a setting is a struct, so that it has settings of its own."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def listed_section(kind: Any) -> type[msgspec.Struct] | None:
    """The struct, if the type of a setting is a list of structs; else None."""
    if get_origin(kind) is tuple and is_section(get_args(kind)[0]):
        section: type[msgspec.Struct] = get_args(kind)[0]
        return section
    return None


def without_none(kind: Any) -> Any:
    """The type of a setting, without None."""
    parts = [part for part in get_args(kind) if part is not NoneType]
    return parts[0] if NoneType in get_args(kind) else kind


def _taken_apart(annotation: Any) -> tuple[Any, str]:
    if get_origin(annotation) is not Annotated:
        return annotation, ""
    kind, *metas = get_args(annotation)
    bounds = [meta for meta in metas if meta.description is None and meta.extra_json_schema is None]
    about = " ".join(meta.description for meta in metas if meta.description is not None)
    return (Annotated[(kind, *bounds)] if bounds else kind), about
