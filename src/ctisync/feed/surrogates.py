r"""Halves of characters in a JSON text, refused before a parser makes something else of them.

A character beyond U+FFFF is escaped as a pair (`\ud83d\udc1e`). Of a half without its other half ijson's C
library makes a question mark, and of two first halves a character that nobody meant.
"""

import re
from collections.abc import Iterator
from typing import Final

_PAIR: Final = rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_PAIRED: Final = re.compile(rb"(?:[^\\]++|\\[^u]|\\u[^dD]|\\u[dD][0-7]|" + _PAIR + rb")*+")
_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_PAIR_BYTES: Final = 12


class Unpaired(ValueError):
    """The text escapes one half of a character alone."""


def paired(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks of a JSON text, as far as they hold whole characters. Raises Unpaired."""
    rest = b""
    for chunk in chunks:
        text = rest + chunk
        whole = _PAIRED.match(text)
        assert whole is not None  # it may be empty
        rest = text[whole.end() :]
        if len(rest) >= _PAIR_BYTES:  # else it may be a pair that goes on in the next chunk
            raise _unpaired(rest)
        yield text[: whole.end()]
    if _HALF.match(rest):
        raise _unpaired(rest)
    yield rest


def _unpaired(rest: bytes) -> Unpaired:
    return Unpaired(f"{rest[:6].decode('ascii', 'replace')} is half a character")
