"""The mutants that live and may: each was looked at, and `survivors.md` says why none of them matters."""

import re
from pathlib import Path
from typing import Final, NamedTuple

PAGE: Final = Path(__file__).with_name("survivors.md")
_NAME: Final = re.compile(r"- (`[^`]*`, `[^`]*`, `[^`]*`(?: \(\d+\))?)")


class Survivor(NamedTuple):
    name: str
    why: str


def survivors(page: str) -> list[Survivor]:
    """All that a page lists: a reason, and after it those that it holds for. Headings are for people."""
    listed = []
    why, listing = "", False
    for line in page.splitlines():
        if line.startswith("## "):
            why, listing = "", False
        elif match := _NAME.fullmatch(line):
            listed.append(Survivor(match[1], why))
            listing = True
        elif line:
            why = line if listing else f"{why} {line}".strip()
            listing = False
    return listed
