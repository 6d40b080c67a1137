"""JSON: what scans it, what bears it and what reads it say the same as Python's own `json`."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from decimal import Decimal
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, Final

from ctisync.core import json_text
from ctisync.core.model import Json
from ctisync.feed.snapshot import parsers
from ctisync.feed.snapshot.parsers import MOST_DIGITS, bearable
from tests.fuzz.drawing import Drawn
from tests.fuzz.printed import harmless
from tests.fuzz.target import target

WORDS: Final = (
    *b"true false null NaN Infinity - 0. 1e5 1E-7 -0 18446744073709551616".split(),
    *b'\\" ": "'.split(),
    *b"\\\\ \\u \\ud83d \\udc1e \\u0000 \\/ [[ ]] {} },{".split(),
    *b"\xc3\xa9 \xef\xbb\xbf \xf0\x9f\x90\x9e 1e9999999999999999999 \x7f // /*".split(),
    b"\xed\xa0\x80",
)

TEXTS: Final = (
    b'{"a":[1,{"b":"\\"]}\\\\"},[],{}],"c":-1.50e+3}',
    b'["\\ud83d\\udc1e","\\\\ud83d","\xf0\x9f\x90\x9e",null,true,false,0,-0,1E5]',
    b'{"data":{"last_offset":3}}',
    b" [ ] ",
    b'"text"',
)

RUN_LENGTH: Final = 1079
"""The byte 0xFF, which no UTF-8 holds, stands for so many of the one before it: few bytes make long runs."""


class NoJson(ValueError):
    """Python does not read it either."""


def expanded(data: bytes) -> bytes:
    return re.sub(rb"(?s)([^\xff])(\xff+)", lambda match: match[1] * RUN_LENGTH * min(len(match[2]), 6), data)


def in_chunks(cuts: bytes, text: bytes) -> list[bytes]:
    """The text in pieces whose lengths the cuts are."""
    ends = [0, *accumulate(cuts), len(text)]
    return [text[start:end] for start, end in pairwise(sorted(min(each, len(text)) for each in ends))]


def by_python(text: bytes) -> Json:
    """Raises NoJson for whatever RFC 8259 does not know. Integers are exact, fractions are Decimal."""

    def refused(word: str) -> None:
        raise NoJson(word)

    try:
        return json.loads(text.decode(), parse_float=_number, parse_constant=refused)
    except (ValueError, RecursionError) as error:
        raise NoJson(str(error)) from None


def _number(text: str) -> Decimal | str:
    """Its own text, when its exponent is beyond what Decimal takes."""
    try:
        return Decimal(text)
    except ArithmeticError:
        return text


def alike(one: Any, other: Any) -> bool:
    """The same value, with the same type: 1 is not 1.0, nor true."""
    if type(one) is not type(other):
        return isinstance(one, int | Decimal) and isinstance(other, int | Decimal) and one == other
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other)


def texts_of(value: Json) -> Iterator[str]:
    """All strings, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from texts_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts_of(each)


def has_half(value: Json) -> bool:
    return any("\ud800" <= char <= "\udfff" for text in texts_of(value) for char in text)


def whole(text: bytes) -> bool:
    """Whether no character is escaped by half; undecided (False) when Python does not read it."""
    with suppress(NoJson):
        return not has_half(by_python(text))
    return False


@target(seeds=[cuts + text for text in TEXTS for cuts in (b"\0", b"\5\7\1\2\3\4")], tokens=WORDS)
def scans(data: bytes) -> None:
    """Depth and number of values are those that Python's own parser finds, however the text is cut in pieces;
    the quick look at a whole text says the same."""
    drawn = Drawn(data)
    cuts, text = drawn.take(drawn.number(6)), drawn.rest()
    chunked = json_text.Scan(10**9, 10**9)
    for chunk in in_chunks(cuts, text):
        chunked.take(chunk)
    at_once = json_text.Scan(10**9, 10**9)
    at_once.take(text)
    assert (chunked.values, chunked.size) == (at_once.values, at_once.size), "it depends on the cuts"
    try:
        by_python(text)
        read = json.loads(text, object_pairs_hook=lambda pairs: [_Pair(value) for _, value in pairs] or {})
    except (NoJson, ValueError, RecursionError):
        return
    depth, values = _depth_and_values(read)
    assert chunked.values == values, f"{chunked.values} values counted, there are {values}"
    for most_depth in {max(depth - 1, 0), depth, depth + 1}:
        for most_values in {max(values - 1, 0), values, len(text)}:
            whole = _exceeded(partial(json_text.check, text, most_depth, most_values))
            scan = json_text.Scan(most_depth, most_values)
            in_pieces = _exceeded(partial(_all_of, scan.checked(iter(in_chunks(cuts, text)))))
            wrong = depth > most_depth or values > most_values
            assert whole == in_pieces == wrong, (
                f"{depth} deep, {values} values, {most_depth} and {most_values} allowed: {whole}, {in_pieces}"
            )


