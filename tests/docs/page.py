"""A page of the documentation, taken apart: its blocks, its commands, its places."""

import functools
import re
import shlex
from collections.abc import Iterator
from typing import Final, NamedTuple

_FENCE: Final = re.compile(r"^```(\w*) ?(.*)\n((?:(?!```).*\n)*)```$", re.MULTILINE)
_HEADING: Final = re.compile(r"^(#+) (.*)$", re.MULTILINE)


class Block(NamedTuple):
    """What stands between two fences. `names` follow the language; `section` is the nearest `##` above."""

    language: str
    names: tuple[str, ...]
    text: str
    section: str


def blocks(page: str, language: str | None = None) -> list[Block]:
    """The page's blocks, or those of one language."""
    every = [
        Block(fence[1], tuple(fence[2].split()), fence[3], _section(page, fence.start()))
        for fence in _FENCE.finditer(page)
    ]
    return [block for block in every if language in (None, block.language)]


def commands(script: str) -> list[str]:
    """The `ctisync` calls of a shell script, without their comments."""
    lines = [line.split(" #")[0].strip() for line in script.splitlines()]
    return [line for line in lines if line.startswith("ctisync ")]


def ctisync_calls(page: str) -> Iterator[list[str]]:
    """The arguments of every call of ctisync in the page's scripts and in its text."""
    for block in blocks(page, "sh"):
        for line in block.text.splitlines():
            for part in line.split("|"):
                words = shlex.split(part, comments=True)
                if "ctisync" in words:
                    yield words[words.index("ctisync") + 1 :]
    for call in re.findall(r"`ctisync( [^`]*)`", without_blocks(page)):
        yield shlex.split(call)


def without_blocks(page: str) -> str:
    return _FENCE.sub("", page)


def headings(page: str) -> list[str]:
    return [match[2] for match in _HEADING.finditer(without_blocks(page))]


def anchor(heading: str) -> str:
    """The place in the page, as GitHub names it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def codes(heading: str) -> list[int]:
    """The exit codes that a heading begins with: `130, 143: stopped`."""
    match = re.match(r"(\d+(?:, \d+)*): ", heading)
    return [] if match is None else [int(code) for code in match[1].split(", ")]


def _section(page: str, position: int) -> str:
    above = [
        match[2] for match in _HEADING.finditer(_without_blocks(page), 0, position) if len(match[1]) == 2
    ]
    return above[-1] if above else ""


@functools.cache
def _without_blocks(page: str) -> str:
    """The page with blanks in place of its blocks."""
    return _FENCE.sub(_blanked, page)


def _blanked(fence: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", fence[0])
