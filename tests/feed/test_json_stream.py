"""What the parser's C library alters, or dies of, does not reach it, wherever the text is cut."""

import json
import random
import tracemalloc
from collections.abc import Iterator

import pytest

from ctisync.core.model import OffsetRange
from ctisync.errors import ConfigurationError, FeedRefused
from ctisync.feed.snapshot import parsers
from ctisync.feed.snapshot.parsers import MOST_DIGITS, NotJson, bearable
from tests.feed.conftest import MakeFeed
from tests.support import feed_failures as failures
from tests.support.feed_simulator import FeedSimulator

WHOLE = [
    "a",
    "\\\\",
    '\\"',
    "\\n",
    "\\u0041",
    "\\u00e9",
    "\\ud83d\\udc1e",
    "\\uD83D\\uDC1E",
    "ed",
    "ud800",
    "9" * 30,
]
"""What a string may hold, escaped; `\\\\ud800` (a backslash, and text) among it."""

HALVES = ["\\ud83d", "\\udc1e", "\\uDBFF\\u0041", "\\ud83d\\ud83d", "\\udc1e\\ud83d"]


def _pieces(chance: random.Random, text: bytes) -> Iterator[bytes]:
    cuts = sorted(chance.choices(range(len(text) + 1), k=chance.randint(0, 12)))
    return (text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True))


def _text(chance: random.Random, parts: list[str]) -> bytes:
    chance.shuffle(parts)
    inner = "".join(parts)
    return f'[{{"{inner}": [12345, -0.5e10, "{inner}"]}}, "{inner}"]'.encode()


def test_good_text_goes_through_as_it_is_wherever_it_is_cut() -> None:
    chance = random.Random(21)
    for _ in range(3000):
        text = _text(chance, chance.choices(WHOLE, k=chance.randint(0, 8)))
        json.loads(text)
        assert b"".join(bearable(_pieces(chance, text))) == text


def test_half_a_character_never_goes_through_wherever_the_text_is_cut() -> None:
    chance = random.Random(22)
    for _ in range(3000):
        # Halves of two neighbours must not come to a whole.
        text = _text(
            chance,
            [*chance.choices([part for part in WHOLE if "\\ud8" not in part], k=4), chance.choice(HALVES)],
        )
        with pytest.raises(NotJson, match="half a character"):
            list(bearable(_pieces(chance, text)))


@pytest.mark.parametrize("beyond", [1, 1000, 1 << 20])
def test_more_digits_than_python_converts_never_go_through_wherever_the_text_is_cut(beyond: int) -> None:
    chance = random.Random(23)
    most, more = b"9" * MOST_DIGITS, b"9" * (MOST_DIGITS + beyond)
    for _ in range(100):
        good = b'{"a":' + most + b',"b":"' + more + b'\\"' + more + b'","c":[' + most + b"]}"
        assert b"".join(bearable(_pieces(chance, good))) == good
        for bad in (b'{"a":"x","b":' + more + b"}", b"[1," + more, more):
            with pytest.raises(NotJson, match="digits"):
                list(bearable(_pieces(chance, bad)))


@pytest.mark.parametrize("cut", [b'["', b'["a', b"[12", b"[", b"", b'["\\\\', b'["\\"', b'["a\\"b'])
def test_a_text_that_is_cut_off_goes_through_to_its_last_byte(cut: bytes) -> None:
    """That it is cut off, the parser says."""
    assert b"".join(bearable(iter([cut[:2], cut[2:]]))) == cut


@pytest.mark.parametrize(
    "piece",
    [b"\\n", b'\\"', b"\\\\", b"x", b"9", b'","', b"\\ud83d\\udc1e"],
    ids=lambda piece: piece.decode(),
)
def test_a_text_of_any_kind_goes_through_in_bounded_memory(piece: bytes) -> None:
    chunk = piece * ((1 << 20) // len(piece) - 1)
    tracemalloc.start()
    size = sum(len(each) for each in bearable(each for each in (b'["', *[chunk] * 16, b'"]')))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == 16 * len(chunk) + 4
    assert peak < 8 << 20


DEADLY_OR_ALTERED = {
    "an integer of 5,000 digits": b"9" * 5000,
    "half a character at the end of a string": rb'"\ud800"',
    "half a character before another one": rb'"\ud800\u0041"',
    "two first halves": rb'"\ud800\ud800"',
    "a second half alone": rb'"\udc00"',
    "half a character in a key": rb'{"\ud800":1}',
    "half a character in UTF-8": b'"\xed\xa0\x80"',
    "an exponent beyond every number": b"1e9999999999999999999",
    "not a number": b"NaN",
}


@pytest.mark.parametrize("value", DEADLY_OR_ALTERED.values(), ids=DEADLY_OR_ALTERED.keys())
def test_what_no_store_can_hold_is_no_json_in_an_array(value: bytes) -> None:
    with pytest.raises(parsers.NotJson):
        list(parsers.elements(iter([b'[{"a":' + value + b"}]"])))


@pytest.mark.parametrize("value", DEADLY_OR_ALTERED.values(), ids=DEADLY_OR_ALTERED.keys())
def test_a_change_that_no_store_can_hold_is_refused_and_not_altered(
    sim: FeedSimulator, make_feed: MakeFeed, value: bytes
) -> None:
    sim.history.create("CVE-2024-1")
    change = b'{"offset":1001,"type":"create","resource":"a","payload":{"v":' + value + b"}}"
    sim.fail("changes", failures.body(b'{"data":[' + change + b"]}"), times=None)
    with pytest.raises(FeedRefused, match="not JSON"):
        make_feed(retry_budget=0.0).changes(OffsetRange(1000, 1001))


@pytest.mark.parametrize("rest", [b'"', b' "and more', b'"\\"', b"7", b"tru", b"-"])
def test_a_text_with_something_begun_behind_its_end_is_no_json(rest: bytes) -> None:
    with pytest.raises(parsers.NotJson):
        list(parsers.elements(iter([b'[{"a":1}]', rest])))


def test_without_the_pinned_parser_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import ijson

    def missing(name: str) -> None:
        """Whatever the environment says: another one is not looked for."""
        assert name == "yajl2_c"
        raise ImportError

    monkeypatch.setenv("IJSON_BACKEND", "python")
    monkeypatch.setattr(ijson, "get_backend", missing)
    with pytest.raises(ConfigurationError, match="yajl2_c") as caught:
        list(parsers.elements(iter([b"[]"])))
    assert caught.value.hint is not None
    assert "pip install" in caught.value.hint
