"""JSON as text: checked before it is parsed, decoded, opened piece by piece, and encoded.

*Checked*: ijson crashes the process at about 100,000 nested containers, for which 100 kB are enough. Values
cost memory: an empty list has two bytes as text, and 64 in Python.

*Decoded*: numbers keep their value. Integers are exact at any size, fractions are `Decimal`.

*Opened*: an open container has members that are still text, `msgspec.Raw`. They are decoded when a patch
reaches them; the others are encoded again as the bytes that they are. Strings and integers of the levels that
are opened at once are encoded anew: an escaped slash becomes a slash.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import ClassVar, Final, TypeVar

import msgspec
from msgspec import Raw

from ctisync.core.limits import MOST_DEPTH, Limits
from ctisync.core.model import Json

T = TypeVar("T")

_decoder: Final = msgspec.json.Decoder(float_hook=Decimal)
_encoder: Final = msgspec.json.Encoder(decimal_format="number")

UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError, MemoryError)
"""What msgspec raises for a text that is not the expected JSON. ValueError: no UTF-8, or more digits than
Python converts."""

TOO_DEEP: Final = "it is nested too deeply"

_ESCAPED: Final = re.compile(rb"\\.", re.DOTALL)
_ESCAPED_MARK: Final = re.compile(rb'\\["\\]')
_ALL_BUT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"{}[]")
_ALL_BUT_OPENING: Final = bytes(byte for byte in range(256) if byte not in b"{[")
_ALL_BUT_MARKS: Final = bytes(byte for byte in range(256) if byte not in b'{}[]"')

DEEPEST: Final = MOST_DEPTH + 3
"""Nested containers that a decoder may meet: a payload is in its change, in `data`, in the reply."""

_PIECE: Final = 1 << 20
"""Bytes. A scan takes many times the memory of the scanned text."""


_LEAST: Final = 1024
"""Bytes. A shorter text is decoded as a whole."""

_OBJECT: Final = ord("{")

_DIGITS_AS_ZEROS: Final = bytes(ord("0") if byte in b"0123456789" else byte for byte in range(256))
_LONG: Final = b"0" * 17
"""As many digits have the shortest exponents that cannot be decoded; integers have thousands."""

_MINUS_ZERO: Final = re.compile(rb"-0(?=[,}\]\s])")
"""In a container. An integer would lose the sign."""

# Each opening scans the text, so objects in objects are opened at once: as deep as a CVE record's line, its
# payload, its containers and one of these. A fraction is no member: as a float, it may have another value.
_Member = list[Raw] | str | int | bool | None
_One = dict[str, Raw]
_Two = dict[str, _One | _Member]
_Three = dict[str, _Two | _Member]
_Four = dict[str, _Three | _Member]

_four_decoder: Final = msgspec.json.Decoder(_Four)
_one_decoder: Final = msgspec.json.Decoder(_One)
_array_decoder: Final = msgspec.json.Decoder(list[Raw])


class CannotDecode(ValueError):
    """A text is not JSON, or has a number out of range; the text of the error says which."""


class Excess(Exception):
    """A text exceeds a limit. `limit`: the name of the setting in `[limits]`."""

    limit: ClassVar[str]


class TooDeep(Excess):
    """The containers are nested too deeply."""

    limit = "json_depth"


class TooMany(Excess):
    """There are too many values."""

    limit = "json_values"


class Scan:
    """Scans a text that comes in chunks, and counts its nesting depth and values.

    `values` counts a key and its value as one, and an empty container as two. `size` is in bytes. A caller
    that scans several texts resets `values`.
    """

    def __init__(self, most_depth: int, most_values: int) -> None:
        self.values = 1
        self.size = 0
        self._most_depth = most_depth
        self._most_values = most_values
        self._depth = 0
        self._in_string = False
        self._backslash = b""

    def checked(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The chunks, each after it was scanned. Raises TooDeep, TooMany."""
        for chunk in chunks:
            self.take(chunk)
            yield chunk

    def take(self, chunk: bytes) -> None:
        """Scan a chunk. Raises TooDeep, TooMany."""
        self.size += len(chunk)
        text = self._backslash + chunk
        backslashes = len(text) - len(text.rstrip(b"\\"))
        self._backslash = b"\\" * (backslashes % 2)
        parts = _ESCAPED.sub(b"", text.removesuffix(self._backslash)).split(b'"')
        outside = b"".join(parts[1::2] if self._in_string else parts[::2])
        self._in_string ^= len(parts) % 2 == 0
        # Each value except the first follows a comma or an opening bracket.
        self.values += outside.count(b",") + outside.count(b"[") + outside.count(b"{")
        if self.values > self._most_values:
            raise TooMany
        for bracket in outside.translate(None, _ALL_BUT_BRACKETS):
            self._depth += 1 if bracket in b"{[" else -1
            if self._depth > self._most_depth:
                raise TooDeep


