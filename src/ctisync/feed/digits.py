"""Numbers of a JSON text, refused before a parser meets one that it does not bear.

ijson's C library ends the process at an integer of more digits than Python converts (a crash, no exception).
"""

import re
import sys
from collections.abc import Iterator
from typing import Final

MOST_DIGITS: Final = min(sys.get_int_max_str_digits() or 4300, 4300)

_BEARABLE: Final = re.compile(
    rb'(?:[^"0-9]++|"(?:[^"\\]++|\\.)*+"|[0-9]{1,%d}+(?=[^0-9]))*+' % MOST_DIGITS, re.DOTALL
)
_REST_OF_STRING: Final = re.compile(rb'(?:[^"\\]++|\\.)*+("?)', re.DOTALL)


class TooManyDigits(ValueError):
    """A number is longer than any that means something."""


def bearable(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks of a JSON text, as far as their numbers have at most `MOST_DIGITS` digits in a row.

    Digits in strings are text. Raises TooManyDigits.
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
            # What is left is a string that goes on in the next chunk, or digits that may.
            if text[end : end + 1] == b'"':
                end, in_string = _end_of_string(text, end + 1)
            elif len(text) - end > MOST_DIGITS:
                raise TooManyDigits(f"a number has more than {MOST_DIGITS} digits")
        rest = text[end:]
        yield text[:end]
    yield rest


def _end_of_string(text: bytes, start: int) -> tuple[int, bool]:
    """Where what has come of a string ends, and whether it goes on."""
    rest = _REST_OF_STRING.match(text, start)
    assert rest is not None  # it may be empty
    return rest.end(), not rest[1]
