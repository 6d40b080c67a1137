"""Secrets that are looked for: each one unlike all others, and known again however a program writes it."""

import base64
import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

_CODE: Final = 16
_FRAGMENT: Final = 8
"""Characters of a code that are a leak already: a secret may be cut, or broken by the end of a line."""

_TOKEN_ODD: Final = "+/=%2B\"'\\<&>~"
_PASSWORD_ODD: Final = " ü:\"'\\%41&<> \t  é "


class Canary(NamedTuple):
    """Two codes of small letters and digits, which no program escapes, and between them what programs do."""

    name: str
    text: str
    codes: tuple[str, str]


def _canary(name: str, odd: str) -> Canary:
    codes = (_code(f"{name} first"), _code(f"{name} second"))
    return Canary(name, odd.join(codes), codes)


def token(name: str) -> Canary:
    """What can stand in a header: printable ASCII without spaces."""
    return _canary(name, _TOKEN_ODD)


def password(name: str) -> Canary:
    """Any text."""
    return _canary(name, _PASSWORD_ODD)


def word(name: str) -> Canary:
    """What can stand anywhere in an address."""
    return _canary(name, "-")


def leaks_in(canaries: Iterable[Canary], content: bytes) -> list[str]:
    """The canaries that `content` gives away, whole or in part, each with how it is written there."""
    text = content.lower()
    return [
        f"{canary.name} ({how})"
        for canary in canaries
        for how in dict.fromkeys(how for how, needle in _needles(canary) if needle in text)
    ]


def _needles(canary: Canary) -> Iterator[tuple[str, bytes]]:
    """Escaping, quoting and encoding for addresses leave a code as it is; what does not, is told by name."""
    for code in canary.codes:
        for start in range(0, _CODE - _FRAGMENT + 1, 4):
            fragment = code[start : start + _FRAGMENT].encode()
            yield "as it is", fragment
            yield "in hexadecimal", fragment.hex().encode()
            yield "backwards", fragment[::-1]
            yield "in UTF-16", fragment.decode().encode("utf-16-le")
        for before in range(3):
            # Of the characters of BASE64 the first and last few depend on what stands beside the code.
            encoded = base64.b64encode(b"\0" * before + code.encode())[4:-4].lower()
            for start in range(0, len(encoded) - 9, 5):
                yield "in BASE64", encoded[start : start + 10]


def _code(seed: str) -> str:
    """Another one in each run of the tests, since they look at other processes, too."""
    digest = hashlib.sha256(f"{os.getpid()} {seed}".encode()).digest()
    return base64.b32encode(digest)[:_CODE].decode().lower()
