"""The events of the log, as the source writes them: each `.event(level, "name", field=...)` in it.

`python -m tests.docs.log_events` prints the rows that docs/events.md has not yet.
"""

import ast
import re
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

from tests.docs.shell import ROOT

SOURCE: Final = ROOT / "src" / "ctisync"
PAGE: Final = ROOT / "docs" / "events.md"

_ROW: Final = re.compile(r"^\| `([a-z-]+)` \| ([a-z, ]+) \| .+ \| (.*) \|$", re.MULTILINE)

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Event(NamedTuple):
    """All that is written under one name."""

    levels: frozenset[str]
    fields: frozenset[str]

    def joined(self, other: "Event") -> "Event":
        return Event(self.levels | other.levels, self.fields | other.fields)


def written() -> dict[str, Event]:
    """By their names; one that is written in several places has the levels and fields of them all."""
    documented: dict[str, Event] = {}
    sources = {path: path.read_text() for path in sorted(SOURCE.rglob("*.py"))}
    for path, source in sources.items():
        if "event(" not in source:  # parsing takes long
            continue
        for name, event in events(source, str(path.relative_to(ROOT))):
            documented[name] = event.joined(documented.get(name, event))
    return documented


def documented() -> dict[str, Event]:
    """The rows of docs/events.md."""
    return {
        name: Event(frozenset(levels.split(", ")), frozenset(re.findall(r"`(\w+)`", fields)))
        for name, levels, fields in _ROW.findall(PAGE.read_text())
    }


def events(source: str, place: str) -> Iterator[tuple[str, Event]]:
    """Those of one module. Raises AssertionError for one whose level or name cannot be read from it."""
    module = ast.parse(source)
    functions = [node for node in ast.walk(module) if isinstance(node, _Function)]
    for function in functions:
        if function.name == "event":  # hands on what it is given
            continue
        for call in _calls(function, "event"):
            here = f"{place}:{call.lineno}"
            fields = [keyword.arg for keyword in call.keywords]
            if ast.unparse(call.func).endswith("parts.event"):  # `sync.parts.Parts` adds its consumer
                fields.append("consumer")
            assert len(call.args) == 2, f"{here}: level and name stand before the fields"
            assert None not in fields, f"{here}: which fields it has cannot be read: write them there"
            levels, names = (_texts(argument, function, module, here) for argument in call.args)
            for name in names:
                yield name, Event(frozenset(levels), frozenset(map(str, fields)))


def _texts(node: ast.expr, function: _Function, module: ast.Module, here: str) -> set[str]:
    """The texts that an expression can be: as written, chosen between two, or what a name was given."""
    match node:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.IfExp():
            return {
                text for each in (node.body, node.orelse) for text in _texts(each, function, module, here)
            }
        case ast.Name():
            values = [*_assigned(node.id, function), *_handed_over(node.id, function, module)]
            assert values, f"{here}: what {node.id} is cannot be read: write it there"
            return {text for each in values for text in _texts(each, function, module, here)}
    raise AssertionError(f"{here}: {ast.unparse(node)} is no text: write it there")


def _assigned(name: str, function: _Function) -> Iterator[ast.expr]:
    for node in ast.walk(function):
        match node:
            case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if target == name:
                yield value
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                yield value


def _handed_over(name: str, function: _Function, module: ast.Module) -> Iterator[ast.expr]:
    """What stands for a parameter in the calls of the function within its module."""
    names = [each.arg for each in function.args.args if each.arg != "self"]
    if name in names:
        for call in _calls(module, function.name):
            yield call.args[names.index(name)]


def _calls(inside: ast.AST, name: str) -> Iterator[ast.Call]:
    """Those of a function or method of that name; what stands in an inner function is that one's."""
    for node in ast.iter_child_nodes(inside):
        if isinstance(node, _Function) and isinstance(inside, _Function):
            continue
        match node:
            case ast.Call(func=ast.Attribute(attr=called) | ast.Name(id=called)) if called == name:
                yield node
        yield from _calls(node, name)


def missing_rows() -> Iterator[str]:
    rows = documented()
    for name, event in sorted(written().items()):
        if rows.get(name) != event:
            levels, fields = (
                ", ".join(sorted(event.levels)),
                ", ".join(f"`{each}`" for each in sorted(event.fields)),
            )
            yield f"| `{name}` | {levels} | WHEN | {fields} |"


if __name__ == "__main__":
    sys.stdout.writelines(f"{row}\n" for row in missing_rows())
