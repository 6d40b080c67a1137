"""JSON that is decoded only where a patch leads.

An open container holds members that are still text, `msgspec.Raw`. They are decoded when they are reached;
the others are encoded again as the bytes that they are. Strings and integers of the levels that are opened at
once are encoded anew: an escaped slash becomes a slash.
"""

import re
from decimal import Decimal
from typing import Final

import msgspec
from msgspec import Raw

from ctisync.core import wire
from ctisync.core.model import Json

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
        return Decimal("-0") if bytes(view[:3]) == b"-0" else wire.decode_checked(text)
    signed = _MINUS_ZERO.search(view) is not None
    if len(view) < _LEAST and not signed:
        return wire.decode_checked(text)
    try:
        if view[0] != _OBJECT:
            return _array_decoder.decode(text)
        return _one_decoder.decode(text) if signed else _opened_object(text)
    except wire.UNDECODABLE as error:
        raise wire.CannotDecode(str(error)) from None


def _opened_object(text: bytes | Raw) -> Json:
    try:
        return _four_decoder.decode(text)
    except msgspec.ValidationError:
        return _one_decoder.decode(text)


def whole(value: Json) -> Json:
    """A value without members that are text. Raises CannotDecode."""
    return wire.decode(wire.encode(value)) if isinstance(value, dict | list | Raw) else value


def decode_members(container: Json) -> None:
    """Decode the members of an object or array that are text, in their places. Raises CannotDecode."""
    for key, item in container.items() if isinstance(container, dict) else enumerate(container):
        if type(item) is Raw:
            container[key] = opened(item)
