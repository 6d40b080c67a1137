"""docs/troubleshooting.md: each message that ctisync prints is found in it, and leads to the right place."""

import re
from typing import Final

import pytest

from tests.docs import page
from tests.docs.shell import ROOT

PAGE: Final = (ROOT / "docs" / "troubleshooting.md").read_text()
OPERATIONS: Final = (ROOT / "docs" / "operations.md").read_text()


def messages() -> list[tuple[str, str]]:
    """The first line of each message in the page for operators, which ctisync prints, and where it stands."""
    pairs = []
    heading = ""
    for line in OPERATIONS.splitlines():
        if line.startswith(("## ", "### ")):
            heading = page.anchor(line.lstrip("# "))
        elif line.startswith("ctisync: "):
            pairs.append((line, heading))
    return pairs


def rows() -> list[tuple[str, str]]:
    """What is said, and where the row leads first."""
    table = PAGE.split("## By what it says")[1]
    pairs = []
    for cell, where in re.findall(r"^\| (`.*?`) \| (.*) \|$", table, re.MULTILINE):
        target = re.search(r"\(operations\.md#([^)]*)\)", where)
        assert target is not None, where
        pairs += [(words, target[1]) for words in re.findall(r"`([^`]+)`", cell)]
    return pairs


def fits(words: str, message: str) -> bool:
    return re.search(".*".join(map(re.escape, words.split("…"))), message) is not None


@pytest.mark.parametrize(("message", "place"), sorted(set(messages())))
def test_a_message_leads_to_its_section_and_to_no_other(message: str, place: str) -> None:
    assert {where for words, where in rows() if fits(words, message)} == {place}


@pytest.mark.parametrize(("words", "where"), rows())
def test_each_quoted_message_is_one_that_ctisync_prints(words: str, where: str) -> None:
    assert [message for message, place in messages() if place == where and fits(words, message)]


def test_the_exit_codes_are_those_of_the_sections() -> None:
    table = PAGE.split("## By what it says")[1]
    shown = re.findall(r"\[([\d, ]+)\]\(operations\.md#([^)]*)\)", table)
    codes = {page.anchor(heading): page.codes(heading) for heading in page.headings(OPERATIONS)}
    assert shown
    for text, place in shown:
        assert [int(code) for code in text.split(", ")] == (codes[place] or [6]), place
