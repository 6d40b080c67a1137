"""How many containers stand inside one another, found out before a parser has to bear them.

ijson ends the process at some 100,000 of them (a crash, no exception), which 100 kB are enough for.
"""

import re
from collections.abc import Iterator
from typing import Final

_ESCAPED: Final = re.compile(rb"\\.", re.DOTALL)
_ALL_BUT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"{}[]")


class TooDeep(Exception):
    """There are more of them than allowed."""


def shallow(chunks: Iterator[bytes], most: int) -> Iterator[bytes]:
    """The chunks of a JSON text, each as long as it is not too deep. Raises TooDeep."""
    scan = _Scan(most)
    for chunk in chunks:
        scan.take(chunk)
        yield chunk


def is_deeper(text: bytes, most: int) -> bool:
    """Whether a JSON text has more than `most` containers inside one another.

    It cannot have when it has no more brackets than that, which is quickly counted.
    """
    if text.count(b"{") + text.count(b"[") <= most:
        return False
    try:
        _Scan(most).take(text)
    except TooDeep:
        return True
    return False


class _Scan:
    """Where a text that comes in chunks stands: how deep, within a string or not, after a backslash."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._depth = 0
        self._in_string = False
        self._backslash = b""

    def take(self, chunk: bytes) -> None:
        text = self._backslash + chunk
        backslashes = len(text) - len(text.rstrip(b"\\"))
        self._backslash = b"\\" * (backslashes % 2)
        parts = _ESCAPED.sub(b"", text.removesuffix(self._backslash)).split(b'"')
        outside = parts[1::2] if self._in_string else parts[::2]
        self._in_string ^= len(parts) % 2 == 0
        for bracket in b"".join(outside).translate(None, _ALL_BUT_BRACKETS):
            self._depth += 1 if bracket in b"{[" else -1
            if self._depth > self._most:
                raise TooDeep
