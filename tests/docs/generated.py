"""What `make man` generates from the program itself: pages, tables, and the manual page."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from ctisync.cli.help import EXIT_CODES
from tests.docs import commands_page, manual, settings_table
from tests.docs.shell import ROOT

EXIT_CODES_PAGE: Final = ROOT / "docs" / "exit-codes.md"
_EXIT_CODES: Final = re.compile(r"^\| code \| what it means \|.*\n(?:\|.*\n)*", re.MULTILINE)


def exit_codes() -> str:
    rows = [f"| {each.shown} | {each.meaning} | {each.to_do} |".replace("|  |", "| |") for each in EXIT_CODES]
    return "\n".join(["| code | what it means | what to do |", "|---|---|---|", *rows]) + "\n"


def exit_codes_page() -> str:
    text, tables = _EXIT_CODES.subn(lambda _: exit_codes(), EXIT_CODES_PAGE.read_text())
    assert tables == 1
    return text


GENERATED: Final[Mapping[Path, Callable[[], str]]] = {
    settings_table.PAGE: settings_table.page,
    EXIT_CODES_PAGE: exit_codes_page,
    ROOT / "docs" / "commands.md": commands_page.page,
    ROOT / "docs" / "man" / "ctisync.1": manual.page,
}

if __name__ == "__main__":
    for path, made in GENERATED.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(made())
