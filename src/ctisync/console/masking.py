"""Masks secrets in texts of servers and libraries, in every spelling."""

import re
from collections.abc import Iterable
from functools import cached_property
from html.entities import codepoint2name
from typing import Final

_SHORTEST: Final = 4
"""Characters. A shorter secret would mask parts of ordinary words."""

_PIECE: Final = 8
"""Characters of a part that is masked even without the rest of the secret: messages may be cut."""


_BY_NUMBER: Final = (
    r"%(?:25)*[0-9a-f]{2}|\\+(?:[fv]|x[0-9a-f]{2}|u[0-9a-f]{4})|&(?:amp;)*#x?[0-9a-f]+;|[^\x00-\x7f]"
)


class Mask:
    """Replaces each secret by `***`, raw or escaped as in JSON, Python, addresses and HTML.

    An encrypted, compressed or encoded form is not recognised, unless it is passed as a secret, too.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = {secret for secret in secrets if len(secret) >= _SHORTEST}

    def __call__(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub("***", text)

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        """Made for the first line: most calls by cron print none."""
        longest_first = sorted(self._secrets, key=lambda secret: (-len(secret), secret))
        spelt = [list(map(_spelt, re.findall(r"\s+|\S", secret))) for secret in longest_first]
        whole = ["".join(characters) for characters in spelt]
        pieces = [
            "".join(characters[start : start + _PIECE])
            for characters in spelt
            for start in range(0, len(characters) - _PIECE + 1, _PIECE)
        ]
        cut = [f"(?:{'|'.join(pieces)})+"] if pieces else []
        return re.compile("|".join([*whole, *cut])) if whole else None


def _spelt(text: str) -> str:
    """A pattern for every spelling of a character or of a run of white space."""
    if text.isascii() and text.isalnum():
        return text
    if text[0].isspace():
        usual = r"\s|\+|%(?:25)*(?:20|09|0a|0d)|\\+[tnr]|&nbsp;"
        if set(text) <= set(" \t\n\r"):
            return f"(?i:{usual})+"
        # Another kind of space, by its number or its octets.
        return f"(?i:{usual}|{_BY_NUMBER})+"
    code, octets = ord(text), text.encode(errors="surrogatepass")
    spellings = [
        "".join(f"%(?:25)*{octet:02x}" for octet in octets),
        "".join(rf"\\+x{octet:02x}" for octet in octets),
        rf"\\+x{code:02x}",
        rf"\\+u0*{code:x}",
        f"&(?:amp;)*#(?:{code}|x{code:x});",
        f"&(?:amp;)*{codepoint2name.get(code, 'apos')};",
        r"\\*" + re.escape(text),
    ]
    if not text.isascii():  # escaped in UTF-16, or decoded with the wrong encoding
        spellings += [r"(?:\\+u[0-9a-f]{4}){2}", r"[^\x00-\x7f]{1,4}"]
    return f"(?i:{'|'.join(spellings)})"
