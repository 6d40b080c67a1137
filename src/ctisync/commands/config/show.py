"""`config show`: the value and source of each setting, the settings files, and the proxies."""

from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any, Final

import msgspec

from ctisync.errors import UsageError
from ctisync.escaping import escape, quoted
from ctisync.settings import LoadedSettings, Settings
from ctisync.settings.schema import Secret, leaf_types
from ctisync.settings.sources import proxies
from ctisync.settings.toml_text import to_toml

_WIDEST: Final = 60
"""Shorter settings are padded to at most this many characters, so that their sources line up."""


class Shown(msgspec.Struct, frozen=True):
    """One setting. `origin` is its source; None: the default."""

    name: str
    value: Any
    origin: str | None


def shown(found: LoadedSettings, wanted: str | None = None, command: str = "show") -> list[Shown]:
    """All settings, or the setting, section or part of a list with that name: `cti`, `cti.url`,
    `consumers[0].index`.

    Raises UsageError if there is none; its hint is `command` with the nearest name.
    """
    all_ = [_one(found, name) for name in leaf_types(Settings)]
    if wanted is None:
        return all_
    chosen = [one for one in all_ if f"{one.name}.".startswith(f"{wanted}.")]
    chosen = chosen or [part for one in all_ for part in _parts(one) if _is_in(part.name, wanted)]
    if not chosen:
        known = [one.name for one in all_] + [part.name for one in all_ for part in _parts(one)]
        raise _unknown(wanted, known, command)
    return chosen


def as_value(found: LoadedSettings, wanted: str) -> str:
    """The value of one setting, for a script; a list has one value per line.

    Raises UsageError for a section or list of sections, and for a secret.
    """
    one, *others = shown(found, wanted, "get")
    if others or one.name != wanted or _is_list_of_sections(one.value):
        raise UsageError(f"{wanted} is not a single setting", hint=f"ctisync config show {quoted(wanted)}")
    if isinstance(one.value, Secret | dict):
        raise UsageError(
            f"{wanted} is a secret; ctisync does not print it",
            hint=f"ctisync config show {quoted(wanted)} (prints its source)",
        )
    values = one.value if isinstance(one.value, tuple) else (one.value,)
    return "\n".join(escape(_as_word(value)) for value in values)


def _as_word(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return str(int(value)) if value.is_integer() else repr(value)
        case _:
            return str(value)


def _one(found: LoadedSettings, name: str) -> Shown:
    given = found.sources.get(name)
    return Shown(name, attrgetter(name)(found.settings), None if given is None else given.origin)


def _parts(one: Shown) -> Iterator[Shown]:
    """The values in a list and in its sections; a section itself is not a part."""
    if isinstance(one.value, tuple):
        for index, value in enumerate(one.value):
            part = Shown(f"{one.name}[{index}]", value, one.origin)
            if isinstance(value, msgspec.Struct):
                for key, held in _fields(value):
                    inner = Shown(f"{part.name}.{key}", held, one.origin)
                    yield inner
                    yield from _parts(inner)
            else:
                yield part


def _is_in(name: str, wanted: str) -> bool:
    """Whether `name` is `wanted` or a setting in that section; a list includes its values."""
    return name == wanted or (name.startswith(f"{wanted}.") and not name.endswith("]"))


def _is_list_of_sections(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], msgspec.Struct)


def _unknown(wanted: str, known: list[str], command: str) -> UsageError:
    from difflib import get_close_matches

    near = get_close_matches(wanted, known, n=1)
    hint = "ctisync config show (lists all settings)"
    if near:
        hint = f"ctisync config {quoted(command)} {quoted(near[0])}"
    return UsageError(f"unknown setting {wanted}", hint=hint)


def as_text(found: LoadedSettings, environ: Mapping[str, str], wanted: str | None = None) -> str:
    """In the syntax of a settings file; a comment on each line names its source."""
    files = [f"# {path}: {'read' if path.exists() else 'not found'}" for path in found.files]
    rows = [
        (f"{name} = {to_toml(value)}", one.origin or "default")
        for one in shown(found, wanted)
        for name, value in _lines(one)
    ]
    width = max((len(left) for left, _ in rows if len(left) <= _WIDEST), default=0)
    lines = [f"{left:<{width}}  # {right}" for left, right in rows]
    for name, value in proxies(environ).items():
        what = "no proxy for" if name.lower() == "no_proxy" else "proxy for the feed"
        lines.append(f"# {name}: {what}: {value}")
    return "\n".join(map(escape, [*files, *lines]))


def as_document(
    found: LoadedSettings, environ: Mapping[str, str], wanted: str | None = None
) -> dict[str, Any]:
    """Secrets are `***`; an `origin` of null means the default."""
    return {
        "files": [{"path": str(path), "read": path.exists()} for path in found.files],
        "settings": [
            {
                "setting": one.name,
                "value": msgspec.to_builtins(one.value, enc_hook=_plain),
                "origin": one.origin,
            }
            for one in shown(found, wanted)
        ],
        "proxies": proxies(environ),
    }


def _lines(one: Shown) -> Iterator[tuple[str, Any]]:
    """A list of sections has one line per setting of each section."""
    if not _is_list_of_sections(one.value):
        yield one.name, one.value
        return
    for index, section in enumerate(one.value):
        yield from ((f"{one.name}[{index}].{key}", value) for key, value in _fields(section))


def _fields(section: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    for key in section.__struct_fields__:
        yield key, getattr(section, key)


def _plain(value: Any) -> str:
    """A value of a type that JSON lacks."""
    return "***" if isinstance(value, Secret) else str(value)
