"""All mutants of a module, one at a time, and what of its code is left alone.

Left alone is what no promise rests on: text for people, hints, docstrings, annotations, imports,
decorators, assertions, and what only a bug could reach.
"""

import ast
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from tests.mutants.operators import Fault, Where, faults, is_text
from tests.planted.places import names_of

_IMPORTS: Final = re.compile(r"^ *(import|from) .*\n?", re.MULTILINE)
_IGNORED_FIELDS: Final = ("annotation", "returns", "decorator_list", "bases")


class Mutant(NamedTuple):
    """One fault. Its name holds as long as its line of code does, wherever that moves."""

    name: str
    """The function, or what the module's code gives a name to, both qualified; the line; the change."""
    function_text: str
    """Without imports, so that it stays the same when other modules move."""
    tree: ast.Module
    put: Callable[[ast.AST], None]
    old: ast.AST
    new: ast.AST

    @contextmanager
    def planted(self) -> Iterator[ast.Module]:
        """The module with the fault in it; the tree is shared by all of its mutants."""
        self.put(self.new)
        try:
            yield self.tree
        finally:
            self.put(self.old)


class _Place(NamedTuple):
    """Where a piece of code stands: how to put another there, and around it what."""

    put: Callable[[ast.AST], None]
    function: str
    where: Where


def mutants_of(source: str) -> list[Mutant]:
    """In the order of the lines."""
    return list(_Module(source).mutants())


class _Module:
    def __init__(self, source: str) -> None:
        self._lines = source.splitlines()
        self._tree = ast.parse(source)
        self._named: dict[str, int] = {}
        self._texts: dict[ast.AST, str] = {}

    def mutants(self) -> Iterator[Mutant]:
        yield from self._below(self._tree, "module", self._tree)

    def _below(self, node: ast.AST, function: str, scope: ast.AST) -> Iterator[Mutant]:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            function = node.name if scope is self._tree else f"{function}.{node.name}"
            scope = node
        for field, child, put in _children(node):
            if scope is self._tree and isinstance(child, ast.stmt):
                function = next(iter(names_of(child)), "module")
            where = Where(scope, is_test=field in ("test", "ifs"))
            if not _is_left_alone(child):
                for fault in faults(child, where):
                    yield self._mutant(child, fault, _Place(put, function, where))
                yield from self._below(child, function, scope)

    def _mutant(self, node: ast.AST, fault: Fault, place: _Place) -> Mutant:
        line = next(each.lineno for each in ast.walk(node) if isinstance(each, ast.expr | ast.stmt))
        code = self._lines[line - 1].strip()
        change = " ".join(fault.change.split())
        name = ", ".join(f"`{part.replace('`', chr(39))}`" for part in (place.function, code, change))
        number = self._named[name] = self._named.get(name, 0) + 1
        scope = place.where.scope
        if scope not in self._texts:
            self._texts[scope] = _IMPORTS.sub("", ast.unparse(scope))
        new = ast.fix_missing_locations(ast.copy_location(fault.new, node))
        name = f"{name} ({number})" if number > 1 else name
        return Mutant(name, self._texts[scope], self._tree, place.put, node, new)


def _children(node: ast.AST) -> Iterator[tuple[str, ast.AST, Callable[[ast.AST], None]]]:
    """The parts of a piece of code, each with its field and a way to replace it."""
    for field, value in ast.iter_fields(node):
        if field in _IGNORED_FIELDS or (isinstance(node, ast.ClassDef) and field == "keywords"):
            continue
        if isinstance(value, ast.AST):
            yield field, value, _setting(node, field)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, ast.AST) and not _is_compared_word(node, item):
                    yield field, item, _putting(value, index)


def _setting(node: ast.AST, field: str) -> Callable[[ast.AST], None]:
    return lambda new: setattr(node, field, new)


def _putting(values: list[Any], index: int) -> Callable[[ast.AST], None]:
    return lambda new: values.__setitem__(index, new)


def _is_compared_word(node: ast.AST, item: ast.AST) -> bool:
    """`x == "word"` is never so with another word: a fault that its condition has already."""
    return (
        isinstance(node, ast.Compare)
        and isinstance(node.ops[0], ast.Eq | ast.NotEq)
        and isinstance(item, ast.Constant)
        and isinstance(item.value, str)
    )


def _is_left_alone(node: ast.AST) -> bool:
    match node:
        case ast.Assert() | ast.Import() | ast.ImportFrom():
            return True
        case ast.Raise(exc=ast.Call(func=ast.Name(id="AssertionError"))):
            return True
        case ast.Expr(value=ast.Constant()):  # a docstring
            return True
        case ast.Subscript(value=ast.Name(id="Literal")):
            return True
        case ast.keyword(arg="hint"):
            return True
        case ast.MatchValue():  # as good as leaving out its case
            return True
    return is_text(node)
