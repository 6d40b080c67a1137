"""The table of docs/settings.md, from the descriptions of the settings."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ctisync.settings import Settings
from ctisync.settings.schema import Setting, in_units, is_section, listed_section, settings_of, to_toml
from tests.docs.shell import ROOT

PAGE: Final = ROOT / "docs" / "settings.md"
_TABLE: Final = re.compile(r"^\| setting \|.*\n(?:\|.*\n)*", re.MULTILINE)


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
    if isinstance(default, tuple | dict):
        return f"`{to_toml(default)}`"
    return in_units(default) or to_toml(default).replace("_", "")


def page() -> str:
    """The page with its table made anew."""
    text, tables = _TABLE.subn(lambda _: table(), PAGE.read_text())
    assert tables == 1
    return text
