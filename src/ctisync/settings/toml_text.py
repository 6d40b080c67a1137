"""Settings as TOML: one value, or the whole template with all settings commented out."""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ctisync.escaping import to_json
from ctisync.settings.model import Settings
from ctisync.settings.schema import (
    Secret,
    Setting,
    is_section,
    listed_section,
    settings_of,
    type_in_words,
    without_none,
)

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
    no effect, and neither has it without the `#` before names and `[[`."""
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
        yield from _prose(section.__doc__ or "")
        if head.startswith("#"):
            yield from _prose("Also remove the # above. For another consumer, repeat the section.")
        yield from _lines(settings_of(section))


def _one(setting: Setting) -> Iterator[str]:
    size = in_units(setting.default)
    yield ""
    yield from _prose(setting.about)
    yield from _prose(_choice(setting.kind))
    yield f"#{setting.name} = {to_toml(setting.default)}" + (f"  # {size}" if size else "")


def _choice(kind: Any) -> str:
    """The valid values, unless any text is valid."""
    text = type_in_words(without_none(kind)).removesuffix(f" and at most {_ANY_NUMBER}")
    return "" if text == "a text" else f"{text[0].upper()}{text[1:]}."


def _prose(text: str) -> Iterator[str]:
    for line in text.replace("`", '"').splitlines():
        yield from (f"# {part}" for part in textwrap.wrap(line, _COLUMNS - 2)) if line else ("#",)
