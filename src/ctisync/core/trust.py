"""Whom the reader of a mirror trusts: whose signature a manifest must have, and how old it may be.

The serials are remembered for each key. So a thief of a key who signs a huge serial locks no other key out:
once the key is dropped, the next one begins anew.
"""

import binascii
from base64 import b64decode
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from ctisync.core.health import CLOCKS_APART
from ctisync.core.model import Mirrored
from ctisync.errors import FeedRefused

_KIND: Final = b"Ed"
_KEY_BYTES: Final = 2 + 8 + 32
"""Of a public key: its kind, its ID, and the key itself."""


class Untrusted(FeedRefused):
    """The manifest of a mirror is not to be used; the text says why of "it"."""

    def __init__(self, text: str, hint: str) -> None:
        super().__init__(f"the manifest of the mirror is not trusted: {text}", hint=hint)


class Trust(NamedTuple):
    """`keys`: public keys, as minisign prints them, one of which must have signed a manifest; without any,
    signatures are not read. `max_age`: how old a manifest may be."""

    keys: tuple[str, ...] = ()
    max_age: timedelta | None = None


class KeySerial(msgspec.Struct, frozen=True):
    """The highest serial of a manifest that this key has signed."""

    key: str
    serial: int


Serials = tuple[KeySerial, ...]


def is_public_key(text: str) -> bool:
    """Whether minisign prints a public key so."""
    try:
        key = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(key) == _KEY_BYTES and key.startswith(_KIND)


def key_id(text: str | bytes) -> str:
    """The ID of a public key, or of the key of a signature (its second line), as minisign prints it."""
    return b64decode(text)[9:1:-1].hex().upper()


def serial_of(key: str, serials: Serials) -> int:
    """The highest serial of this key so far, 0 before the first."""
    return max((each.serial for each in serials if each.key == key), default=0)


def with_mirror(mirror: Mirrored | None, serials: Serials) -> Serials:
    """The serials, after an answer of this mirror, or of the feed itself."""
    if mirror is None or mirror.key is None:
        return serials
    highest = max(mirror.serial, serial_of(mirror.key, serials))
    return (*(each for each in serials if each.key != mirror.key), KeySerial(mirror.key, highest))


def check_serial(mirror: Mirrored | None, serials: Serials) -> None:
    """Raises Untrusted for a signed mirror that is older than one of the same key before."""
    if mirror is None or mirror.key is None:
        return
    if mirror.serial < (highest := serial_of(mirror.key, serials)):
        raise Untrusted(
            f"it is older (serial {mirror.serial}) than one that this host has had (serial {highest})",
            hint="copy the newest mirror; if its publisher has another clock now, sign with a new key",
        )


def check_age(made_at: datetime, trust: Trust, now: datetime) -> None:
    """Raises Untrusted for a manifest that is too old, or from the future; neither without a `max_age`."""
    if trust.max_age is None:
        return
    at = f"{made_at:%Y-%m-%dT%H:%M:%SZ}"
    if now - made_at > trust.max_age:
        raise Untrusted(
            f"it is of {at}, older than cti.max_manifest_age ({trust.max_age.total_seconds():.0f} s) allows",
            hint="on the publisher: ctisync mirror DIR; then copy the mirror again",
        )
    if made_at - now > CLOCKS_APART:
        raise Untrusted(f"it is of {at}, in the future", hint="compare the clocks of both hosts: date -u")
