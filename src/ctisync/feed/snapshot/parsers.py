"""The two fast parsers, and what keeps them exact: simdjson for lines, ijson for an array.

simdjson, if it is installed, parses many lines at once. `reader` accepts no line that `core.wire.record` and
the limits would refuse. It decides only on lines of the usual form; the caller reads all others, and every
line with an error, by `core.wire`. The lines become one array, with a random word before and after each line:

    [[[…[0,"word",{"name":"CVE-1",…},"word",{"name":"CVE-2",…},"word",0]…]]]

The feed does not know the word. If every second value of the array is the word, each line is one value: a
line that is several values, that ends the array, or that opens what a later line closes, moves a word to
another place. The brackets around the array make a line that is deeper than `limits.json_depth` too deep for
simdjson, whose own limit cannot be set.

ijson parses an array as a stream, on its C library: integers exact, fractions as Decimal. The backend is
pinned: the others are slower and detect fewer errors, and an environment variable would choose between them.
Text that it cannot handle does not reach it: see `bearable`.
"""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

from ctisync.core.json_text import Excess, check_line
from ctisync.core.limits import Limits
from ctisync.core.model import MAX_OFFSET, Json, Record
from ctisync.core.wire import wrong_name
from ctisync.errors import ConfigurationError
from ctisync.ports import LineReader

MOST_DIGITS: Final = min(sys.get_int_max_str_digits() or 4300, 4300)

_PAIR: Final = rb"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONGEST_ESCAPE: Final = 12
_STRING: Final = rb'(?:[^"\\]++|\\(?:[^u]|u[^dD]|u[dD][0-7]|%b))*+' % _PAIR
_REST_OF_STRING: Final = re.compile(rb'%b("?)' % _STRING, re.DOTALL)
_BEARABLE: Final = re.compile(
    rb'(?:[^"0-9]++|"%b"|[0-9]{1,%d}+(?=[^0-9]))*+' % (_STRING, MOST_DIGITS), re.DOTALL
)


class NotJson(ValueError):
    """The stream is not the expected JSON text, or it ends too early."""


def elements(chunks: Iterator[bytes]) -> Iterator[Json]:
    """The elements of the outermost array, of a text that begins with one. Raises NotJson."""
    import ijson

    try:
        parser = ijson.get_backend("yajl2_c")
    except ImportError:
        raise ConfigurationError(
            "the installed ijson has no yajl2_c backend",
            hint="install its wheel: pip install --force-reinstall --only-binary ijson ijson",
        ) from None
    try:
        yield from parser.items(_File(chunks), "item")
    except ArithmeticError:
        raise NotJson("a number's exponent is out of range") from None
    # ValueError: errors of `_File`, and text that is no UTF-8.
    except (parser.common.JSONError, ValueError, RecursionError) as error:
        raise NotJson(" ".join(str(error).split())[:120]) from None


class _File:
    """The chunks as a file for ijson, which accepts more or fewer bytes than it requests."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        # The newline reveals a string without an end: a string cannot contain one.
        self._chunks = chain(bearable(chunks), (b"\n",))

    def read(self, size: int = -1) -> bytes:
        return b"" if size == 0 else next((chunk for chunk in self._chunks if chunk), b"")


def bearable(chunks: Iterator[bytes]) -> Iterator[bytes]:
    r"""The chunks of a JSON text. Raises NotJson before what ijson's C library cannot handle.

    An integer of more digits than Python converts, `MOST_DIGITS`, crashes the process there; digits in
    strings are text. A character above U+FFFF is escaped as a surrogate pair (`\ud83d\udc1e`): the library
    turns a single half into a question mark, and two first halves into another character.
    """
    rest = b""
    in_string = False
    for chunk in chunks:
        text = rest + chunk
        end = 0
        if in_string:
            end, in_string = _end_of_string(text, 0)
        if not in_string:
            plain = _BEARABLE.match(text, end)
            assert plain is not None  # it may be empty
            end = plain.end()
            if text[end : end + 1] == b'"':
                end, in_string = _end_of_string(text, end + 1)
        rest = text[end:]  # digits, or an escaped character, that may continue in the next chunk
        if in_string and len(rest) >= _LONGEST_ESCAPE:
            raise NotJson(_HALF)
        if not in_string and len(rest) > MOST_DIGITS:
            raise NotJson(f"a number has more than {MOST_DIGITS} digits")
        yield text[:end]
    if in_string and rest:
        raise NotJson(_HALF)
    yield rest


_HALF: Final = "a string has half a character"


def _end_of_string(text: bytes, start: int) -> tuple[int, bool]:
    """The end of the string in the text, and whether it continues in the next chunk."""
    rest = _REST_OF_STRING.match(text, start)
    assert rest is not None  # it may be empty
    return rest.end(), not rest[1]


DEEPEST: Final = 1024
"""The number of nested containers that simdjson accepts. A reader tries it: a version may have another."""


def undecided(lines: Sequence[bytes]) -> Sequence[None]:
    """The reader of a platform without simdjson: it decides on no line."""
    return [None] * len(lines)


def reader(limits: Limits) -> LineReader:
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
        self._name_field: str | None = None
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
        records = self._records_of(usual)
        if len(usual) == len(lines):
            return records
        following = iter(records)
        return [next(following) if self._is_usual(line) else None for line in lines]

    def _is_usual(self, line: bytes) -> bool:
        """Whether the line may be a record as it is: blanks around it would be no part of the record."""
        return line[:1] == b"{" and line[-1:] == b"}" and len(line) <= self._limits.line_bytes

    def _records_of(self, lines: Sequence[bytes]) -> Sequence[Record | None]:
        """All lines at once, or each by itself if simdjson does not decide on one of them."""
        records = self._together(lines)
        if records is not None:
            return records
        if len(lines) == 1:
            return [None]
        return [record for line in lines for record in self._records_of([line])]

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
            self._fields, self._name_field = fields, _naming_field(fields)
        if self._name_field is None:
            return None
        try:
            if len(line) > self._limits.json_values:
                check_line(line, self._limits)
            payload, name, offset = value["payload"], value[self._name_field], value["offset"]
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
