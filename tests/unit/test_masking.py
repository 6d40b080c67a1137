"""A secret is blotted out in every spelling in which servers and libraries write it, and when it is cut."""

import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from ctisync.console.masking import Mask

SECRETS = [
    "abcdefgh",
    "tok+en/=%2B\"'\\<&>~.end-of-it",
    "pass wörd:\"'\\%41&<> \t  é und 🐞 mehr",
    "eyJhbGciOiJIUzI1NiJ9." * 40,
    "pass\u00a0word\u3000and\u2028more",
]
SPELLINGS: dict[str, Callable[[str], str]] = {
    "raw": lambda text: text,
    "JSON": json.dumps,
    "JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "repr": repr,
    "repr of bytes": lambda text: repr(text.encode()),
    "ascii": ascii,
    "in an address": lambda text: quote(text, safe=""),
    "in a path": quote,
    "in a query": quote_plus,
    "in an address within an address": lambda text: quote(quote(text, safe=""), safe=""),
    "in an address, in small letters": lambda text: quote(text, safe="").replace("%C3%B6", "%c3%b6"),
    "HTML": html.escape,
    "HTML within HTML": lambda text: html.escape(html.escape(text)),
    "HTML in ASCII": lambda text: text.encode("ascii", "xmlcharrefreplace").decode(),
    "on one line": lambda text: " ".join(text.split()),
    "taken for Latin 1": lambda text: text.encode().decode("latin-1"),
    "Latin 1 taken for UTF-8": lambda text: text.encode("latin-1", "xmlcharrefreplace").decode(
        "utf-8", "replace"
    ),
}


@pytest.mark.parametrize("secret", SECRETS, ids=["short", "token", "password", "long", "odd spaces"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_secret_is_masked_in_every_spelling(secret: str, spelling: str) -> None:
    spelt = SPELLINGS[spelling](secret)
    shown = Mask(["another-secret", secret])(f"before|{spelt}|after")
    assert re.fullmatch(r"before\|b?[\\\"']*\*\*\*[\\\"']*\|after", shown), shown


@pytest.mark.parametrize("secret", SECRETS[1:4], ids=["token", "password", "long"])
def test_of_a_secret_that_is_cut_less_than_a_piece_is_left(secret: str) -> None:
    mask = Mask([secret])
    for end in range(1, len(secret)):
        left = mask(f"before|{secret[:end]}...").removeprefix("before|").removesuffix("...")
        assert len(re.findall(r"\s+|\S", left.removeprefix("***"))) < 8, end


def test_several_secrets_are_all_masked_also_beside_and_within_one_another() -> None:
    mask = Mask(["first-secret", "second-secret", "first-secret-and-more"])
    assert mask("first-secretsecond-secret, first-secret-and-more.") == "******, ***."


def test_what_is_no_secret_stays_as_it_is() -> None:
    text = "a line with + and % and \\ and é and &amp; in it"
    assert Mask(["+%\\é&x"])(text) == text
    assert Mask([])(text) == text
    assert Mask(["content", ""])("content for ctisync") == "content for ctisync"


def test_a_public_text_stays_whole_around_a_secret_and_a_secret_around_it_is_masked() -> None:
    mask = Mask(["wazuh-cve", "https://me.example/wazuh-cve-token"], ["wazuh-cve-4", "https://me.example"])
    assert mask("wazuh-cve-4, wazuh-cve") == "wazuh-cve-4, ***"
    assert mask("https://me.example/wazuh-cve-token at https://me.example") == "*** at https://me.example"
    assert mask("https://me.example/wazuh-cv...") == "***-cv..."
