"""The small faults of each kind of code: what may stand there instead, and how that is told.

Comparisons and their bounds, conditions, `and` and `or`, `not`, arithmetic, numbers, words for programs,
elements of lists, keyword arguments, what is returned, yielded or caught; and statements that are left out.
"""

import ast
import copy
import re
from collections.abc import Iterator, Sequence
from functools import singledispatch
from typing import Any, Final, NamedTuple

_WORD: Final = re.compile(r"[\w.$*/=&?+-]+")

_SIGNS: Final[dict[type[ast.AST], str]] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.In: "in",
    ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not", ast.Add: "+", ast.Sub: "-", ast.Mult: "*",
    ast.FloorDiv: "//", ast.Div: "/", ast.LShift: "<<", ast.RShift: ">>", ast.Pow: "**", ast.And: "and",
    ast.Or: "or",
}  # fmt: skip
_OTHER_SIGN: Final[dict[type[ast.AST], type[ast.AST]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.Add: ast.Sub,
    ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.Pow: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
_BOUNDS: Final = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_OTHER_CALL: Final = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "sorted": "list",
    "reversed": "list",
}
_CALLS_THAT_CHANGE_LITTLE: Final = ("strip", "lower", "copy")


class Fault(NamedTuple):
    """What is altered, in words, and what then stands there."""

    change: str
    new: ast.AST


class Where(NamedTuple):
    """The function or class around a piece of code, and whether that decides which way to go."""

    scope: ast.AST
    is_test: bool


def faults(node: ast.AST, where: Where) -> Iterator[Fault]:
    """All that may stand in the place of this piece of code."""
    if where.is_test and not isinstance(node, ast.Constant):
        for value in (True, False):
            yield Fault(f"{_shown(node)} → {value}", ast.Constant(value))
    yield from _faults(node, where)


def is_text(node: ast.AST | None) -> bool:
    """Text for people: f-strings, and strings of more than one word."""
    match node:
        case ast.JoinedStr():
            return True
        case ast.Constant(value=str(text)):
            return not _WORD.fullmatch(text) and text != ""
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return is_text(left) or is_text(right)
    return False


@singledispatch
def _faults(node: ast.AST, where: Where) -> Iterator[Fault]:
    yield from ()


@_faults.register
def _of_comparison(node: ast.Compare, where: Where) -> Iterator[Fault]:
    for index, sign in enumerate(node.ops):
        # The opposite of a whole condition is caught by who catches that it is always so, and never.
        if not where.is_test or len(node.ops) > 1 or isinstance(sign, _BOUNDS):
            other = _OTHER_SIGN[type(sign)]()
            yield Fault(_swap(sign, other), _altered(node, ops=_with(node.ops, index, other)))


@_faults.register
def _of_and_or(node: ast.BoolOp, where: Where) -> Iterator[Fault]:
    other = _OTHER_SIGN[type(node.op)]()
    yield Fault(_swap(node.op, other), _altered(node, op=other))
    for index, operand in enumerate(node.values):
        rest = _without(node.values, index)
        yield Fault(f"without {_shown(operand)}", rest[0] if len(rest) == 1 else _altered(node, values=rest))


@_faults.register
def _of_unary(node: ast.UnaryOp, where: Where) -> Iterator[Fault]:
    if isinstance(node.op, ast.Not | ast.USub) and not where.is_test:
        yield Fault(f"{_shown(node)} → {_shown(node.operand)}", node.operand)


@_faults.register
def _of_arithmetic(node: ast.BinOp, where: Where) -> Iterator[Fault]:
    if type(node.op) in _OTHER_SIGN:
        other = _OTHER_SIGN[type(node.op)]()
        yield Fault(_swap(node.op, other), _altered(node, op=other))


@_faults.register
def _of_constant(node: ast.Constant, where: Where) -> Iterator[Fault]:
    if where.is_test:
        return
    others: list[bool | float | str | bytes] = []
    match node.value:
        case bool(truth):
            others = [not truth]
        case int(number):
            others = [number + 1, number - 1]
        case float(number):
            others = [number + 1]
        case str(word):
            others = [word + "x"]
        case bytes(word):
            others = [word + b"x"]
    for other in others:
        yield Fault(f"{node.value!r} → {other!r}", ast.Constant(other))


@_faults.register
def _of_call(node: ast.Call, where: Where) -> Iterator[Fault]:
    match node.func:
        case ast.Name(id=name) if name in _OTHER_CALL:
            other = ast.Name(_OTHER_CALL[name], ast.Load())
            keywords = [] if other.id == "list" else node.keywords
            yield Fault(f"{name} → {other.id}", _altered(node, func=other, keywords=keywords))
        case ast.Attribute(attr=name, value=value) if name in _CALLS_THAT_CHANGE_LITTLE:
            yield Fault(f"without .{name}()", value)
    for index, keyword in enumerate(node.keywords):
        if keyword.arg not in (None, "hint"):
            yield Fault(f"without {keyword.arg}=", _altered(node, keywords=_without(node.keywords, index)))


@_faults.register(ast.List)
@_faults.register(ast.Set)
def _of_elements(node: ast.List | ast.Set, where: Where) -> Iterator[Fault]:
    if len(node.elts) > 1:
        for index, element in enumerate(node.elts):
            yield Fault(f"without {_shown(element)}", _altered(node, elts=_without(node.elts, index)))


@_faults.register
def _of_members(node: ast.Dict, where: Where) -> Iterator[Fault]:
    if len(node.keys) > 1:
        for index, key in enumerate(node.keys):
            if key is not None:
                rest = _altered(node, keys=_without(node.keys, index), values=_without(node.values, index))
                yield Fault(f"without {_shown(key)}", rest)


@_faults.register
def _of_lambda(node: ast.Lambda, where: Where) -> Iterator[Fault]:
    if not isinstance(node.body, ast.Constant):
        yield Fault(f"{_shown(node.body)} → None", _altered(node, body=ast.Constant(None)))


@_faults.register
def _of_handler(node: ast.ExceptHandler, where: Where) -> Iterator[Fault]:
    if isinstance(node.type, ast.Tuple):
        for index, kind in enumerate(node.type.elts):
            rest = _altered(node.type, elts=_without(node.type.elts, index))
            yield Fault(f"without {_shown(kind)}", _altered(node, type=rest))


@_faults.register
def _of_match(node: ast.Match, where: Where) -> Iterator[Fault]:
    if len(node.cases) > 1:
        for index, case in enumerate(node.cases):
            rest = _altered(node, cases=_without(node.cases, index))
            yield Fault(f"without case {_shown(case.pattern)}", rest)


@_faults.register(ast.Raise)
@_faults.register(ast.Continue)
@_faults.register(ast.Break)
@_faults.register(ast.Delete)
def _of_step(node: ast.stmt, where: Where) -> Iterator[Fault]:
    yield Fault("left out", ast.Pass())


@_faults.register
def _of_expression(node: ast.Expr, where: Where) -> Iterator[Fault]:
    if isinstance(node.value, ast.Yield | ast.YieldFrom):
        # Nothing comes, and the function still is a generator.
        yield Fault("left out", _altered(node, value=ast.YieldFrom(ast.Tuple([], ast.Load()))))
    else:
        yield Fault("left out", ast.Pass())


@_faults.register
def _of_return(node: ast.Return, where: Where) -> Iterator[Fault]:
    if node.value is None:
        yield Fault("left out", ast.Pass())
    elif not (isinstance(node.value, ast.Constant) and node.value.value is None):
        yield Fault(f"{_shown(node)} → return None", _altered(node, value=ast.Constant(None)))


@_faults.register
def _of_assignment(node: ast.Assign, where: Where) -> Iterator[Fault]:
    if all(_has_a_value_anyway(target, where.scope) for target in node.targets) and not is_text(node.value):
        yield Fault("left out", ast.Pass())


@_faults.register
def _of_calculation(node: ast.AugAssign, where: Where) -> Iterator[Fault]:
    if is_text(node.value):
        return
    yield Fault("left out", ast.Pass())
    if type(node.op) in _OTHER_SIGN:
        other = _OTHER_SIGN[type(node.op)]()
        yield Fault(f"{_SIGNS[type(node.op)]}= → {_SIGNS[type(other)]}=", _altered(node, op=other))


def _has_a_value_anyway(target: ast.expr, scope: ast.AST) -> bool:
    """Whether what is assigned to has one without this assignment; else leaving it out proves nothing."""
    if isinstance(target, ast.Attribute | ast.Subscript):
        return not (isinstance(scope, ast.FunctionDef) and scope.name == "__init__")
    parameters = {each.arg for each in ast.walk(scope) if isinstance(each, ast.arg)}
    stored = [
        each.id for each in ast.walk(scope) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    ]
    names = [each.id for each in ast.walk(target) if isinstance(each, ast.Name)]
    return all(name in parameters or stored.count(name) > 1 for name in names)


def _swap(old: ast.AST, new: ast.AST) -> str:
    return f"{_SIGNS[type(old)]} → {_SIGNS[type(new)]}"


def _altered(node: ast.AST, **fields: object) -> Any:
    new = copy.copy(node)
    for field, value in fields.items():
        setattr(new, field, value)
    return new


def _with(values: Sequence[Any], index: int, new: Any) -> list[Any]:
    return [*values[:index], new, *values[index + 1 :]]


def _without(values: Sequence[Any], index: int) -> list[Any]:
    return [*values[:index], *values[index + 1 :]]


def _shown(node: ast.AST, most: int = 50) -> str:
    text = ast.unparse(node)
    return text if len(text) <= most else text[:most] + "…"
