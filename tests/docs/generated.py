"""What in the documents is made of the program itself; `make man` makes it anew."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from ctisync.cli.teaching import EXIT_CODES
from tests.docs import commands_page, manual, settings_table
from tests.docs.shell import ROOT

_EXIT_CODES: Final = re.compile(r"^\| code \| what it means \|.*\n(?:\|.*\n)*", re.MULTILINE)


def exit_codes() -> str:
    """The README's table."""
    rows = [f"| {each.shown} | {each.meaning} | {each.to_do} |".replace("|  |", "| |") for each in EXIT_CODES]
    return "\n".join(["| code | what it means | what to do |", "|---|---|---|", *rows]) + "\n"


def readme() -> str:
    text = (ROOT / "README.md").read_text()
    return settings_table.renewed(_EXIT_CODES.sub(lambda _: exit_codes(), text))


GENERATED: Final[Mapping[Path, Callable[[], str]]] = {
    ROOT / "README.md": readme,
    ROOT / "docs" / "commands.md": commands_page.page,
    ROOT / "docs" / "man" / "ctisync.1": manual.page,
}

if __name__ == "__main__":
    for path, made in GENERATED.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(made())
