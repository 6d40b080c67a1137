"""Texts from outside (servers, files, indices, the environment) as terminals, logs and shells may have them.

What Python does not call printable is escaped: C0 and C1 controls, DEL, line and paragraph separators,
format characters (those that turn the direction of writing, that have no width, tags), lone surrogates,
private and unassigned characters, and spaces that are not the space. Letters of all scripts stay.
"""

import codecs
import shlex
from collections.abc import Callable
from typing import Any, Final, NewType

import msgspec

ERRORS: Final = "ctisync.escaped"
"""The error handler for streams: what their encoding lacks is written as JSON escapes it."""

Drawn = NewType("Drawn", str)
"""Tables in which colours are set, and each text is harmless."""

_MOST: Final = 4000
"""Characters of a message. Longer ones tell a person nothing more."""


def harmless(text: str) -> str:
    """The text on one line: `\\u001b`, `\\u202e`, `\\U000e0041` in the place of what is not printable."""
    return text if text.isprintable() else _with(_escaped, text.replace("\t", " "))


def lines(text: str) -> str:
    """The same of a text whose line ends and tabs are meant."""
    return _in_each_line(text, _escaped)


def one_line(text: str, most: int = _MOST) -> str:
    """The same with white space of any kind as single spaces, and cut after so many characters."""
    line = harmless(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 3] + "..."


def in_json(text: str) -> str:
    """The same of JSON, whose values stay what they are: JSON has escapes of its own."""
    return _in_each_line(text, _in_utf16)


def json_of(value: Any) -> str:
    """The value as JSON, on one line. Lone surrogates, which no JSON can hold, are told in words."""
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        encoded = msgspec.json.encode(_without_surrogates(msgspec.to_builtins(value)))
    return in_json(encoded.decode())


def quoted(word: object) -> str:
    """A text or a path as one word for a shell, so that a hint can be typed as it stands.

    What is not printable is written in `$'...'`, byte by byte (POSIX.1-2024; bash, zsh, ksh).
    """
    text = str(word)
    if text.isprintable():
        return shlex.quote(text)
    plain = set(range(0x20, 0x7F)) - set(b"\\'")
    return "$'" + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in _octets(text)) + "'"


def _octets(text: str) -> bytes:
    """As files are named; what no file can be named is told in words."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def _with(escape: Callable[[str], str], text: str) -> str:
    return "".join(char if char.isprintable() or char == "\t" else escape(char) for char in text)


def _in_each_line(text: str, escape: Callable[[str], str]) -> str:
    return "\n".join(line if line.isprintable() else _with(escape, line) for line in text.split("\n"))


def _escaped(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def _in_utf16(text: str) -> str:
    units = text.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _without_surrogates(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {_without_surrogates(key): _without_surrogates(held) for key, held in value.items()}
        case list() | tuple():
            return [_without_surrogates(held) for held in value]
        case _:
            return value


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return _in_utf16(error.object[error.start : error.end]), error.end


_handler: Callable[[UnicodeError], tuple[str, int]] = _replaced
codecs.register_error(ERRORS, _handler)
