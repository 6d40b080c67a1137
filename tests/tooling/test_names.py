"""Names are nouns and verbs of the field (see the glossary): the words below name nothing new.

What is left of them stands in `tests/data/old_names.json`: each name of `src`, and how many there are in the
other folders. `python -m tests.tooling.test_names` writes that file anew, and lets it only shrink. The name
of a test is a sentence, so it may have any word.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypedDict

ROOT: Final = Path(__file__).parents[2]
LEFT: Final = ROOT / "tests" / "data" / "old_names.json"

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


class Left(TypedDict):
    """`elsewhere`: the number of names in tests, bench and tools, each counted once a file."""

    src: list[str]
    elsewhere: int


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


def elsewhere() -> int:
    return len({(each.path, each.name) for each in old_in("tests", "bench", "tools")})


def left() -> Left:
    content: Left = json.loads(LEFT.read_text())
    return content


def test_no_new_name_in_src_has_an_old_word() -> None:
    allowed = set(left()["src"])
    assert [str(each) for each in old_in("src") if each.name not in allowed] == []


def test_the_tests_have_no_more_names_with_old_words_than_before() -> None:
    assert elsewhere() <= left()["elsewhere"], "git diff shows the new one; name it after what it is"


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


def shrink() -> None:
    """Leave out the names that are gone."""
    before, now = left(), {each.name for each in old_in("src")}
    after = Left(src=sorted(now & {*before["src"]}), elsewhere=min(before["elsewhere"], elsewhere()))
    LEFT.write_text(json.dumps(after, indent=1) + "\n")


if __name__ == "__main__":
    shrink()
