"""How deep a JSON text is and how many values it has, wherever it is cut, whatever its strings hold."""

import json
import random
from typing import Any

import pytest

from ctisync.core.json_text import Excess, Scan, TooDeep, TooMany, check, check_line, decode, encodes_to
from ctisync.core.limits import MOST_DEPTH, USUAL_LIMITS, Limits

TEXTS = ['a"b', "\\", "[[[", '}]"{\\"', "é\\\\", '\\"', "\\\\\\", "", ",,,"]
ANY = 1 << 40


def _made_up(chance: random.Random, levels: int) -> tuple[Any, int, int]:
    """A value, how many containers stand inside one another in it, and how many values it is."""
    kind = chance.random()
    if levels == 0 or kind < 0.2:
        return chance.choice(TEXTS), 0, 1
    inner = [_made_up(chance, levels - 1) for _ in range(chance.randint(0, 3))]
    depth = 1 + max((depth for _, depth, _ in inner), default=0)
    count = 1 + sum(count for _, _, count in inner) + (not inner)
    if kind < 0.6:
        return [value for value, _, _ in inner], depth, count
    members = {f"{chance.choice(TEXTS)}{number}": value for number, (value, _, _) in enumerate(inner)}
    return members, depth, count


def _in_pieces(chance: random.Random, text: bytes) -> list[bytes]:
    cuts = sorted(chance.sample(range(len(text)), min(len(text), chance.randint(0, 8))))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def test_depth_and_values_are_counted_however_the_text_is_cut() -> None:
    chance = random.Random(7)
    for _ in range(3000):
        value, depth, count = _made_up(chance, 6)
        text = json.dumps([value], ensure_ascii=False).encode()
        pieces = _in_pieces(chance, text)
        scan = Scan(depth + 1, count + 1)
        assert b"".join(scan.checked(iter(pieces))) == text
        assert (scan.values, scan.size) == (count + 1, len(text)), text
        check(text, depth + 1, count + 1)
        with pytest.raises(TooDeep):
            check(text, depth, ANY)
        with pytest.raises(TooDeep):
            list(Scan(depth, ANY).checked(iter(pieces)))
        with pytest.raises(TooMany):
            list(Scan(depth + 1, count).checked(iter(pieces)))


def test_values_are_counted_before_the_parser_has_the_piece_that_they_come_in() -> None:
    passed = Scan(ANY, 1000).checked(iter([b"[1,2,", b"3," * 1000]))
    assert next(passed) == b"[1,2,"
    with pytest.raises(TooMany):
        next(passed)


def test_a_text_of_few_bytes_is_not_scanned() -> None:
    """Which is what makes looking at each record of a snapshot cheap."""
    check(b"[,,,", 1, 4)  # no JSON: whoever looks through it counts five values in its four bytes


@pytest.mark.parametrize("last", [chr(code) for code in range(ord(" "), ord("~")) if chr(code) not in '"\\'])
def test_no_character_at_the_end_of_a_chunk_counts_as_an_escape(last: str) -> None:
    """Else the end of its string would be overlooked, and all brackets behind it."""
    with pytest.raises(TooDeep):
        list(Scan(2, ANY).checked(iter([f'["{last}'.encode(), b'",[[['])))


def test_what_is_no_json_makes_no_room_for_brackets() -> None:
    letters = bytes(code for code in range(256) if chr(code) not in '"\\{}[]')
    with pytest.raises(TooDeep):
        Scan(3, ANY).take(letters + b"[[[[")


def test_many_values_in_few_brackets_are_too_many() -> None:
    check(b"[" + b"0," * 20 + b"0]", 10, 30)
    with pytest.raises(TooMany):
        check(b"[" + b"0," * 40 + b"0]", 10, 30)


