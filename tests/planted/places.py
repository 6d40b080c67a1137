"""Where in src/ctisync a name stands, whatever its module is called and wherever that lies.

A qualified name is that of a function or class after those around it (`Writer.apply`, `_outer.inner`), or a
name that a module assigns or imports.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Source(NamedTuple):
    """A module's file."""

    path: Path
    module: str
    text: str

    @property
    def is_package(self) -> bool:
        return self.path.stem == "__init__"

    @property
    def lines(self) -> list[str]:
        """As the syntax tree counts them: `splitlines` would part more."""
        return self.text.split("\n")


class Place(NamedTuple):
    """The lines of a file, from 0 on, that make up what has the name."""

    source: Source
    first: int
    behind: int
    is_import: bool

    @property
    def lines(self) -> list[str]:
        return self.source.lines[self.first : self.behind]


def sources(root: Path) -> list[Source]:
    """All modules of the tree below `root`."""
    folder = root / "src"
    return [
        Source(path, _module(path.relative_to(folder)), path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.py"))
    ]


def places(among: list[Source], name: str) -> list[Place]:
    """All that have this qualified name."""
    last = name.rpartition(".")[2]
    return [
        Place(source, first, behind, is_import)
        for source in among
        if last in source.text
        for qualified, first, behind, is_import in _named_in(source.text)
        if qualified == name
    ]


def names_of(statement: ast.stmt) -> list[str]:
    """What a statement gives a name to in the module or class that it stands in."""
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return [each.asname or each.name for each in names]
        case ast.Assign(targets=targets):
            parts = [part for target in targets for part in ast.walk(target)]
            return [
                part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            ]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _named_in(code: str) -> list[tuple[str, int, int, bool]]:
    """Each name, and of its place all but the module."""
    return list(_named(ast.parse(code), ""))


def _named(node: ast.AST, around: str) -> Iterator[tuple[str, int, int, bool]]:
    """Names inside functions are theirs alone, but for the functions and classes among them."""
    for child in ast.iter_child_nodes(node):
        inside, first = around, getattr(child, "lineno", 1) - 1
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inside = f"{around}{child.name}."
            first = min([first, *(each.lineno - 1 for each in child.decorator_list)])
        if isinstance(child, ast.stmt) and (inside != around or not around):
            is_import = isinstance(child, ast.Import | ast.ImportFrom)
            for name in names_of(child):
                yield around + name, first, child.end_lineno or 0, is_import
        yield from _named(child, inside)
