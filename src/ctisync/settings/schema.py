"""Name, type, default and meaning of each setting, read from the types: the source of all documents.

A description is a `Meta(description=...)` on the field's type; bounds are separate Metas.
"""

from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import msgspec

ENVIRONMENT_PREFIX: Final = "CTISYNC_"

_WORDS: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a text",
}


class Secret:
    """A text that only `reveal` returns: `str`, `repr` and f-strings show `Secret(***)`.

    `file`: the one that a `{ file = … }` names for it, if it came from one.
    """

    __slots__ = ("_text", "file")

    def __init__(self, text: str, file: Path | None = None) -> None:
        self._text = text
        self.file = file

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


class SetValue(msgspec.Struct, frozen=True):
    """The value of a setting, and its source: `config.toml: cti.url` or `CTISYNC_CTI__URL`.

    `file`: the file that contains the value itself, if one does.
    """

    value: Any
    origin: str
    file: Path | None = None


class Setting(msgspec.Struct, frozen=True):
    """One field. `kind` is its type with its bounds, without the description; a struct is a section."""

    name: str
    kind: Any
    default: Any
    about: str


def settings_of(schema: type[msgspec.Struct]) -> Iterator[Setting]:
    """The fields of a section, in the order of their definition."""
    for field in msgspec.structs.fields(schema):
        kind, about = _split_annotation(field.type)
        made = field.default_factory
        default = field.default if made is msgspec.NODEFAULT else made()
        yield Setting(field.name, kind, default, about)


def field_types(schema: type[msgspec.Struct]) -> dict[str, Any]:
    """The type of each field with its bounds, by its name."""
    return {setting.name: setting.kind for setting in settings_of(schema)}


def leaf_types(schema: type[msgspec.Struct], prefix: str = "") -> dict[str, Any]:
    """The type of every setting, by its dotted name; a list of structs counts as one setting."""
    types: dict[str, Any] = {}
    for name, kind in field_types(schema).items():
        if is_section(kind):
            types.update(leaf_types(kind, f"{prefix}{name}."))
        else:
            types[prefix + name] = kind
    return types


def variable(name: str) -> str:
    """The environment variable of a setting: `cti.url` is CTISYNC_CTI__URL."""
    return ENVIRONMENT_PREFIX + name.replace(".", "__").upper()


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


def type_in_words(kind: Any) -> str:
    """The valid values of a setting of this type, in words: "a whole number, at least 1 and at most 32"."""
    kind = without_none(kind)
    if get_origin(kind) is Annotated:
        base, meta = get_args(kind)
        bounds = [
            f"{words} {bound:,}".replace(",", "")
            for words, bound in (("more than", meta.gt), ("at least", meta.ge), ("at most", meta.le))
            if bound is not None
        ]
        return f"{_WORDS[base]}, {' and '.join(bounds)}"
    if get_origin(kind) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(kind))
    if get_origin(kind) is dict:
        return "a table of texts"
    if get_origin(kind) is tuple:
        return f"a list, each entry {type_in_words(get_args(kind)[0])}"
    if is_section(kind):
        return "a table with " + ", ".join(field_types(kind))
    return _WORDS.get(kind, "a text")


def _split_annotation(annotation: Any) -> tuple[Any, str]:
    if get_origin(annotation) is not Annotated:
        return annotation, ""
    kind, *metas = get_args(annotation)
    bounds = [meta for meta in metas if meta.description is None and meta.extra_json_schema is None]
    about = " ".join(meta.description for meta in metas if meta.description is not None)
    return (Annotated[(kind, *bounds)] if bounds else kind), about