@pytest.mark.parametrize(("text", "setting"), [(b"[[7]]", "json_depth"), (b"[7,7,7]", "json_values")])
def test_a_text_that_goes_too_far_names_the_setting_that_lets_it(text: bytes, setting: str) -> None:
    with pytest.raises(Excess) as caught:
        check(text, 1, 3)
    assert caught.value.limit == setting
    assert hasattr(USUAL_LIMITS, setting)


NESTED = {
    "objects": (b'{"a":', b"}", 1),
    "arrays": (b"[", b"]", 1),
    "both in turn": (b'{"]":[', b"]}", 2),
    "beside others": (b'[{},[],"[",', b"]", 1),
    "behind escapes": (b'{"\\\\":1,"\\"[":', b"}", 1),
    "between escapes": (b'["\\\\",[', b'],"\\\\"]', 2),
    "closed in strings": (b'["]",', b',"["]', 1),
}


@pytest.mark.parametrize("kind", NESTED)
@pytest.mark.parametrize("broad", [0, 2000])
def test_the_depth_of_a_whole_text_is_counted_exactly_however_broad_it_is(kind: str, broad: int) -> None:
    """Few brackets are only counted; of many the innermost are taken away; else each is looked at."""
    opening, closing, levels = NESTED[kind]
    text = b"[" + b"[{}]," * broad + opening * 60 + b"{}" + closing * 60 + b"]"
    depth = 1 + 60 * levels + 1
    check(text, depth, ANY)
    with pytest.raises(TooDeep):
        check(text, depth - 1, ANY)


FLAT = rb"[\]"
"""No JSON: an exact look takes the second bracket for a part of an escape, and finds no end."""


def test_of_a_text_of_many_brackets_only_the_brackets_are_scanned() -> None:
    """Which is what makes looking at a record of thousands of brackets cheap."""
    strings = rb'{"":["\\",{"\"[":"{"}]}'
    check(FLAT * 50 + strings + b"[" * 20 + b"]" * 20, 49, ANY)
    check(b'"' + b"[" * 50 + b'"', 49, ANY)


def test_a_text_whose_brackets_are_deep_is_soon_scanned_exactly() -> None:
    """Taking away a few at a time would cost the square of their number."""
    with pytest.raises(TooDeep):
        check(FLAT * 301 + b"[" * 145 + b"]" * 145, 300, ANY)


@pytest.mark.parametrize(
    "text", [b"[" * 50, b"]" * 50 + b"[" * 50, b"[}" * 50, b'"' + b"[" * 90 + b'\\"' + b"[" * 50]
)
def test_what_is_no_json_is_no_way_past_the_limit(text: bytes) -> None:
    with pytest.raises(TooDeep):
        check(b"[" * 50 + b'""' + text, 49, ANY)


def test_a_payload_may_be_as_deep_as_the_setting_says_and_its_line_one_deeper() -> None:
    limits = Limits(json_depth=3, json_values=7)
    check_line(b'{"payload":{"a":{"b":{}}}}', limits)
    with pytest.raises(TooDeep):
        check_line(b'{"payload":{"a":{"b":{"c":{}}}}}', Limits(json_depth=3))
    with pytest.raises(TooMany):
        check_line(b'{"payload":{"a":[1,2,3,4,5]}}', limits)


def test_a_payload_as_deep_as_any_setting_allows_is_decoded_within_a_reply() -> None:
    payload = b"[" * MOST_DEPTH + b"]" * MOST_DEPTH
    value = decode(b'{"data":[{"payload":%b}]}' % payload)
    assert value["data"][0]["payload"] == decode(payload)


@pytest.mark.parametrize(
    ("text", "is_encoded"),
    [(b'{"a":[1,9.30]}', True), (b'{"a": 1}', False), (b'{"a":1,"a":2}', False), (b'{"a":"\\/"}', False)],
)
def test_a_text_counts_as_encoded_only_if_the_encoder_writes_every_byte_of_it(
    text: bytes, is_encoded: bool
) -> None:
    buffer = bytearray(b"the text before, which was longer than this one")
    assert encodes_to(decode(text), text, buffer) == is_encoded