def check(text: bytes, most_depth: int, most_values: int) -> None:
    """Check a whole text. Raises TooDeep, TooMany.

    A text with few brackets and few bytes cannot exceed the limits, which a quick count shows; for most other
    texts the brackets are enough.
    """
    few_values = len(text) <= most_values
    few_brackets = len(text.translate(None, _ALL_BUT_OPENING)) <= most_depth
    if few_values and (few_brackets or _is_shallow(text, most_depth)):
        return
    scan = Scan(most_depth, most_values)
    for start in range(0, len(text), _PIECE):
        scan.take(text[start : start + _PIECE])


def check_depth(text: bytes, most_depth: int = DEEPEST) -> None:
    """Check the nesting depth alone. Raises TooDeep.

    Decoders recurse, and how deep they may differs between versions of Python by a factor of a hundred.
    """
    check(text, most_depth, len(text) + 1)


def check_line(line: bytes, limits: Limits) -> None:
    """Check a record's line, which contains the payload. Raises TooDeep, TooMany."""
    check(line, limits.json_depth + 1, limits.json_values)


def _is_shallow(text: bytes, most_depth: int) -> bool:
    """Whether the brackets are nested within the limit, without counting each. False proves nothing.

    The innermost pairs are removed, at most two levels at a time, until nothing is left.
    """
    if b"\\" in text:
        text = _ESCAPED_MARK.sub(b"", text)
    marks = text.translate(None, _ALL_BUT_MARKS).replace(b'""', b"")
    brackets = b"".join(marks.split(b'"')[::2])
    effort = 16 * len(brackets)
    for _ in range(most_depth // 2):
        effort -= len(brackets)
        if effort < 0 or not brackets:
            break
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return not brackets


def decode(data: bytes | Raw) -> Json:
    """The value of any JSON text. Raises CannotDecode, also if it is nested too deeply."""
    try:
        check_depth(bytes(data))
    except TooDeep:
        raise CannotDecode(TOO_DEEP) from None
    return decode_checked(data)


def decode_checked(data: bytes | Raw) -> Json:
    """The value of a JSON text whose depth was checked. Raises CannotDecode."""
    try:
        return _decoder.decode(data)
    except ArithmeticError:
        raise CannotDecode("a number's exponent is out of range") from None
    except UNDECODABLE as error:
        raise CannotDecode(str(error)) from None


def decode_as(text: object, decoder: msgspec.json.Decoder[T]) -> T:
    """JSON from a small file, a state or a variable, as a typed value. Raises one of `UNDECODABLE`."""
    if not isinstance(text, bytes | str):  # a column of SQLite can have values of all types
        raise CannotDecode("it is not a text")
    try:
        check_depth(text if isinstance(text, bytes) else text.encode())
    except TooDeep:
        raise CannotDecode(TOO_DEEP) from None
    return decoder.decode(text)


def encode(value: Json) -> bytes:
    """The JSON text of a decoded value: one line, UTF-8."""
    return _encoder.encode(value)


def encode_into(value: Json, buffer: bytearray) -> None:
    """Overwrite `buffer` with what `encode` returns."""
    _encoder.encode_into(value, buffer)


def encodes_to(value: Json, text: bytes, buffer: bytearray) -> bool:
    """Whether `encode` makes this very text of a decoded value. `buffer` is used again for each."""
    encode_into(value, buffer)
    return buffer == text


def may_be_opened(line: bytes) -> bool:
    """Whether what remains text can be decoded, and written back as it is.

    A number with many digits may not be decodable. A newline would end an item of a bulk.
    """
    return b"\n" not in line and _LONG not in line.translate(_DIGITS_AS_ZEROS)


def opened(text: bytes | Raw) -> Json:
    """The value of a JSON text; of a long object or array, a container with members that are still text.

    The depth of the text was checked. Raises CannotDecode, but not for what cannot be decoded in a member
    that remains text.
    """
    view = memoryview(text)
    if not view or view[0] not in b"{[":
        return Decimal("-0") if bytes(view[:3]) == b"-0" else decode_checked(text)
    signed = _MINUS_ZERO.search(view) is not None
    if len(view) < _LEAST and not signed:
        return decode_checked(text)
    try:
        if view[0] != _OBJECT:
            return _array_decoder.decode(text)
        return _one_decoder.decode(text) if signed else _opened_object(text)
    except UNDECODABLE as error:
        raise CannotDecode(str(error)) from None


def _opened_object(text: bytes | Raw) -> Json:
    try:
        return _four_decoder.decode(text)
    except msgspec.ValidationError:
        return _one_decoder.decode(text)


def duplicate_key(text: bytes) -> str | None:
    """A key that some object in a JSON text has twice. A decoder takes the last one."""
    duplicates: list[str] = []

    def check_keys(pairs: list[tuple[str, Json]]) -> None:
        if len(dict(pairs)) < len(pairs):
            duplicates.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)

    json.loads(text, object_pairs_hook=check_keys, parse_int=str, parse_float=str)
    return duplicates[0] if duplicates else None


def decode_members(container: Json) -> None:
    """Decode the members of an object or array that are text, in their places. Raises CannotDecode."""
    for key, item in container.items() if isinstance(container, dict) else enumerate(container):
        if type(item) is Raw:
            container[key] = opened(item)
