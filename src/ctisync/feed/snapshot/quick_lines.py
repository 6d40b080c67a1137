"""The quick way from lines to records: simdjson, if it is installed, parses many lines at once.

It accepts no line that `core.wire.record` and the limits would refuse. It decides only on lines of the usual
form; the caller reads all others, and every line with an error, by `core.wire`.

The lines become one array, with a random word before and after each line:

    [[[…[0,"word",{"name":"CVE-1",…},"word",{"name":"CVE-2",…},"word",0]…]]]

The feed does not know the word. If every second value of the array is the word, each line is one value: a
line that is several values, that ends the array, or that opens what a later line closes, moves a word to
another place. The brackets around the array make a line that is deeper than `limits.json_depth` too deep for
simdjson, whose own limit cannot be set.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from ctisync.core.json_text import Excess, check_line
from ctisync.core.limits import Limits
from ctisync.core.model import MAX_OFFSET, Record
from ctisync.core.wire import wrong_name

Reader = Callable[[Sequence[bytes]], Sequence[Record | None]]
"""Returns the record of each line, or None for a line on which it does not decide."""

DEEPEST: Final = 1024
"""The number of nested containers that simdjson accepts. A reader tries it: a version may have another."""


def undecided(lines: Sequence[bytes]) -> Sequence[None]:
    """The reader of a platform without simdjson: it decides on no line."""
    return [None] * len(lines)


def reader(limits: Limits) -> Reader:
    """A reader for one thread."""
    try:
        simd = _Simd(limits)
    except ImportError:  # it has no wheel for this platform
        return undecided
    is_as_deep = simd.is_json(_nested(DEEPEST)) and not simd.is_json(_nested(DEEPEST + 1))
    return simd.records if is_as_deep else undecided


class _Simd:
    """A parser, and the fields that the last line had: nearly all lines have the same."""

    def __init__(self, limits: Limits) -> None:
        import simdjson

        self._parse = simdjson.Parser().parse
        self._object = simdjson.Object
        self._limits = limits
        self._fields: list[str] = []
        self._named_by: str | None = None
        self._word = os.urandom(16).hex()
        # The array is a level, and so is a line's own object.
        self._around = DEEPEST - 1 - (limits.json_depth + 1)
        self._begin, self._end = b"[" * (self._around + 1) + b"0", b"0" + b"]" * (self._around + 1)
        self._between = b',"%b",' % self._word.encode()

    def is_json(self, text: bytes) -> bool:
        try:
            self._parse(text)
        except _UNDECIDED:
            return False
        return True

    def records(self, lines: Sequence[bytes]) -> Sequence[Record | None]:
        usual = [line for line in lines if self._is_usual(line)]
        found = self._found(usual)
        if len(usual) == len(lines):
            return found
        following = iter(found)
        return [next(following) if self._is_usual(line) else None for line in lines]

    def _is_usual(self, line: bytes) -> bool:
        """Whether the line may be a record as it is: blanks around it would be no part of the record."""
        return line[:1] == b"{" and line[-1:] == b"}" and len(line) <= self._limits.line_bytes

    def _found(self, lines: Sequence[bytes]) -> Sequence[Record | None]:
        """All lines at once, or each by itself if simdjson does not decide on one of them."""
        found = self._together(lines)
        if found is not None:
            return found
        return [None] if len(lines) == 1 else [record for line in lines for record in self._found([line])]

    def _together(self, lines: Sequence[bytes]) -> Sequence[Record | None] | None:
        """None if simdjson does not accept the lines, or if not each is one value."""
        text = self._between.join((self._begin, *lines, self._end))
        try:
            array: Any = self._parse(text)
        except _UNDECIDED:
            return None
        for _ in range(self._around):  # simdjson's own way to go down needs a stack as deep
            array = array[0]
        values = list(array)
        if values[1::2] != [self._word] * (len(lines) + 1):
            return None
        return [self._record(*each) for each in zip(lines, values[2:-1:2], strict=True)]

    def _record(self, line: bytes, value: object) -> Record | None:
        assert isinstance(value, self._object)  # it begins with a brace
        if (fields := list(value)) != self._fields:
            self._fields, self._named_by = fields, _naming_field(fields)
        if self._named_by is None:
            return None
        try:
            if len(line) > self._limits.json_values:
                check_line(line, self._limits)
            payload, name, offset = value["payload"], value[self._named_by], value["offset"]
        except (KeyError, Excess):
            return None
        version = value.get("version")
        if type(name) is not str or wrong_name(name) or not (version is None or type(version) is int):
            return None
        if not isinstance(payload, self._object) or type(offset) is not int or not 0 <= offset <= MAX_OFFSET:
            return None
        return Record(name, offset, line)


def _nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def _naming_field(fields: list[str]) -> str | None:
    """The field with the name; None for lines to be read by `core.wire`: with two names, or a field twice, of
    which simdjson takes the first and msgspec the last."""
    if len(set(fields)) < len(fields) or {"name", "resource"} <= set(fields):
        return None
    return "resource" if "resource" in fields else "name"


_UNDECIDED: Final = (ValueError, RuntimeError)
"""simdjson raises these for what it cannot parse: errors, integers beyond 64 bits, numbers beyond doubles,
and nesting beyond its limit."""
