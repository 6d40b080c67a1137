"""Unified diffs as the planted bugs use them: a hunk fits where its old lines stand, once in a file."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple


class DoesNotFit(Exception):
    """The code has moved on: the patch must be made anew."""


class Hunk(NamedTuple):
    path: str
    old: str
    new: str


class Patch(NamedTuple):
    """A planted bug: `breaks` says in words what it breaks, `tests` tells pytest what must notice."""

    name: str
    breaks: str
    tests: list[str]
    hunks: list[Hunk]


def read(path: Path) -> Patch:
    """Two lines of words (`Breaks: …`, `Tests: …`), then hunks."""
    text = path.read_text(encoding="utf-8")
    breaks, tests, rest = text.split("\n", 2)
    hunks = []
    for part in re.split(r"^--- a/.*\n", rest, flags=re.MULTILINE)[1:]:
        target, body = re.match(r"\+\+\+ b/(\S+)\n(.*)", part, flags=re.DOTALL).groups()  # type: ignore[union-attr]
        hunks += [_hunk(target, lines) for lines in re.split(r"^@@.*@@.*\n", body, flags=re.MULTILINE)[1:]]
    return Patch(
        path.stem, breaks.removeprefix("Breaks: "), shlex.split(tests.removeprefix("Tests: ")), hunks
    )


def all_patches() -> list[Patch]:
    return [read(path) for path in sorted(Path(__file__).parent.glob("*.patch"))]


def apply(patch: Patch, root: Path) -> None:
    """Alter the tree below `root`. Raises DoesNotFit."""
    for hunk in patch.hunks:
        path = root / hunk.path
        path.write_text(applied(hunk, path.read_text(encoding="utf-8")), encoding="utf-8")


def applied(hunk: Hunk, text: str) -> str:
    if text.count(hunk.old) != 1:
        raise DoesNotFit(f"{hunk.path} holds {text.count(hunk.old)} times, not once:\n{hunk.old}")
    return text.replace(hunk.old, hunk.new)


def _hunk(path: str, lines: str) -> Hunk:
    kept = [line for line in lines.splitlines() if not line.startswith("\\")]
    old = "".join(line[1:] + "\n" for line in kept if line[:1] != "+")
    new = "".join(line[1:] + "\n" for line in kept if line[:1] != "-")
    return Hunk(path, old, new)
