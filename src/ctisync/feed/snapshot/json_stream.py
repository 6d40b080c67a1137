"""A JSON array from a stream, by ijson on its C library: integers exact, fractions as Decimal.

The backend is pinned: the others are slower and detect fewer errors, and an environment variable would choose
between them. Text that it cannot handle does not reach it: see `bearable`, `paired`.
"""

import re
import sys
from collections.abc import Iterator
from itertools import chain
from types import ModuleType
from typing import Final

from ctisync.core.model import Json
from ctisync.errors import ConfigurationError

MOST_DIGITS: Final = min(sys.get_int_max_str_digits() or 4300, 4300)

_BEARABLE: Final = re.compile(
    rb'(?:[^"0-9]++|"(?:[^"\\]++|\\.)*+"|[0-9]{1,%d}+(?=[^0-9]))*+' % MOST_DIGITS, re.DOTALL
)
_REST_OF_STRING: Final = re.compile(rb'(?:[^"\\]++|\\.)*+("?)', re.DOTALL)

_PAIR: Final = rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_PAIRED: Final = re.compile(rb"(?:[^\\]++|\\[^u]|\\u[^dD]|\\u[dD][0-7]|" + _PAIR + rb")*+")
_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_PAIR_BYTES: Final = 12


class NotJson(ValueError):
    """The stream is not the expected JSON text, or it ends too early."""


def elements(chunks: Iterator[bytes]) -> Iterator[Json]:
    """The elements of the outermost array, of a text that begins with one. Raises NotJson."""
    parser = _parser()
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
        self._chunks = chain(paired(bearable(chunks)), (b"\n",))

    def read(self, size: int = -1) -> bytes:
        return b"" if size == 0 else next((chunk for chunk in self._chunks if chunk), b"")


def _parser() -> ModuleType:
    import ijson

    try:
        backend: ModuleType = ijson.get_backend("yajl2_c")
    except ImportError:
        raise ConfigurationError(
            "the installed ijson has no yajl2_c backend",
            hint="install its wheel: pip install --force-reinstall --only-binary ijson ijson",
        ) from None
    return backend


class TooManyDigits(ValueError):
    """A number has more digits than Python converts."""


def bearable(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks of a JSON text. Raises TooManyDigits before a number of more than `MOST_DIGITS` digits in a
    row; digits in strings are text.

    An integer of more digits than Python converts crashes the process in ijson's C library.
    """
    rest = b""
    in_string = False
    for chunk in chunks:
        text = rest + chunk
        end = 0
        if in_string:
            end, in_string = _end_of_string(text, 0)
        if not in_string:
            seen = _BEARABLE.match(text, end)
            assert seen is not None  # it may be empty
            end = seen.end()
            # The rest is a string that continues in the next chunk, or digits that may continue there.
            if text[end : end + 1] == b'"':
                end, in_string = _end_of_string(text, end + 1)
            elif len(text) - end > MOST_DIGITS:
                raise TooManyDigits(f"a number has more than {MOST_DIGITS} digits")
        rest = text[end:]
        yield text[:end]
    yield rest


def _end_of_string(text: bytes, start: int) -> tuple[int, bool]:
    """The end of the string in the text, and whether it continues in the next chunk."""
    rest = _REST_OF_STRING.match(text, start)
    assert rest is not None  # it may be empty
    return rest.end(), not rest[1]


class Unpaired(ValueError):
    """The text escapes only one half of a surrogate pair."""


def paired(chunks: Iterator[bytes]) -> Iterator[bytes]:
    r"""The chunks of a JSON text. Raises Unpaired before half a surrogate pair.

    A character above U+FFFF is escaped as a pair (`\ud83d\udc1e`). ijson's C library turns a single half
    into a question mark, and two first halves into a character that the text does not contain.
    """
    rest = b""
    for chunk in chunks:
        text = rest + chunk
        whole = _PAIRED.match(text)
        assert whole is not None  # it may be empty
        rest = text[whole.end() :]
        if len(rest) >= _PAIR_BYTES:  # else it may be a pair that continues in the next chunk
            raise _unpaired(rest)
        yield text[: whole.end()]
    if _HALF.match(rest):
        raise _unpaired(rest)
    yield rest


def _unpaired(rest: bytes) -> Unpaired:
    return Unpaired(f"{rest[:6].decode('ascii', 'replace')} is half a character")
