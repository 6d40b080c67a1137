"""What is made of each answer of the console, at which a token is exchanged for signed links."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from ctisync.core.model import OffsetRange
from ctisync.errors import AccessRefused, ConfigurationError, CtisyncError, FeedRefused, FeedUnreachable
from ctisync.feed.client import CtiFeed
from tests.feed.conftest import MakeFeed
from tests.feed.downloads import ALWAYS
from tests.feed.private import TOKEN, refusing, replies_of
from tests.support import feed_failures as failures
from tests.support.feed_failures import Failure
from tests.support.feed_simulator import FeedSimulator
from tests.support.log import KeptLog

REFUSALS: dict[str, tuple[Failure, type[CtisyncError], int, str, str]] = {
    "unauthorized_client": (
        refusing(400, "unauthorized_client", "The token\nhas expired"),
        AccessRefused,
        3,
        r"refuses to exchange cti.token \(400, unauthorized_client\): The token has expired",
        "cti.token_file",
    ),
    "invalid_target": (refusing(400, "invalid_target"), AccessRefused, 3, "400, invalid_target", "consumers"),
    "invalid_request": (
        refusing(400, "invalid_request"),
        ConfigurationError,
        3,
        "400, invalid_request",
        "cti.token_exchange_url",
    ),
    "401": (refusing(401, "unauthorized_client"), AccessRefused, 3, "401", "cti.token_file"),
    "401 of a proxy": (failures.status(401), AccessRefused, 3, r"\(401\)$", "cti.token_file"),
    "403": (refusing(403, "access_denied"), AccessRefused, 3, "403, access_denied", "subscription"),
    "404": (failures.status(404), ConfigurationError, 3, r"\(404\)$", "cti.token_exchange_url"),
    "422": (
        failures.body(b'{"errors":{"resource":["is invalid"]}}'),
        ConfigurationError,
        3,
        "without a signed link",
        "cti.token_exchange_url",
    ),
    "a code of no known word": (
        refusing(400, TOKEN, None),
        ConfigurationError,
        3,
        r"\(400\)$",
        "cti.token_exchange_url",
    ),
    "a code that is no text": (
        refusing(400, {"invalid": ["request"]}, {"a": 1}),
        ConfigurationError,
        3,
        r"\(400\)$",
        "cti.token_exchange_url",
    ),
    "a redirect": (
        failures.redirect("https://elsewhere.example/x?y"),
        ConfigurationError,
        3,
        "a redirect to https://elsewhere.example/x;",
        "cti.token_exchange_url",
    ),
    "429": (failures.status(429), FeedUnreachable, 5, "429", "later"),
    "503": (failures.status(503), FeedUnreachable, 5, "503", "later"),
    "403 for now": (failures.status(403, {"Retry-After": "1"}), FeedUnreachable, 5, "403", "later"),
    "a page": (failures.html(), FeedRefused, 6, "not JSON", "cti.token_exchange_url"),
    "an array": (failures.body(b"[]"), FeedRefused, 6, "not JSON", "cti.token_exchange_url"),
    "without end": (
        failures.body(b'{"a":"' + b"x" * 70_000 + b'"}'),
        FeedRefused,
        6,
        "not JSON",
        "cti.token_exchange_url",
    ),
    "nested deeply": (
        failures.body(b'{"a":' + b"[" * 11 + b"]" * 11 + b"}"),
        FeedRefused,
        6,
        "not JSON",
        "cti.token_exchange_url",
    ),
    "of many values": (
        failures.body(b'{"a":[' + b"1," * 1000 + b"1]}"),
        FeedRefused,
        6,
        "not JSON",
        "cti.token_exchange_url",
    ),
    "half a reply": (failures.cut_off(0.5), FeedRefused, 6, "incomplete", "cti.token_exchange_url"),
    "in an unknown encoding": (
        failures.headers(content_encoding="br"),
        FeedRefused,
        6,
        "unexpected encoding",
        "cti.token_exchange_url",
    ),
    "nothing": (
        lambda _: failures.Reply(204),
        ConfigurationError,
        3,
        "answers 204, without a signed link",
        "cti.token_exchange_url",
    ),
    "a redirect to nowhere": (
        failures.redirect(""),
        ConfigurationError,
        3,
        "answers 302, a redirect to no address;",
        "cti.token_exchange_url",
    ),
    "reset": (failures.reset(), FeedUnreachable, 5, "reset|invalid HTTP|cannot be reached", "later"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_each_refusal_of_an_exchange_says_what_to_do(
    private: FeedSimulator, signing: CtiFeed, name: str
) -> None:
    failure, kind, code, words, hint = REFUSALS[name]
    private.fail("exchange", failure, times=ALWAYS)
    with pytest.raises(kind, match=words) as caught:
        signing.consumer_info()
    assert type(caught.value) is kind
    assert caught.value.exit_code == code
    assert hint in str(caught.value.hint)
    assert TOKEN not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("name", ["429", "503", "403 for now", "a page", "reset"])
def test_an_exchange_is_tried_again_as_any_request_is(
    private: FeedSimulator, signing: CtiFeed, log: KeptLog, name: str
) -> None:
    private.fail("exchange", REFUSALS[name][0], times=2)
    assert signing.consumer_info().last_offset == private.history.last_offset
    assert len(log.named("retry")) == 2


def test_a_description_that_repeats_the_token_is_shown_without_it(
    private: FeedSimulator, signing: CtiFeed
) -> None:
    private.fail("exchange", refusing(400, "unauthorized_client", f"{'x' * 190} {TOKEN} is bad"))
    with pytest.raises(AccessRefused) as caught:
        signing.consumer_info()
    assert TOKEN[:6] not in caught.value.message


def _gzipped(reply: failures.Reply) -> failures.Reply:
    headers = {**reply.headers, "Content-Encoding": "gzip"}
    return replace(reply, body=gzip.compress(reply.body), headers=headers)


def test_a_console_that_compresses_its_replies_is_understood(
    private: FeedSimulator, signing: CtiFeed
) -> None:
    private.fail("exchange", _gzipped, times=ALWAYS)
    assert signing.consumer_info().last_offset == private.history.last_offset


@pytest.mark.parametrize("token", ["tok\u00e9n", "to ken", "token\n", "to\tken", ""])
def test_a_token_that_a_header_cannot_contain_is_a_mistake_in_the_settings(
    private: FeedSimulator, make_feed: MakeFeed, token: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"cti\.token is empty or contains") as caught:
        make_feed(token=token, token_exchange_url=private.exchange_url)
    assert not token or token not in caught.value.message
    assert private.requests == []


@pytest.mark.parametrize("name", ["a page", "503", "reset"])
def test_the_doctor_names_the_setting_of_the_server_that_fails(
    private: FeedSimulator, signing: CtiFeed, name: str
) -> None:
    private.fail("exchange", REFUSALS[name][0], times=ALWAYS)
    (check,) = signing.diagnose()[0]
    assert (check.what, check.health) == ("feed", "failed")
    assert "cti.token_exchange_url" in str(check.hint)


def test_an_impossible_address_of_a_console_is_named_by_its_setting(
    private: FeedSimulator, make_feed: MakeFeed
) -> None:
    feed = make_feed(token=TOKEN, token_exchange_url="http://xn--a/exchange")
    with pytest.raises(ConfigurationError, match="http://xn--a/exchange failed: InvalidCodepoint") as caught:
        feed.consumer_info()
    assert caught.value.hint == "check cti.token_exchange_url"


LINKS: dict[str, Callable[[str], Any]] = {
    "another host": lambda link: link.replace("127.0.0.1", "elsewhere.example"),
    "another port": lambda link: link.replace("http://127.0.0.1:", "http://127.0.0.1:1"),
    "port 0": lambda link: link.replace(f":{urlsplit(link).port}/", ":0/"),
    "another scheme": lambda link: link.replace("http://", "ftp://"),
    "another consumer": lambda link: link.replace("vd_4.8.0", "vd_4.9.0"),
    "a slash that is escaped": lambda link: link.replace("/consumers/", "%2Fconsumers/"),
    "a login": lambda link: link.replace("http://", "http://user@"),
    "a fragment": lambda link: link + "#x",
    "a blank": lambda link: link + " ",
    "a line end": lambda link: link + "\r\nX: y",
    "too long": lambda link: link + "x" * 8000,
    "no text": lambda _: 5,
    "nothing": lambda _: None,
    "no address": lambda _: "http://[",
}


@pytest.mark.parametrize("alter", LINKS.values(), ids=LINKS.keys())
def test_a_link_to_another_address_is_not_requested(
    private: FeedSimulator, signing: CtiFeed, alter: Callable[[str], Any]
) -> None:
    private.fail(
        "exchange", failures.edited(lambda reply: {**reply, "access_token": alter(reply["access_token"])})
    )
    with pytest.raises(
        ConfigurationError, match=r"a link to another address|without a signed link"
    ) as caught:
        signing.consumer_info()
    assert "verify" not in caught.value.message
    assert replies_of(private) == [("info", 401), ("exchange", 200)]


@pytest.mark.parametrize("alter", ["from_offset=0", "to_offset=5"])
def test_a_link_to_other_changes_is_not_requested(
    private: FeedSimulator, signing: CtiFeed, alter: str
) -> None:
    signing.consumer_info()
    key = alter.partition("=")[0]

    def altered(answer: Any) -> Any:
        link = answer["access_token"]
        return {**answer, "access_token": link.replace(f"{key}=", f"{alter}&x=")}

    private.fail("exchange", failures.edited(altered))
    with pytest.raises(ConfigurationError, match="another address"):
        signing.changes(OffsetRange(1000, 1100))


def test_another_kind_of_token_is_no_link(private: FeedSimulator, signing: CtiFeed) -> None:
    other = "urn:ietf:params:oauth:token-type:access_token"
    private.fail("exchange", failures.edited(lambda answer: {**answer, "issued_token_type": other}))
    with pytest.raises(ConfigurationError, match="without a signed link"):
        signing.consumer_info()
