"""Masks secrets in texts of servers and libraries, in every spelling."""

import re
from collections.abc import Iterable
from functools import cached_property
from html.entities import codepoint2name
from typing import Final

_PIECE: Final = 8
"""Characters of a part that is masked even without the rest of the secret: messages may be cut. A shorter
secret may be an ordinary word: it is masked only behind a colon, as in `user:password`."""

_SHORTEST: Final = 3
"""Characters. A shorter secret is not masked."""

_AFTER_COLON: Final = "(?:(?<=:)|(?<=%3[aA]))"

_BY_NUMBER: Final = (
    r"%(?:25)*[0-9a-f]{2}|\\+(?:[fv]|x[0-9a-f]{2}|u[0-9a-f]{4})|&(?:amp;)*#x?[0-9a-f]+;|[^\x00-\x7f]"
)


class Mask:
    """Replaces each secret by `***`, raw or escaped as in JSON, Python, addresses and HTML.

    An encrypted, compressed or encoded form is not recognised, unless it is passed as a secret, too. A text
    of `public` stays as it is, even if a secret is a part of it: a URL or a command would be useless without.
    """

    def __init__(self, secrets: Iterable[str] = (), public: Iterable[str] = ()) -> None:
        self._secrets = {secret for secret in secrets if len(secret) >= _SHORTEST}
        self._public = {text for text in public if text}

    def __call__(self, text: str) -> str:
        if self._pattern is None or self._pattern.search(text) is None:
            return text
        kept = [match.span() for match in self._kept.finditer(text)] if self._public else []

        def masked(match: re.Match[str]) -> str:
            begin, stop = match.span()
            around = [(start, end) for start, end in kept if start <= begin and stop <= end]
            if stop - begin < _PIECE:  # a password like its user's name is still one behind it
                around = [span for span in around if span != (begin, stop)]
            return match[0] if around else "***"

        return self._pattern.sub(masked, text)

    @cached_property
    def _kept(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, sorted(self._public, key=len, reverse=True))))

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        """Made for the first line: most calls by cron print none."""
        longest_first = sorted(self._secrets, key=lambda secret: (-len(secret), secret))
        spelt = [list(map(_spelt, re.findall(r"\s+|\S", secret))) for secret in longest_first]
        whole = [
            "".join(characters) if len(secret) >= _PIECE else rf"{_AFTER_COLON}{''.join(characters)}(?!\w)"
            for secret, characters in zip(longest_first, spelt, strict=True)
        ]
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
