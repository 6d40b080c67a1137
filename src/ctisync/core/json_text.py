"""How deep a JSON text is and how many values it holds, found out before a parser has to bear them.

ijson ends the process at some 100,000 containers inside one another (a crash, no exception), which
100 kB are enough for. Values cost memory: an empty list has two bytes as text, and 64 in Python.
"""

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from ctisync.core.limits import Limits

_ESCAPED: Final = re.compile(rb"\\.", re.DOTALL)
_ALL_BUT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"{}[]")
_ALL_BUT_OPENING: Final = bytes(byte for byte in range(256) if byte not in b"{[")
_ALL_BUT_MARKS: Final = bytes(byte for byte in range(256) if byte not in b'{}[]"')

_PIECE: Final = 1 << 20
"""Bytes: a scan takes many times the memory of what it looks at."""


class Excess(Exception):
    """A text goes beyond what is allowed; `limit` is the setting that says so."""

    limit: ClassVar[str]


class TooDeep(Excess):
    """More containers stand inside one another than are allowed."""

    limit = "json_depth"


class TooMany(Excess):
    """There are more values than are allowed."""

    limit = "json_values"


class Scan:
    """Where a text that comes in chunks stands: how deep, how many values, within a string or not.

    `values` counts a key with its value, and an empty container as two; `size` is in bytes. Who reads
    many texts one after the other sets `values` back.
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
        """The chunks, each as long as it has not gone too far. Raises TooDeep, TooMany."""
        for chunk in chunks:
            self.take(chunk)
            yield chunk

    def take(self, chunk: bytes) -> None:
        """Raises TooDeep, TooMany."""
        self.size += len(chunk)
        text = self._backslash + chunk
        backslashes = len(text) - len(text.rstrip(b"\\"))
        self._backslash = b"\\" * (backslashes % 2)
        parts = _ESCAPED.sub(b"", text.removesuffix(self._backslash)).split(b'"')
        outside = b"".join(parts[1::2] if self._in_string else parts[::2])
        self._in_string ^= len(parts) % 2 == 0
        # Each value but the first follows a comma, or the bracket that it stands in.
        self.values += outside.count(b",") + outside.count(b"[") + outside.count(b"{")
        if self.values > self._most_values:
            raise TooMany
        for bracket in outside.translate(None, _ALL_BUT_BRACKETS):
            self._depth += 1 if bracket in b"{[" else -1
            if self._depth > self._most_depth:
                raise TooDeep


def check(text: bytes, most_depth: int, most_values: int) -> None:
    """A whole text. Raises TooDeep, TooMany.

    One that has few brackets and few bytes cannot go too far, which is quickly seen; of most others it is
    enough to look at their brackets.
    """
    few_values = len(text) <= most_values
    few_brackets = len(text.translate(None, _ALL_BUT_OPENING)) <= most_depth
    if few_values and (few_brackets or _is_shallow(text, most_depth)):
        return
    scan = Scan(most_depth, most_values)
    for start in range(0, len(text), _PIECE):
        scan.take(text[start : start + _PIECE])


def check_line(line: bytes, limits: Limits) -> None:
    """A record's line, within which its payload stands. Raises TooDeep, TooMany."""
    check(line, limits.json_depth + 1, limits.json_values)


def _is_shallow(text: bytes, most_depth: int) -> bool:
    """Whether the brackets are seen to be none too deep without counting each; False says nothing.

    What is innermost is taken away, at most two levels at a time, until nothing is left.
    """
    if b"\\" in text:
        text = text.replace(rb"\\", b"").replace(rb"\"", b"")
    marks = text.translate(None, _ALL_BUT_MARKS).replace(b'""', b"")
    brackets = b"".join(marks.split(b'"')[::2])
    effort = 16 * len(brackets)
    for _ in range(most_depth // 2):
        effort -= len(brackets)
        if effort < 0 or not brackets:
            break
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return not brackets
