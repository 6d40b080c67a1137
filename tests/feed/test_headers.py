"""Further headers: who gets them, and that no message shows one."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import pytest

from ctisync.core.model import OffsetRange, Snapshot
from ctisync.errors import ConfigurationError, FeedRefused
from tests.feed.conftest import MakeFeed
from tests.feed.downloads import nothing
from tests.feed.private import TOKEN
from tests.support import feed_failures as failures
from tests.support.feed_exchange import EXCHANGE
from tests.support.feed_simulator import FeedSimulator

HEADERS: Final = {"wazuh-uid": "a-secret-id", "wazuh-tag": "v5.0.0"}


@pytest.fixture
def elsewhere() -> Iterator[FeedSimulator]:
    with FeedSimulator() as simulator:
        yield simulator


def got(sim: FeedSimulator) -> list[bool]:
    return [HEADERS.items() <= dict(request.headers).items() for request in sim.requests]


def test_the_feed_gets_them_with_each_request(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot
) -> None:
    feed = make_feed(headers=HEADERS)
    feed.consumer_info()
    feed.changes(OffsetRange(1000, 1005))
    feed.fetch_snapshot(snapshot, None, nothing)
    assert got(sim) == [True] * 3


def test_the_console_gets_them_with_the_token(
    private: FeedSimulator, elsewhere: FeedSimulator, make_feed: MakeFeed
) -> None:
    """The console is another server than the feed."""
    elsewhere.fail("exchange", failures.status(404))
    feed = make_feed(headers=HEADERS, token=TOKEN, token_exchange_url=elsewhere.origin + EXCHANGE)
    with pytest.raises(ConfigurationError, match="refuses to exchange"):
        feed.consumer_info()
    assert got(private) == got(elsewhere) == [True]


@pytest.mark.parametrize("way", ["link", "redirect", "given"])
def test_another_host_gets_none(
    sim: FeedSimulator, elsewhere: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, way: str
) -> None:
    elsewhere.files.update(sim.files)
    place = urlsplit(snapshot.link).path
    feed = make_feed(headers=HEADERS, allowed_hosts=[urlsplit(elsewhere.origin).netloc])
    if way == "given":
        feed.fetch_from(elsewhere.origin + place, nothing)
    elif way == "redirect":
        sim.fail("snapshot", failures.redirect(elsewhere.origin + place))
        feed.fetch_snapshot(snapshot, None, nothing)
    else:
        feed.fetch_snapshot(Snapshot(elsewhere.origin + place, snapshot.offset), None, nothing)
    assert got(elsewhere) == [False]


def test_a_refusal_that_repeats_one_does_not_show_it(sim: FeedSimulator, make_feed: MakeFeed) -> None:
    message = "x" * 195 + HEADERS["wazuh-uid"]
    sim.fail("info", failures.refusal(400, message))
    with pytest.raises(FeedRefused) as caught:
        make_feed(headers=HEADERS).consumer_info()
    assert "a-se" not in caught.value.message
