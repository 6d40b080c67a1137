"""Names are nouns and verbs of the field (see the glossary): the words below name nothing.

The name of a test is a sentence, so it may have any word.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]

ALLOWED: Final = {("opensearch", "found")}
"""Fields of what other programs answer, each in the folder that reads it."""

OLD_WORDS: Final = frozenset(
    {
        *("found", "told", "known", "seen", "said", "held", "given", "asked", "taken", "looked", "unseen"),
        *("wanted", "untold", "heard", "foresee", "foretell", "foreseen", "teaching", "taught", "doubt"),
        *("doubts", "verdict", "verdicts"),
    }
)
"""Say what the thing is instead: `row`, `document`, `match`, `stored`, `requested`, `expected`, `text` ..."""

_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


class Name(NamedTuple):
    """A name, the file that gives it to something, and the line."""

    name: str
    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: {self.name}"


def names_in(path: Path, text: str | None = None) -> Iterator[Name]:
    """The names of classes, functions, parameters, variables and attributes that a file defines."""
    for node in ast.walk(ast.parse(path.read_text() if text is None else text)):
        match node:
            case ast.FunctionDef(name=name) if not name.startswith("test_"):
                yield Name(name, path, node.lineno)
            case ast.ClassDef(name=name):
                yield Name(name, path, node.lineno)
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                yield Name(name, path, node.lineno)
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield Name(name, path, node.lineno)


def old(names: Iterator[Name]) -> list[Name]:
    return [each for each in names if OLD_WORDS.intersection(map(str.lower, _WORD.findall(each.name)))]


def old_in(*folders: str) -> list[Name]:
    paths = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return [each for path in paths for each in old(names_in(path))]


def test_no_name_has_an_old_word() -> None:
    names = old_in("src", "tests", "bench", "tools")
    assert [str(each) for each in names if (each.path.parent.name, each.name) not in ALLOWED] == []


def test_each_kind_of_name_counts_and_a_sentence_does_not() -> None:
    source = """
class FoundRow: pass
def _told(known_offset):
    self.seen, fundus = 1, 2
    for asked in (): pass
def test_what_was_told(): pass
"""
    names = [each.name for each in old(names_in(ROOT / "an_example.py", source))]
    assert sorted(names) == ["FoundRow", "_told", "asked", "known_offset", "seen"]
