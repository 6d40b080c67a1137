"""The planted bugs: files in the likeness of a diff whose hunks name functions, not files and lines.

    Breaks: what is lost, in words
    Tests: what must notice, as pytest is told

    @@ SqliteWriter.transaction @@
     with self._file.transaction():
    -    self._still_mine()
         yield

A hunk fits where its old lines stand in what has that qualified name, once in all of src/ctisync. How far a
hunk is indented as a whole does not matter.
"""

import re
import shlex
import textwrap
from pathlib import Path
from typing import NamedTuple

from tests.planted.places import Place, Source, places, sources


class DoesNotFit(Exception):
    """The code has moved on: the hunk must be made anew."""


class Hunk(NamedTuple):
    name: str
    """Qualified, of what holds the old lines."""
    old: list[str]
    new: list[str]


class Patch(NamedTuple):
    """A planted bug: `breaks` says in words what it breaks, `tests` tells pytest what must notice."""

    name: str
    breaks: str
    tests: list[str]
    hunks: list[Hunk]


def read(path: Path) -> Patch:
    """Two lines of words (`Breaks: …`, `Tests: …`), then hunks."""
    breaks, tests, rest = path.read_text(encoding="utf-8").split("\n", 2)
    before, *parts = re.split(r"^@@ (\S+) @@\n", rest, flags=re.MULTILINE)
    if before.strip():
        raise ValueError(f"{path.name}: before its first `@@ NAME @@` stands {before.strip()!r}")
    hunks = [_hunk(name, lines) for name, lines in zip(parts[::2], parts[1::2], strict=True)]
    return Patch(
        path.stem, breaks.removeprefix("Breaks: "), shlex.split(tests.removeprefix("Tests: ")), hunks
    )


def all_patches() -> list[Patch]:
    return [read(path) for path in sorted(Path(__file__).parent.glob("*.patch"))]


def apply(patch: Patch, root: Path) -> None:
    """Alter the tree below `root`. Raises DoesNotFit."""
    for hunk in patch.hunks:
        try:
            source, text = broken(hunk, sources(root))
        except DoesNotFit as error:
            raise DoesNotFit(f"planted bug {patch.name}: {error}") from error
        source.path.write_text(text, encoding="utf-8")


def broken(hunk: Hunk, among: list[Source]) -> tuple[Source, str]:
    """The module that the hunk alters, and its text with the bug. Raises DoesNotFit."""
    matches = places(among, hunk.name)
    fitting = [(place, at) for place in matches for at in _where(hunk.old, place.lines)]
    if len(fitting) != 1:
        raise DoesNotFit(_why_not(hunk, matches, [place for place, _ in fitting], among))
    ((place, at),) = fitting
    at += place.first
    lines = place.source.lines
    shift = _depth(lines[at]) - _depth(hunk.old[0])
    lines[at : at + len(hunk.old)] = [" " * shift + line for line in hunk.new]
    return place.source, "\n".join(lines)


def _where(old: list[str], lines: list[str]) -> list[int]:
    """The numbers of the lines, from 0 on, at which the old ones begin."""
    expected = textwrap.dedent("\n".join(old))
    return [
        at
        for at in range(len(lines) - len(old) + 1)
        if textwrap.dedent("\n".join(lines[at : at + len(old)])) == expected
    ]


def _why_not(hunk: Hunk, matches: list[Place], fitting: list[Place], among: list[Source]) -> str:
    elsewhere = _modules([source for source in among if _where(hunk.old, source.lines)])
    stand = f"stand in {elsewhere}" if elsewhere else "stand nowhere"
    there = _modules([place.source for place in fitting or matches])
    if fitting:
        message = f"`{hunk.name}` holds its lines {len(fitting)} times, not once, in {there}"
    elif matches:
        message = f"`{hunk.name}` in {there} does not hold its lines, which {stand}"
    else:
        message = f"nothing in src/ctisync is called `{hunk.name}`; its lines {stand}"
    return message + ":\n" + textwrap.indent("\n".join(hunk.old), "    ")


def _modules(altered: list[Source]) -> str:
    return " and ".join(sorted({source.module for source in altered}))


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _hunk(name: str, text: str) -> Hunk:
    marked = text.rstrip("\n").split("\n")
    lines = textwrap.dedent("\n".join(line[1:] for line in marked)).split("\n")
    pairs = [(line[:1] or " ", code) for line, code in zip(marked, lines, strict=True)]
    old = [code for mark, code in pairs if mark in " -"]
    if not old or any(mark not in " -+" for mark, _ in pairs):
        raise ValueError(f"`{name}` needs lines that stand there, each line after a space, - or +:\n{text}")
    return Hunk(name, old, [code for mark, code in pairs if mark in " +"])
