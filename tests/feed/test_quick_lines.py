"""simdjson and msgspec: a snapshot's lines are the same records whichever of the two reads them."""

import importlib.util
import os
import sys
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ctisync.core import wire
from ctisync.core.json_text import Excess, check_line
from ctisync.core.limits import USUAL_LIMITS
from ctisync.core.model import MAX_OFFSET, Record
from ctisync.feed.snapshot import parsers
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


def _read(*texts: bytes) -> Sequence[Record | None]:
    return parsers.reader(USUAL_LIMITS)(texts)


@pytest.mark.parametrize("text", USUAL, ids=range(len(USUAL)))
def test_the_quick_reader_decides_on_a_usual_line(text: bytes) -> None:
    assert _read(text) == [_exactly(text)]


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_the_quick_reader_accepts_no_line_that_is_another_record_or_none(text: bytes) -> None:
    assert _read(text)[0] in (None, _exactly(text))


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
    assert _read(text)[0] in (None, _exactly(text))


_START = b'{"name":"X","offset":1,"payload":{"list":[{}'
_END = b'{"more":[]}]}}'
_TWO = hostile.GOOD[0] + b"," + hostile.GOOD[1]
NEIGHBOURS = {
    "a line that the next one ends": [_START, _END],
    "such a pair, and a line of three that makes up for it": [_START, _END, _TWO + b"," + hostile.GOOD[2]],
    "a line of two": [_TWO, hostile.GOOD[2]],
    "a line that ends the array": [hostile.GOOD[0], hostile.GOOD[1] + b"],[{}"],
    "a line that ends it with as many values": [hostile.GOOD[0], hostile.GOOD[1] + b",1,1],[{}"],
    "one that ends it and all around it": [hostile.GOOD[0] + b"]" * 523 + b"," + b"[" * 523 + b"{}"],
    "one that ends some around it": [hostile.GOOD[0], hostile.GOOD[1] + b"]]],[[[{}", hostile.GOOD[2]],
    "half a character, whose other half is in the next": [b'{"name":"\xc3"}', b'{\xa9":"X"}'],
    "a string that the next one ends": [b'{"name":"}', b'{","offset":1,"payload":{}}'],
    "nothing but braces": [b"{}", b"{", b"}", b"{}"],
}


@pytest.mark.parametrize("texts", NEIGHBOURS.values(), ids=NEIGHBOURS)
def test_no_line_is_read_by_what_stands_beside_it(texts: Sequence[bytes]) -> None:
    assert _read(*texts) == [record for text in texts for record in _read(text)]
    assert all(record in (None, _exactly(text)) for text, record in zip(texts, _read(*texts), strict=True))


@st.composite
def _neighbours(draw: st.DrawFn) -> list[bytes]:
    """Lines, damaged ones, and what remains of lines that were cut or joined."""
    few = [each for each in ODD if len(each) < 3000]
    texts = draw(st.lists(st.sampled_from(few) | _damaged(), min_size=2, max_size=5))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(texts) - 1))
        if draw(st.booleans()):
            cut = draw(st.integers(0, len(texts[at])))
            texts[at : at + 1] = [texts[at][:cut] + b"}", b"{" + texts[at][cut:]]
        else:
            texts[at : at + 2] = [draw(st.sampled_from([b",", b"],[", b""])).join(texts[at : at + 2])]
    return texts


@given(_neighbours())
def test_lines_together_are_the_records_that_each_is_by_itself(texts: list[bytes]) -> None:
    together = _read(*texts)
    assert together == [record for text in texts for record in _read(text)]
    assert all(record in (None, _exactly(text)) for text, record in zip(texts, together, strict=True))


@pytest.mark.parametrize("depth", [1, 2, 500, 800])
def test_the_quick_reader_knows_the_depth_that_is_set(depth: int) -> None:
    read = parsers.reader(msgspec.structs.replace(USUAL_LIMITS, json_depth=depth))
    allowed, deeper = hostile.nested(depth), hostile.nested(depth + 1)
    assert read([allowed, deeper, allowed]) == [wire.record(allowed), None, wire.record(allowed)]
    assert read([deeper]) == [None]


def test_the_quick_reader_leaves_blanks_around_a_line_to_the_exact_one() -> None:
    text = hostile.GOOD[0]
    assert _read(b" " + text, text + b" ", text + b"\r", text) == [None, None, None, wire.record(text)]


def test_the_quick_reader_takes_each_offset_that_a_record_may_have() -> None:
    first, last, more = (hostile.of(offset=b"%d" % offset) for offset in (0, MAX_OFFSET, MAX_OFFSET + 1))
    assert _read(first, last, more) == [wire.record(first), wire.record(last), None]


def test_without_simdjson_the_quick_reader_decides_on_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simdjson", None)  # importing it fails
    assert _read(*hostile.GOOD[:2]) == [None, None]


def test_the_quick_reader_leaves_lines_that_are_too_long() -> None:
    text = hostile.GOOD[0]
    read = parsers.reader(msgspec.structs.replace(USUAL_LIMITS, line_bytes=len(text)))
    assert read([text[:-1] + b" }", text]) == [None, wire.record(text)]


def test_a_feed_cannot_know_the_word_between_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    words = []

    def urandom(size: int) -> bytes:
        words.append(random_bytes(size))
        return words[-1]

    random_bytes = os.urandom
    monkeypatch.setattr("os.urandom", urandom)
    for _ in range(2):
        parsers.reader(USUAL_LIMITS)
    assert len({word for word in words if len(word) >= 16}) == 2


def test_the_quick_reader_counts_the_values_of_a_line_that_may_have_too_many() -> None:
    read = parsers.reader(msgspec.structs.replace(USUAL_LIMITS, json_values=50))
    few, many = hostile.of(b'{"text":"%b"}' % (b"," * 60)), hostile.of(b'{"list":[%b1]}' % (b"1," * 60))
    assert read([few, many]) == [wire.record(few), None]


@pytest.mark.parametrize("deepest", [1023, 1025])
def test_without_a_depth_the_quick_reader_decides_on_nothing(
    monkeypatch: pytest.MonkeyPatch, deepest: int
) -> None:
    monkeypatch.setattr(parsers, "DEEPEST", deepest)
    assert _read(hostile.GOOD[0], hostile.GOOD[1]) == [None, None]


def test_a_line_is_read_by_what_it_has_not_by_what_the_line_before_had() -> None:
    once = line("CVE-1", 1, {})
    other = b'{"resource":"R","offset":1,"payload":{}}'
    two = b'{"name":"A","name":"B","offset":1,"payload":{}}'
    none = b'{"offset":1,"payload":{}}'
    assert _read(once, other, two, none, once) == [
        _exactly(once),
        _exactly(other),
        None,
        None,
        _exactly(once),
    ]
