"""The words of a search: no character of them has a meaning but `*` at an end, and quotes."""

import sqlite3
from contextlib import closing

import pytest

from ctisync.core.phrases import Phrase, as_query, has_phrase, phrases_of, tokens_of
from ctisync.errors import UsageError

ODD = [
    "CVE-2024-1234",
    "node.js",
    "c++",
    "a AND (",
    '"unclosed',
    "NEAR(a b)",
    "-x",
    "col:um",
    "^a",
    "a*b",
    "3.0.2",
    "x OR y*",
    "\ue000x",
]


@pytest.mark.parametrize(
    ("words", "phrases"),
    [
        (["openssl"], (Phrase(("openssl",)),)),
        (["Élévation"], (Phrase(("elevation",)),)),
        (["CVE-2024-1234"], (Phrase(("cve", "2024", "1234")),)),
        (["log4j*"], (Phrase(("log4j",), is_prefix=True),)),
        (["heap overflow"], (Phrase(("heap", "overflow")),)),
        (['"heap overflow" parser'], (Phrase(("heap", "overflow")), Phrase(("parser",)))),
        (['"heap over"*'], (Phrase(("heap", "over"), is_prefix=True),)),
        (["c++", "("], (Phrase(("c",)),)),
        (["", "a"], (Phrase(("a",)),)),
        ([], ()),
    ],
)
def test_words_become_phrases(words: list[str], phrases: tuple[Phrase, ...]) -> None:
    assert phrases_of(words) == phrases


def test_words_without_a_letter_or_a_digit_are_a_mistake() -> None:
    with pytest.raises(UsageError, match=r"^\( \+\+ has no letter and no digit$"):
        phrases_of(["(", "++"])


@pytest.mark.parametrize("word", ODD)
def test_no_word_is_a_mistake_for_the_index_and_each_is_in_its_own_text(word: str) -> None:
    phrases = phrases_of([word])
    text = word.replace("y*", "ytail")
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(
            "CREATE VIRTUAL TABLE t USING fts5 (x, tokenize = 'unicode61 remove_diacritics 2')"
        )
        connection.execute("INSERT INTO t VALUES (?)", (text,))
        rows = connection.execute("SELECT count(*) FROM t WHERE t MATCH ?", (as_query(phrases),)).fetchone()
    assert rows == (1,)
    assert all(has_phrase(each, tokens_of(text)) for each in phrases)


@pytest.mark.parametrize(
    ("word", "text", "matches"),
    [
        ("1234", "CVE-2024-12345", False),
        ("1234*", "CVE-2024-12345", True),
        ("use after free", "free after use", False),
        ("use after free", "long before free", False),
        ("use after free", "A USE-after-free!", True),
        ("ssl", "openssl", False),
        ("a b*", "x a bc", True),
        ("a b*", "x a", False),
    ],
)
def test_a_phrase_is_whole_tokens_one_after_the_other(word: str, text: str, matches: bool) -> None:
    (phrase,) = phrases_of([word])
    assert has_phrase(phrase, tokens_of(text)) is matches