class _Pair:
    """One member of an object."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _depth_and_values(value: Any) -> tuple[int, int]:
    """How deep, and how many values, as `Scan` counts: an empty container is two. An object is a list of
    pairs, so that a key that comes twice counts twice."""
    if isinstance(value, _Pair):
        return _depth_and_values(value.value)
    if not isinstance(value, dict | list):
        return 0, 1
    parts = [_depth_and_values(each) for each in value]
    return 1 + max((depth for depth, _ in parts), default=0), 1 + max(1, sum(values for _, values in parts))


def _all_of(chunks: Iterator[bytes]) -> None:
    """Taken, and thrown away."""
    for _ in chunks:
        pass


def _exceeded(look: Callable[[], object]) -> bool:
    try:
        look()
    except json_text.Excess:
        return True
    return False


def _joined(pieces: Iterable[bytes]) -> bytes | None:
    """All that comes out; None: it is refused."""
    try:
        return b"".join(pieces)
    except parsers.NotJson:
        return None


@target(
    seeds=[
        *(b"\2\5\7" + text for text in TEXTS),
        b"\0[1\xff\xff\xff\xff]",
        *b'\0["1\xff\xff\xff\xff\xff"] \0{"1\xff\xff\xff\xff\xff":1\xff\xff\xff1,"":2}'.split(),
        b"\5\7\1\1\1\1[123\xff\xff\xff\xff,4.5\xff\xff\xff\xff]",
        *b'\0"\\ud83d" \1\4"\\udc1e" \3\1\1\1"\\ud83d\\ud83d\\udc1e" \0"\\\\ud83d\\uD83D\\uDC1E"'.split(),
    ],
    tokens=[*WORDS, b"1\xff\xff\xff\xff", b"\xff"],
)
def bearables(data: bytes) -> None:
    """A text passes unaltered, or is refused for a number of too many digits or for half a character. The
    cuts do not decide which of both, and for JSON it is as Python reads it."""
    drawn = Drawn(data)
    cuts, text = drawn.take(drawn.number(6)), expanded(drawn.rest())
    out = _joined(bearable(iter(in_chunks(cuts, text))))
    assert out == _joined(bearable(iter([text]))), "it depends on the cuts"
    assert out in (None, text)
    try:
        value = json.loads(
            text.decode(), parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_flat
        )
    except (ValueError, RecursionError):
        return
    outside = re.sub(rb'"(?:[^"\\]|\\.)*"', b'"', text, flags=re.DOTALL)
    longest = max(map(len, re.findall(rb"[0-9]+", outside)), default=0)
    assert (out is None) == (longest > MOST_DIGITS or has_half(value)), (
        f"{longest} digits, {'refused' if out is None else 'passed'}"
    )


def _halves_in(text: bytes) -> bool:
    """Also in what a later member of the same key hides."""
    by_python(text)
    return has_half(json.loads(text.decode(), object_pairs_hook=_flat))


def _flat(pairs: list[tuple[str, Json]]) -> list[Json]:
    return [each for pair in pairs for each in pair]


@target(
    seeds=[
        *(
            b"\0" + text
            for text in (*TEXTS, b'["\\ud83d"]', b'["1\xff\xff\xff\xff\xff",1\xff\xff\xff\xff\xff]')
        ),
        b"\3\1\2\3[" + b",".join(TEXTS) + b"]",
    ],
    tokens=[*WORDS, b"1\xff\xff\xff\xff"],
)
def streams(data: bytes) -> None:
    """Elements of an array are what Python reads; what Python does not read is never given out whole. What it
    reads is refused only for digits, exponents, halves and depth."""
    drawn = Drawn(data)
    cuts, text = drawn.take(drawn.number(6)), expanded(drawn.rest())
    if _exceeded(partial(json_text.check, text, 500, 1_000_000)) or re.search(rb"[\v\f]", text):
        return  # of control characters, ijson's library takes two more than JSON has for blanks
    elements = _streamed(parsers.elements, cuts, text)
    try:
        value = by_python(text)
    except NoJson as error:
        assert elements is None, f"elements {elements} of what is no JSON: {error}"
        return
    if elements is None:
        assert not is_usual(text, value), "refused, although there is nothing unusual in it"
        return
    if isinstance(value, list):
        assert alike(elements, value), f"{elements} of {value}"


def _streamed(read: Callable[[Iterator[bytes]], Iterator[Any]], cuts: bytes, text: bytes) -> list[Any] | None:
    try:
        return list(read(iter(in_chunks(cuts, text))))
    except parsers.NotJson as error:
        assert harmless(str(error)), str(error)
        return None


def is_usual(text: bytes, value: Json) -> bool:
    """Nothing that a reader may refuse although it is JSON. A half in what a later member hides counts."""
    return (
        not _halves_in(text)
        and not re.search(rb"[0-9]{%d}" % MOST_DIGITS, text)
        and not re.search(rb"[0-9][eE][-+]?[0-9]{6}", text)
    )
