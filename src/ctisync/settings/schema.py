"""Name, type, default and meaning of each setting, read from the types: the source of all documents and of
the template, which has all settings commented out. The class of a section names the meaning of each.
"""

import re
import textwrap
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Final, Literal, TypeGuard, get_args, get_origin

import msgspec

from ctisync.escaping import to_json
from ctisync.settings.model import Settings
from ctisync.urls import Secret

ENVIRONMENT_PREFIX: Final = "CTISYNC_"

_COLUMNS: Final = 104
_ANY_NUMBER: Final = 2**63 - 1
_UNITS: Final = {1 << 30: "GiB", 1 << 20: "MiB"}

_HEAD: Final = """\
The settings of ctisync. Commented lines show the defaults: remove the "#" to set one.
An empty text counts as not set.

ctisync reads /etc/ctisync/config.toml, then $XDG_CONFIG_HOME/ctisync/config.toml (or --config FILE),
then systemd's credentials, then the environment (cti.url is CTISYNC_CTI__URL); later sources
override earlier ones.

To print each value and its source: ctisync config show
To check the settings: ctisync config check
"""

_WORDS: Final = {bool: "true or false", int: "a whole number", float: "a number"}
"""The valid values of the types that are not written as a text."""


class Setting(msgspec.Struct, frozen=True):
    """One field of the section `schema`. `kind` is its type with its bounds; a struct is a section."""

    schema: type[msgspec.Struct]
    name: str
    kind: Any
    default: Any

    @property
    def about(self) -> str:
        """Its meaning; empty for a section, whose class has it."""
        return meanings_of(self.schema).get(self.name, "")


def settings_of(schema: type[msgspec.Struct]) -> Iterator[Setting]:
    """The fields of a section, in the order of their definition."""
    for field in msgspec.structs.fields(schema):
        made = field.default_factory
        default = field.default if made is msgspec.NODEFAULT else made()
        yield Setting(schema, field.name, field.type, default)


def meanings_of(schema: type[msgspec.Struct]) -> dict[str, str]:
    """The meanings of the settings of a section, by name, from the text of its class."""
    paragraphs = re.findall(r"^(\w+): (.+(?:\n .+)*)", cleandoc(schema.__doc__ or ""), re.MULTILINE)
    return {name: " ".join(meaning.split()) for name, meaning in paragraphs}


def purpose_of(schema: type[msgspec.Struct]) -> str:
    """What a section is for: the first paragraph of the text of its class."""
    return cleandoc(schema.__doc__ or "").partition("\n\n")[0]


def json_schema(schema: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema of a section and its sections."""
    document = msgspec.json.schema(schema, schema_hook=_text_schema)
    for section in _sections_in(schema):
        definition = document["$defs"][section.__name__]
        definition["description"] = purpose_of(section)
        for name, meaning in meanings_of(section).items():
            definition["properties"][name] = {"description": meaning, **definition["properties"][name]}
    return document


def _text_schema(kind: type) -> dict[str, Any]:
    if kind in (Path, Secret):
        return {"type": "string"}
    raise NotImplementedError


def _sections_in(schema: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    """The section itself, and those in it."""
    yield schema
    for kind in field_types(schema).values():
        if (section := kind if is_section(kind) else listed_section(kind)) is not None:
            yield from _sections_in(section)


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


def is_section(kind: Any) -> TypeGuard[type[msgspec.Struct]]:
    """Whether the type of a setting is a struct, so that it has settings of its own."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def listed_section(kind: Any) -> type[msgspec.Struct] | None:
    """The struct, if the type of a setting is a list of structs; else None."""
    entry = get_args(kind)[0] if get_origin(kind) is tuple else None
    return entry if is_section(entry) else None


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
        return ", ".join(filter(None, (type_in_words(base), " and ".join(bounds))))
    if get_origin(kind) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(kind))
    if get_origin(kind) is dict:
        return "a table of texts"
    if get_origin(kind) is tuple:
        return f"a list, each entry {type_in_words(get_args(kind)[0])}"
    if is_section(kind):
        return "a table with " + ", ".join(field_types(kind))
    return _WORDS.get(kind, "a text")


def to_toml(value: Any) -> str:
    """The value of a setting as TOML; None and an empty path are the empty text, a secret is `***`."""
    match value:
        case None:
            return '""'
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value:_}" if value >= 10_000 else str(value)
        case float():
            return to_toml(int(value)) if value.is_integer() else repr(value)
        case dict():
            return f"{{{', '.join(f'{to_json(name)} = {to_toml(each)}' for name, each in value.items())}}}"
        case tuple():
            return f"[{', '.join(map(to_toml, value))}]"
        case Secret():
            return '"***"'
        case Path():
            return to_toml("" if value == Path() else str(value))
        case _:
            return to_json(value)


def in_units(value: Any) -> str:
    """A size in bytes as MiB or GiB, if it is a multiple of one; else an empty text."""
    for size, unit in _UNITS.items() if type(value) is int else ():
        if value and value % size == 0:
            return f"{value // size} {unit}"
    return ""


def template() -> str:
    """The template: each setting with its meaning and its default, commented out. As a settings file it has
    no effect, and neither has it without the `#` before names and `[[consumers`."""
    lines = [*_prose(_HEAD), *_lines(settings_of(Settings))]
    return "\n".join(lines) + "\n"


def _lines(settings: Iterator[Setting]) -> Iterator[str]:
    """Settings outside sections come first: TOML cannot end a section."""
    sections = []
    for setting in settings:
        if is_section(setting.kind):
            sections.append((f"[{setting.name}]", setting.kind))
        elif (listed := listed_section(setting.kind)) is not None:
            sections.append((f"#[[{setting.name}]]", listed))
        else:
            yield from _one(setting)
    for head, section in sections:
        yield ""
        yield head
        yield from _prose(purpose_of(section))
        if head.startswith("#"):
            yield from _prose("Also remove the # above. For another one, repeat the section.")
        yield from _lines(settings_of(section))


def _one(setting: Setting) -> Iterator[str]:
    size = in_units(setting.default)
    yield ""
    yield from _prose(setting.about)
    yield from _prose(_choice(setting.kind))
    yield f"#{setting.name} = {to_toml(setting.default)}" + (f"  # {size}" if size else "")


def _choice(kind: Any) -> str:
    """The valid values, unless any text is valid."""
    text = type_in_words(kind).removesuffix(f" and at most {_ANY_NUMBER}")
    return "" if text == "a text" else f"{text[0].upper()}{text[1:]}."


def _prose(text: str) -> Iterator[str]:
    for line in text.replace("`", '"').splitlines():
        yield from (f"# {part}" for part in textwrap.wrap(line, _COLUMNS - 2)) if line else ("#",)
