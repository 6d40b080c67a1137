"""The README's table of settings, from what the settings say of themselves."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ctisync.settings import Settings
from ctisync.settings.described import Setting, is_section, listed_section, settings_of
from ctisync.settings.toml_text import as_toml, in_units
from tests.docs.shell import ROOT

README: Final = ROOT / "README.md"
_TABLE: Final = re.compile(r"^\| setting \|.*\n(?:\|.*\n)*", re.MULTILINE)


def in_readme() -> str:
    (table,) = _TABLE.findall(README.read_text())
    return str(table)


def table() -> str:
    rows = [f"| `{name}` | {shown(one.default)} | {one.about} |" for name, one in every(Settings)]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows]) + "\n"


def every(schema: Any, prefix: str = "") -> Iterator[tuple[str, Setting]]:
    for setting in settings_of(schema):
        name = prefix + setting.name
        listed = listed_section(setting.kind)
        if is_section(setting.kind):
            yield from every(setting.kind, f"{name}.")
        elif listed is not None:
            yield from every(listed, f"{name}[].")
        else:
            yield name, setting


def shown(default: Any) -> str:
    if default in (None, "", Path()):
        return "not set"
    if isinstance(default, str):
        return f"`{default}`"
    if isinstance(default, tuple):
        return f"`{as_toml(default)}`"
    return in_units(default) or as_toml(default).replace("_", "")


def renewed(text: str) -> str:
    """The README's text with the table as it should be."""
    return _TABLE.sub(lambda _: table(), text)
