"""The words of a search: phrases, and the tokens of texts, as SQLite's `unicode61` tokenizer makes them.

A token is a run of letters and digits, without case and accents. So `CVE-2024-1234` is a phrase of three
tokens, and no character of it has a meaning for the index.
"""

import re
import unicodedata
from collections.abc import Sequence

import msgspec

from ctisync.errors import UsageError


class Phrase(msgspec.Struct, frozen=True):
    """Tokens one after the other; with `is_prefix`, the last one may go on."""

    tokens: tuple[str, ...]
    is_prefix: bool = False


_QUOTED = re.compile(r'"([^"]*)"?(\*?)|([^"\s]+)')


def phrases_of(words: Sequence[str]) -> tuple[Phrase, ...]:
    """The phrases that you type: a word, several in quotes, or an argument with spaces; each may end with
    `*`. Raises UsageError if none has a letter or a digit."""
    phrases = list[Phrase]()
    for word in words:
        parts = _QUOTED.findall(word) if '"' in word else [(word, "", "")]
        for quoted, star, plain in parts:
            text = quoted or plain
            tokens = tokens_of(text)
            if tokens:
                phrases.append(Phrase(tokens, bool(star) or text.endswith("*")))
    if words and not phrases:
        raise UsageError(f"{' '.join(words)} has no letter and no digit", hint="ctisync search openssl")
    return tuple(phrases)


def split_phrases(text: str) -> tuple[str, ...]:
    """The words and quoted phrases of a text, each for `phrases_of`."""
    return tuple(match[0] for match in _QUOTED.finditer(text))


def tokens_of(text: str) -> tuple[str, ...]:
    """The tokens of a text, in its order."""
    plain = "".join(each for each in unicodedata.normalize("NFD", text) if not unicodedata.combining(each))
    return tuple("".join(each if _is_part(each) else " " for each in plain).lower().split())


def _is_part(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character) == "Co"


def as_query(phrases: Sequence[Phrase]) -> str:
    """The phrases, all of which must be there, for a full-text index of SQLite."""
    return " AND ".join(f'"{" ".join(each.tokens)}"{" *" if each.is_prefix else ""}' for each in phrases)


def has_phrase(phrase: Phrase, tokens: Sequence[str]) -> bool:
    """Whether the phrase is among the tokens of a text."""
    *whole, last = phrase.tokens
    for start in range(len(tokens) - len(whole)):
        end = start + len(whole)
        if list(tokens[start:end]) == whole and (
            tokens[end].startswith(last) if phrase.is_prefix else tokens[end] == last
        ):
            return True
    return False
