"""simdjson and msgspec: a snapshot's lines are the same records whichever of the two reads them."""

import importlib.util

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ctisync.core import wire
from ctisync.core.json_text import Excess, check_line
from ctisync.core.limits import USUAL_LIMITS
from ctisync.core.model import Record
from ctisync.feed.snapshot import quick_lines
from tests.hostile import lines as hostile
from tests.support.records import awkward, line, made_up, sample_lines

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("simdjson") is None, reason="simdjson has no wheel for this platform"
)

GOOD = [*sample_lines(), *(each.line for each in (*awkward(), *made_up(20)))]
USUAL = [text for text in GOOD if b"123456789012345678901234567890" not in text]
ODD = [
    *GOOD,
    *(each.content for each in hostile.REFUSED.values()),
    *hostile.KEY_TWICE.values(),
    hostile.of(b"{}", name=b'"a\\ud83d\\udc1e"'),
    hostile.of(b'{"n":123456789012345678901234567890}'),
    hostile.of(b'{"n":1e999}'),
    hostile.of(b"{}", version=b"18446744073709551616"),
    hostile.of(b"{}", version=b"1.0"),
    b'{"name":"FIRST","offset":1,"payload":{},"name":"LAST"}',
    b'{"name":"X","offset":1,"payload":[],"payload":{}}',
    b'{"name":"X","offset":1,"payload":{},"payload":[]}',
    b'{"name":"X","offset":1,"offset":2,"payload":{}}',
    b'{"n\\u0061me":"X","offset":1,"payload":{}}',
    b'{"resource":"R","offset":1,"payload":{}}',
    b'{"resource":"R","name":"N","offset":1,"payload":{}}',
    b'{"resource":null,"name":"N","offset":1,"payload":{}}',
    b'{"resource":null,"offset":1,"payload":{}}',
    b'{"resource":"R","name":7,"offset":1,"payload":{}}',
    hostile.BOM + hostile.GOOD[0],
    hostile.GOOD[0] + b"\r",
    hostile.GOOD[0] + b"\0",
    b"",
    *(hostile.nested(depth) for depth in (499, 500, 501, 502, 1000, 1021, 1022, 1023, 1024)),
]


def _exactly(text: bytes) -> Record | None:
    """The record as `core.wire` reads it; None if it refuses the line."""
    try:
        record = wire.record(text)
        check_line(text, USUAL_LIMITS)
    except (wire.NotARecord, Excess):
        return None
    return record


@pytest.mark.parametrize("text", USUAL, ids=range(len(USUAL)))
def test_the_quick_reader_decides_on_a_usual_line(text: bytes) -> None:
    assert quick_lines.reader(USUAL_LIMITS)(text) == _exactly(text)


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_the_quick_reader_accepts_no_line_that_is_another_record_or_none(text: bytes) -> None:
    assert quick_lines.reader(USUAL_LIMITS)(text) in (None, _exactly(text))


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """A line of ours in which a few bytes are replaced, removed or put in."""
    text = bytearray(draw(st.sampled_from([each for each in ODD if len(each) < 3000])))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        removed = draw(st.integers(0, 2))
        text[at : at + removed] = draw(
            st.sampled_from(
                [b"", b'"', b"\\", b",", b"{", b"}", b"[", b"]", b"0", b"e9", b"\xff", b"\xed\xa0\x80"]
            )
            | st.binary(max_size=2)
        )
    return bytes(text)


@given(_damaged())
@example(b'{"name":"X","offset":1,"payload":{"x":"\xed\xa0\x80"}}')
def test_of_a_damaged_line_both_make_the_same_or_msgspec_decides(text: bytes) -> None:
    assert quick_lines.reader(USUAL_LIMITS)(text) in (None, _exactly(text))


def test_a_line_is_read_by_what_it_has_not_by_what_the_line_before_had() -> None:
    read = quick_lines.reader(USUAL_LIMITS)
    once = line("CVE-1", 1, {})
    other = b'{"resource":"R","offset":1,"payload":{}}'
    assert read(once) == _exactly(once)
    assert read(other) == _exactly(other)
    assert read(b'{"name":"A","name":"B","offset":1,"payload":{}}') is None
    assert read(b'{"offset":1,"payload":{}}') is None
    assert read(once) == _exactly(once)
