"""Makes texts from outside (servers, files, indices, the environment) safe for terminals, logs and shells.

Escapes the characters that are not printable by `str.isprintable`: C0 and C1 controls, DEL, line and
paragraph separators, format characters (text direction, zero width, tags), lone surrogates, private and
unassigned characters, and all spaces but U+0020. Letters of all scripts stay.
"""

import codecs
import shlex
from collections.abc import Callable
from typing import Any, Final, NewType

import msgspec

ERRORS: Final = "ctisync.escaped"
"""The error handler for streams: writes characters that the encoding lacks as JSON escapes."""

Drawn = NewType("Drawn", str)
"""Tables with colours, in which each text is harmless."""

_MOST: Final = 4000
"""Characters of a message; longer ones are cut."""


def escape(text: str) -> str:
    """The text on one line, with escapes such as `\\u001b` and `\\U000e0041` for characters that are not
    printable. A tab becomes a space."""
    return text if text.isprintable() else _with(_escaped, text.replace("\t", " "))


def escape_lines(text: str) -> str:
    """The same for a text of several lines: line feeds and tabs stay."""
    return _in_each_line(text, _escaped)


def one_line(text: str, most: int = _MOST) -> str:
    """The same as `escape`, with single spaces for all white space, cut to `most` characters."""
    line = escape(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 3] + "..."


def escape_json(text: str) -> str:
    """JSON of one or several lines, with JSON's own escapes for the same characters: its values stay
    unchanged."""
    return _in_each_line(text, _in_utf16)


def to_json(value: Any) -> str:
    """The value as JSON, on one line. Lone surrogates, which JSON cannot contain, are escaped as text."""
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        encoded = msgspec.json.encode(_without_surrogates(msgspec.to_builtins(value)))
    return escape_json(encoded.decode())


def quoted(word: object) -> str:
    """A text or path as one word for a shell, so that a hint can be typed unchanged.

    Characters that are not printable become bytes in `$'...'` (POSIX.1-2024; bash, zsh, ksh).
    """
    text = str(word)
    if text.isprintable():
        return shlex.quote(text)
    plain = set(range(0x20, 0x7F)) - set(b"\\'")
    return "$'" + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in _octets(text)) + "'"


def _octets(text: str) -> bytes:
    """The bytes of a file name; characters that it cannot contain are escaped as text."""
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
            return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
        case list() | tuple():
            return [_without_surrogates(item) for item in value]
        case _:
            return value


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return _in_utf16(error.object[error.start : error.end]), error.end


_handler: Callable[[UnicodeError], tuple[str, int]] = _replaced
codecs.register_error(ERRORS, _handler)
