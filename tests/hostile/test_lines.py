"""T7: hostile lines meet the whole program: within the lines of a ZIP, and within a JSON array.

A load looks at each line's UTF-8, structure, types and sizes, without decoding its payload. What it cannot
see so, `test_lines_seen_later` shows.
"""

import random
from collections import Counter
from collections.abc import Callable
from typing import Final

import pytest

from tests.feed.crafted_zip import MEMBER
from tests.hostile.assertions import Refused, assert_loaded, assert_refused, assert_refused_and_forgotten
from tests.hostile.in_use import InUse
from tests.hostile.lines import BOM, DEEPEST, GOOD, KEPT, PLACE, REFUSED, array, ndjson
from tests.support.feed_simulator import zipped
from tests.support.records import comparable, line

pytestmark = pytest.mark.usefixtures("lines_read_by")

WHAT: Final = "lines, each in a ZIP and in a JSON array"


@pytest.mark.parametrize("row", REFUSED)
def test_the_content_stays_byte_for_byte_when_among_the_lines_is(
    in_use: InUse, counts: Counter[str], row: str
) -> None:
    words, hostile = REFUSED[row]
    lines = [*GOOD[: PLACE - 1], hostile, *GOOD[PLACE:]]
    file = Refused(f"line {PLACE} of the snapshot.*{words}", zipped({MEMBER: ndjson(lines)}))
    where = rf"element {PLACE} of the snapshot|after the first \d+,|the JSON array of the snapshot is damaged"
    assert_refused(in_use, file, Refused(where, array(lines)))
    counts["refused"] += 1


UTF_16_32: Final = {
    name: ndjson([*GOOD]).decode().encode(name) for name in ("utf-16", "utf-16-le", "utf-32-be")
}

FILES: Final = {
    "an array that is cut": Refused("JSON array .*truncated", array([*GOOD])[:-1]),
    "an array without its first bracket": Refused("line 1 .*not JSON", array([*GOOD])[1:]),
    "an array with a comma too many": Refused("JSON array", array([*GOOD, b""])),
    "an array with a comma too few": Refused("JSON array", b"[" + GOOD[0] + b"\n" + GOOD[1] + b"]"),
    "an array behind an array": Refused("JSON array", array([*GOOD]) * 2),
    "an array behind which something stands": Refused("JSON array", array([*GOOD]) + b"x"),
    "an array closed by the wrong bracket": Refused("JSON array", array([*GOOD])[:-1] + b"}"),
    "an array of arrays": Refused("element 1 .*not an object", b"[" + array([*GOOD]) + b"]"),
    "an array of nothing": Refused("has no records", b"[ ]"),
    "an object over several lines": Refused(
        "line 1 .*not JSON", b'{\n"name":"x",\n"offset":1,"payload":{}}\n'
    ),
    "lines that end in carriage returns alone": Refused("line 1 .*not JSON", b"\r".join(GOOD)),
    **{f"lines in {name}": Refused("line 1 ", content) for name, content in UTF_16_32.items()},
}


@pytest.mark.parametrize("row", FILES)
def test_the_content_stays_byte_for_byte_when_the_whole_file_is(
    in_use: InUse, counts: Counter[str], row: str
) -> None:
    assert_refused_and_forgotten(in_use, FILES[row])
    counts["refused"] += 1


PACKINGS: Final[dict[str, Callable[[list[bytes]], bytes]]] = {
    "NDJSON": ndjson,
    "a ZIP of NDJSON": lambda lines: zipped({MEMBER: ndjson(lines)}),
    "NDJSON without a last newline": lambda lines: ndjson(lines)[:-1],
    "NDJSON with CRLF": lambda lines: b"".join(each + b"\r\n" for each in lines),
    "NDJSON with blank lines": lambda lines: b"\n \n" + b"\n\n\t\r\n".join(lines) + b"\n\n",
    "NDJSON with blanks around each line": lambda lines: b"".join(b"\t " + each + b" \n" for each in lines),
    "NDJSON with a byte order mark": lambda lines: BOM + ndjson(lines),
}


@pytest.mark.parametrize("packing", PACKINGS)
def test_lines_that_careless_programs_alter_are_kept_to_the_byte_in(
    in_use: InUse, counts: Counter[str], packing: str
) -> None:
    lines = [*KEPT, DEEPEST]
    assert_loaded(in_use, PACKINGS[packing](lines), lines)
    counts["loaded"] += 1


ARRAYS: Final[dict[str, Callable[[list[bytes]], bytes]]] = {
    "an array": array,
    "an array with a byte order mark and blanks": lambda lines: BOM + b" \n" + array(lines) + b"\r\n ",
    "a ZIP of an array": lambda lines: zipped({MEMBER: array(lines)}),
}


@pytest.mark.parametrize("packing", ARRAYS)
def test_lines_that_careless_programs_alter_are_kept_value_for_value_in(
    in_use: InUse, counts: Counter[str], packing: str
) -> None:
    """An element is decoded, and written anew as a line."""
    assert_loaded(in_use, ARRAYS[packing]([*KEPT]), KEPT, same=comparable)
    counts["loaded"] += 1


def test_of_lines_of_one_name_the_one_of_the_highest_offset_is_kept_in_whatever_order_they_come(
    in_use: InUse, counts: Counter[str]
) -> None:
    chance = random.Random(5)
    lines = [line(f"CVE-{name}", offset, {"n": offset}) for name in range(30) for offset in range(1, 6)]
    for _ in range(2):
        chance.shuffle(lines)
        highest = [line(f"CVE-{name}", 5, {"n": 5}) for name in range(30)]
        assert_loaded(in_use, zipped({MEMBER: ndjson(lines)}), highest)
    counts["loaded"] += 1
