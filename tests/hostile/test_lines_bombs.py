"""T7: lines and elements without an end, without a bottom, or with more in them than memory holds.

What a pass takes grows with limits.line_bytes: on top of some 50 MiB four times as much for a line of
letters, six times with one character beyond U+FFFF in it, and then eleven times for an element of an array,
which is decoded.
"""

from itertools import chain, repeat
from typing import Final

import pytest

from tests.feed.crafted_zip import write_pieces
from tests.hostile.confined import Confined
from tests.hostile.lines import GOOD, array, ndjson, of

MIB: Final = 1 << 20
LINE_BYTES: Final = 8 * MIB
LIMITS: Final = {"CTISYNC_LIMITS__LINE_BYTES": str(LINE_BYTES), "CTISYNC_LIMITS__RATIO": "2000"}

OPEN: Final = b'{"name":"HOSTILE","offset":7,"payload":{"k":'

ENDLESS: Final = {
    "a string": (OPEN + b'"', b"x" * MIB, r"limits\.line_bytes"),
    "a string of escapes": (OPEN + b'"', rb"\n" * (MIB // 2), r"limits\.line_bytes"),
    "blanks": (b"", b" " * MIB, r"limits\.line_bytes"),
    "an integer": (OPEN, b"9" * MIB, r"limits\.line_bytes|a number has more than 4300 digits"),
    "lists within one another": (OPEN, b"[" * MIB, r"limits\.line_bytes|limits\.json_depth"),
    "lists beside one another": (
        OPEN + b"[[]",
        b",[]" * (MIB // 3),
        r"limits\.line_bytes|limits\.json_values",
    ),
    "keys": (OPEN + b'{"k":1', b',"k":1' * (MIB // 6), r"limits\.line_bytes|limits\.json_values"),
}


@pytest.mark.parametrize("form", ["lines", "array"])
@pytest.mark.parametrize("row", ENDLESS)
def test_what_has_no_end_is_refused_in_little_memory(confined: Confined, row: str, form: str) -> None:
    """200 MiB of it, in a ZIP of less than one."""
    begun, piece, words = ENDLESS[row]
    front = ndjson(GOOD) if form == "lines" else b"[" + b",".join(GOOD) + b","
    write_pieces(confined.snapshot, chain([front + begun], repeat(piece, 200)), crc=0)
    confined.assert_refused(words, **LIMITS)


LONGEST: Final = {
    "letters": (b"", b"x"),
    "letters and one character beyond U+FFFF": ("🐞".encode(), b"x"),
    "escapes": (b"", rb"\n"),
}


@pytest.mark.parametrize("form", ["lines", "array"])
@pytest.mark.parametrize("text", LONGEST)
def test_the_longest_that_is_allowed_is_loaded_in_little_memory(
    confined: Confined, text: str, form: str
) -> None:
    first, again = LONGEST[text]
    room = LINE_BYTES - len(of(b'{"k":"' + first + b'"}'))
    longest = of(b'{"k":"' + first + again * (room // len(again)) + b"x" * (room % len(again)) + b'"}')
    assert len(longest) == LINE_BYTES
    lines = [*GOOD[:9], longest]
    confined.snapshot.write_bytes(ndjson(lines) if form == "lines" else array(lines))
    confined.load(**LIMITS)
    assert confined.view()[-1] == ("HOSTILE", 7, longest)
