"""Texts from outside: nothing in them is obeyed by a terminal, begins a line, or breaks the writer."""

import io
import json
import os
import subprocess
import unicodedata
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctisync.escaping import ERRORS, escape, escape_json, escape_lines, one_line, quoted, to_json

HIDING: Final = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
NAMED: Final = (
    "\x00\x07\x1b\x7f\x80\x9b\x9f\u00ad\u061c\u200b\u200e\u200f\u2028\u2029"
    "\u202a\u202e\u2066\u2069\ufeff\U000e0041\ud800\udc9b"
)


def test_every_character_that_is_obeyed_or_hides_something_is_escaped() -> None:
    obeyed = {char for char in map(chr, range(0x110000)) if unicodedata.category(char) in HIDING}
    assert set(NAMED) <= obeyed
    text = "".join(sorted(obeyed))
    for cleaned in (escape(text), escape_lines(text), one_line(text, 10**8)):
        assert not set(cleaned) & (obeyed - {"\n", "\t"})
    assert "\n" not in escape(text) + one_line(text)


def test_letters_of_all_scripts_stay() -> None:
    for text in ("Zürich", "日本語", "العربية", "עברית", "हिन्दी", "😀", "e\u0301"):
        assert escape(text) == escape_lines(text) == one_line(text) == escape_json(text) == text


def test_what_is_escaped_can_be_read() -> None:
    assert escape("a\x1b[2J\u202e\U000e0041\udc9b") == "a\\u001b[2J\\u202e\\U000e0041\\udc9b"
    assert escape_lines("a\n\tb\x1b") == "a\n\tb\\u001b"
    assert one_line("a \n\t b\r\n\u2028c") == "a b c"
    assert one_line("x" * 100, 10) == "xxxxxxx..."


JSON: Final = st.recursive(
    st.text(alphabet=st.characters(exclude_categories=["Cs"])) | st.integers(-(2**53), 2**53) | st.none(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(alphabet=st.sampled_from("a\x1b\u202e\U000e0041")), inner)
    ),
    max_leaves=10,
)


@given(JSON)
def test_json_keeps_its_values(value: object) -> None:
    text = to_json(value)
    assert text.isprintable()
    assert json.loads(text) == value


def test_json_of_a_name_that_is_no_text_can_still_be_written() -> None:
    text = to_json({"path": "\udc9b/x", "all": ("\ud800",)})
    assert json.loads(text) == {"path": "\\udc9b/x", "all": ["\\ud800"]}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_stream_of_another_encoding_gets_what_json_can_read(encoding: str) -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding=encoding, errors=ERRORS, write_through=True)
    stream.write(to_json("ü\u4e00\U0001f600"))
    assert json.loads(written.getvalue().decode(encoding)) == "ü\u4e00\U0001f600"


ODD: Final = [
    "a b",
    "$(touch x)",
    "`x`",
    "it's",
    "a\nb",
    "\x1b]0;x\x07",
    "\\033'\n",
    "\u202eü",
    "-rf",
    "~",
    "",
    os.fsdecode(b"\x9b\xff"),
]


@pytest.mark.parametrize("word", ODD)
def test_a_quoted_word_is_that_word_for_a_shell(word: str, tmp_path: Path) -> None:
    spelt = quoted(word)
    assert spelt.isprintable()
    printed = subprocess.run(
        ["/bin/bash", "-c", f"printf %s {spelt}"], cwd=tmp_path, capture_output=True, check=True
    )
    assert printed.stdout == os.fsencode(word)
    assert list(tmp_path.iterdir()) == []


def test_a_word_that_no_file_can_have_is_quoted_too() -> None:
    assert quoted("\ud800").isprintable()
