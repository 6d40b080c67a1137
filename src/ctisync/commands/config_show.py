"""`config show`: each setting's value and where it comes from; the files looked for, and the proxies."""

from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any, Final

import msgspec

from ctisync.errors import UsageError
from ctisync.harmless import harmless
from ctisync.settings import Found, Settings
from ctisync.settings.proxies import proxies
from ctisync.settings.sources import Secret, leaves
from ctisync.settings.toml_text import as_toml

_WIDEST: Final = 60
"""Characters to which short settings are filled up, so that what follows stands in a column."""


class Shown(msgspec.Struct, frozen=True):
    """One setting. `origin` is the place that set it; None: it is the default."""

    name: str
    value: Any
    origin: str | None


def shown(found: Found, wanted: str | None = None) -> Iterator[Shown]:
    """All, or the setting or section of that name. Raises UsageError when there is none."""
    names = [name for name in leaves(Settings) if wanted is None or f"{name}.".startswith(f"{wanted}.")]
    if not names:
        raise UsageError(f"there is no setting {wanted}", hint="ctisync config show (lists them all)")
    for name in names:
        given = found.given.get(name)
        yield Shown(name, attrgetter(name)(found.settings), None if given is None else given.origin)


def as_text(found: Found, environ: Mapping[str, str], wanted: str | None = None) -> str:
    """In the words of a settings file, each line with its place behind a `#`."""
    files = [f"# {path}: {'read' if path.exists() else 'not there'}" for path in found.files]
    rows = [
        (f"{name} = {as_toml(value)}", one.origin or "default")
        for one in shown(found, wanted)
        for name, value in _lines(one)
    ]
    width = max(len(left) for left, _ in rows if len(left) <= _WIDEST)
    lines = [f"{left:<{width}}  # {right}" for left, right in rows]
    told = [f"# {name}: the feed is asked through {url}" for name, url in _asked_through(environ)]
    spared = [f"# {name}: but not for {hosts}" for name, hosts in _spared(environ)]
    return "\n".join(map(harmless, [*files, *lines, *told, *spared]))


def as_document(found: Found, environ: Mapping[str, str], wanted: str | None = None) -> dict[str, Any]:
    """Secrets are `***`; an `origin` of null is the default."""
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
    """A list of sections has a line for each of their settings."""
    if not (isinstance(one.value, tuple) and one.value and isinstance(one.value[0], msgspec.Struct)):
        yield one.name, one.value
        return
    for index, section in enumerate(one.value):
        yield from ((f"{one.name}[{index}].{key}", value) for key, value in _fields(section))


def _fields(section: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    for key in section.__struct_fields__:
        yield key, getattr(section, key)


def _plain(value: Any) -> Any:
    def told(odd: Any) -> str:
        return "***" if isinstance(odd, Secret) else str(odd)

    return msgspec.to_builtins(value, enc_hook=told)


def _asked_through(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((name, url) for name, url in proxies(environ).items() if name.lower() != "no_proxy")


def _spared(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((name, hosts) for name, hosts in proxies(environ).items() if name.lower() == "no_proxy")
