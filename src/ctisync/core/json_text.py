"""The nesting depth and the number of values of a JSON text, checked before it is parsed.

ijson crashes the process at about 100,000 nested containers, for which 100 kB are enough. Values cost
memory: an empty list has two bytes as text, and 64 in Python.
"""

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from ctisync.core.limits import MOST_DEPTH, Limits

_ESCAPED: Final = re.compile(rb"\\.", re.DOTALL)
_ESCAPED_MARK: Final = re.compile(rb'\\["\\]')
_ALL_BUT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"{}[]")
_ALL_BUT_OPENING: Final = bytes(byte for byte in range(256) if byte not in b"{[")
_ALL_BUT_MARKS: Final = bytes(byte for byte in range(256) if byte not in b'{}[]"')

DEEPEST: Final = MOST_DEPTH + 3
"""Nested containers that a decoder may meet: a payload is in its change, in `data`, in the reply."""

_PIECE: Final = 1 << 20
"""Bytes. A scan takes many times the memory of the scanned text."""


class Excess(Exception):
    """A text exceeds a limit. `limit`: the name of the setting in `[limits]`."""

    limit: ClassVar[str]


class TooDeep(Excess):
    """The containers are nested too deeply."""

    limit = "json_depth"


class TooMany(Excess):
    """There are too many values."""

    limit = "json_values"


class Scan:
    """Scans a text that comes in chunks, and counts its nesting depth and values.

    `values` counts a key and its value as one, and an empty container as two. `size` is in bytes. A caller
    that scans several texts resets `values`.
    """

    def __init__(self, most_depth: int, most_values: int) -> None:
        self.values = 1
        self.size = 0
        self._most_depth = most_depth
        self._most_values = most_values
        self._depth = 0
        self._in_string = False
        self._backslash = b""

    def checked(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The chunks, each after it was scanned. Raises TooDeep, TooMany."""
        for chunk in chunks:
            self.take(chunk)
            yield chunk

    def take(self, chunk: bytes) -> None:
        """Scan a chunk. Raises TooDeep, TooMany."""
        self.size += len(chunk)
        text = self._backslash + chunk
        backslashes = len(text) - len(text.rstrip(b"\\"))
        self._backslash = b"\\" * (backslashes % 2)
        parts = _ESCAPED.sub(b"", text.removesuffix(self._backslash)).split(b'"')
        outside = b"".join(parts[1::2] if self._in_string else parts[::2])
        self._in_string ^= len(parts) % 2 == 0
        # Each value except the first follows a comma or an opening bracket.
        self.values += outside.count(b",") + outside.count(b"[") + outside.count(b"{")
        if self.values > self._most_values:
            raise TooMany
        for bracket in outside.translate(None, _ALL_BUT_BRACKETS):
            self._depth += 1 if bracket in b"{[" else -1
            if self._depth > self._most_depth:
                raise TooDeep


def check(text: bytes, most_depth: int, most_values: int) -> None:
    """Check a whole text. Raises TooDeep, TooMany.

    A text with few brackets and few bytes cannot exceed the limits, which a quick count shows; for most other
    texts the brackets are enough.
    """
    few_values = len(text) <= most_values
    few_brackets = len(text.translate(None, _ALL_BUT_OPENING)) <= most_depth
    if few_values and (few_brackets or _is_shallow(text, most_depth)):
        return
    scan = Scan(most_depth, most_values)
    for start in range(0, len(text), _PIECE):
        scan.take(text[start : start + _PIECE])


def check_depth(text: bytes, most_depth: int = DEEPEST) -> None:
    """Check the nesting depth alone. Raises TooDeep.

    Decoders recurse, and how deep they may differs between versions of Python by a factor of a hundred.
    """
    check(text, most_depth, len(text) + 1)


def check_line(line: bytes, limits: Limits) -> None:
    """Check a record's line, which contains the payload. Raises TooDeep, TooMany."""
    check(line, limits.json_depth + 1, limits.json_values)


def _is_shallow(text: bytes, most_depth: int) -> bool:
    """Whether the brackets are nested within the limit, without counting each. False proves nothing.

    The innermost pairs are removed, at most two levels at a time, until nothing is left.
    """
    if b"\\" in text:
        text = _ESCAPED_MARK.sub(b"", text)
    marks = text.translate(None, _ALL_BUT_MARKS).replace(b'""', b"")
    brackets = b"".join(marks.split(b'"')[::2])
    effort = 16 * len(brackets)
    for _ in range(most_depth // 2):
        effort -= len(brackets)
        if effort < 0 or not brackets:
            break
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return not brackets
