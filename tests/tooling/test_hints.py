"""A hint is typed as it stands: each path, name and address in one is quoted, by whoever writes the next."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import ctisync

SOURCES: Final = Path(ctisync.__file__).parent

PLACE_OF_HINT: Final = {"failed": 2, "warning": 2, "CheckResult": 3, "Advice": 1, "result": 2, "wrong": 1}
"""Calls that take a hint by place."""

OURS: Final = {
    "failure.setting": "the name of a setting",
    "which_server(failure.setting)": "a text of our own",
    "quoted": "a word for a shell, or a name for one",
    "', '.join(map(quoted, near))": "the same",
    "' or '.join(OUR_INDICES)": "names of our own",
    "hints.load_anew()": "a text of our own",
    "hints.replace(consumer)": "the same, quoted there",
    "_again(root, 'none')": "the same",
    "policy.mode": "a subcommand",
    "status": "what `hints.command` writes",
    "then_sync()": "the same",
    "test": "the same",
    "hook": "words, each quoted there",
    "typed": "what Curl writes, which quotes",
    "values[-1]": "a value of an option",
    "url_forms": "a text of our own",
    "_ELSEWHERE": "the same",
    "self.context.command_path": "words of our own command line",
    "path": "the same",
    "scheme": "http or https",
    "instead": "names of settings",
    "limit": "the same",
    "near[0]": "the nearest of our settings",
    "name": "the same",
    "option": "of our command line",
    "self._option": "the same",
    "file": "a word that is quoted there, or our own",
    "_NO_SUBSCRIPTION": "a text of our own",
    "command": "the same",
    "entry": "matches links._NAME",
    "consumer.index": "matches checks._INDEX_NAME",
    "key": "a variable of ours",
    "commands": "what Curl writes, which quotes",
    "removal": "the same",
    "lease.end": "a time",
    "_LONGER * within": "a number",
    "consumer.context": "matches checks._CATALOG_NAME",
    "consumer.name": "the same",
    "when": "a time",
    "failure.retry_after": "a number",
    "nodes": "a number",
    "url": "a name of a setting",
    "files.section": "the same",
    "section": "the same",
    "setting": "the same",
    "reply.setting": "the same",
    "remedy": "a text of our own",
    "part": "an option of openssl",
    "self.setting": "the same",
    "address.base": "matches catalog._ADDRESS",
    "settings": "the same",
    "_EXPECTED[setting]": "a text of our own",
    "curl.user": "a name that is quoted there, or words of our own",
    "rights": "matches refusals._MISSING_RIGHTS, or words of our own",
}
"""What may stand in a hint as it is, by how its expression begins."""

QUOTED: Final = re.compile(r"(quoted)\(|quoted_\w+$|[\w.]*\bcurl(\._replace\(.*\))?\.(get|change)\(")


class Hint(NamedTuple):
    """An expression that is a hint, or becomes one. `function`: the qualified name, without the module."""

    place: str
    function: str
    expression: ast.expr


def hints() -> Iterator[Hint]:
    """All of them, in the order of the lines."""
    for file in sorted(SOURCES.rglob("*.py")):
        in_file = [
            Hint(f"{file.relative_to(SOURCES)}:{expression.lineno}", function, expression)
            for function, node in with_functions(ast.parse(file.read_text()))
            for expression in hints_in(node)
        ]
        yield from sorted(in_file, key=lambda hint: (hint.expression.lineno, hint.expression.col_offset))


def with_functions(node: ast.AST, function: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Each node below this one, with the qualified name of the function that it is in."""
    for child in ast.iter_child_nodes(node):
        inner = function
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inner = f"{function}.{child.name}".lstrip(".")
        yield inner, child
        yield from with_functions(child, inner)


def hints_in(node: ast.AST) -> list[ast.expr]:
    match node:
        case ast.Call():
            at = PLACE_OF_HINT.get(ast.unparse(node.func), len(node.args))
            return [each.value for each in node.keywords if each.arg == "hint"] + node.args[at : at + 1]
        case ast.Assign(targets=[ast.Name("hint")]):
            return [node.value]
        case _:
            return []


COMMAND: Final = ("hints.command", "command")


def put_in(hint: ast.AST) -> Iterator[str]:
    """What an f-string in it has between braces, or a command that it names; what is quoted is looked at no
    further."""
    match hint:
        case ast.FormattedValue(value=ast.Call() as call) if ast.unparse(call.func) in COMMAND:
            yield from put_in(call)
        case ast.FormattedValue():
            yield ast.unparse(hint.value)
        case ast.Call() if ast.unparse(hint.func) in COMMAND:
            for each in hint.args:
                if isinstance(each, ast.Name | ast.Attribute):
                    yield ast.unparse(each)
                else:
                    yield from put_in(each)
        case ast.Call() if ast.unparse(hint.func) == "quoted":
            pass
        case _:
            for inner in ast.iter_child_nodes(hint):
                yield from put_in(inner)


def is_ours(expression: str) -> bool:
    return expression in OURS or QUOTED.match(expression) is not None


def test_what_is_put_into_a_hint_is_quoted_or_our_own() -> None:
    inserted = {f"{hint.place}: {each}" for hint in hints() for each in put_in(hint.expression)}
    assert sorted(each for each in inserted if not is_ours(each.partition(": ")[2])) == []


def test_hints_are_recognised() -> None:
    assert len(list(hints())) > 150
    assert sum("quoted(" in each for hint in hints() for each in put_in(hint.expression)) > 20
