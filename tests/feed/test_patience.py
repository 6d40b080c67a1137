"""When a feed is to be left alone, and for how long; and that a pass ends in time."""

from typing import Final

import pytest

from ctisync.core.limits import Limits
from ctisync.core.model import Snapshot
from ctisync.errors import AccessRefused, FeedRefused, FeedUnreachable
from ctisync.feed.client import CtiFeed
from ctisync.feed.http.budget import PassLimits
from ctisync.feed.plans import ConsoleApi
from tests.feed.conftest import MakeFeed
from tests.support import feed_failures as failures
from tests.support.clock import FakeClock
from tests.support.feed_history import populate
from tests.support.feed_simulator import FeedSimulator, unused_port
from tests.support.raw_server import RawServer, head, raw, silence

ALWAYS = None


def _come_back(feed: CtiFeed) -> float | None:
    with pytest.raises(FeedUnreachable) as caught:
        feed.consumer_info()
    return caught.value.cooldown


@pytest.mark.parametrize("code", [429, 403, 503])
def test_a_server_that_says_when_to_come_back_is_left_alone_until_then(
    sim: FeedSimulator, make_feed: MakeFeed, clock: FakeClock, code: int
) -> None:
    sim.fail("info", failures.status(code, {"Retry-After": "3600"}), times=ALWAYS)
    assert _come_back(make_feed(cooldown=600.0)) == 3600
    assert clock.slept == []
    assert len(sim.requests) == 1


def test_a_refusal_without_a_time_is_a_refusal(sim: FeedSimulator, feed: CtiFeed) -> None:
    sim.fail("info", failures.status(403), times=ALWAYS)
    with pytest.raises(AccessRefused):
        feed.consumer_info()


def test_a_short_block_is_waited_for_within_the_pass(
    sim: FeedSimulator, feed: CtiFeed, clock: FakeClock
) -> None:
    sim.fail("info", failures.status(403, {"Retry-After": "5"}))
    assert feed.consumer_info().last_offset == 1000
    assert 5 <= sum(clock.slept) <= 6


@pytest.mark.parametrize(("cooldown", "come_back"), [(600.0, 600.0), (0.0, None)])
def test_a_spent_budget_leads_to_the_cooldown_of_the_settings(
    sim: FeedSimulator, make_feed: MakeFeed, cooldown: float, come_back: float | None
) -> None:
    sim.fail("info", failures.status(500), times=ALWAYS)
    assert _come_back(make_feed(cooldown=cooldown)) == come_back


NOWHERE: Final = {
    "a port that nothing listens on": "http://127.0.0.1:{port}/api/v1",
    "a name that does not exist": "http://feed.invalid/api/v1",
}


@pytest.mark.parametrize("url", NOWHERE.values(), ids=NOWHERE)
def test_a_server_that_no_request_has_reached_gets_one_from_the_next_pass(
    make_feed: MakeFeed, url: str
) -> None:
    """Else a newcomer who plugs in the cable waits ten minutes."""
    nowhere = make_feed(base_url=url.format(port=unused_port()), cooldown=600.0)
    with pytest.raises(FeedUnreachable) as caught:
        nowhere.consumer_info()
    assert caught.value.cooldown is None
    assert caught.value.hint == "check cti.url and the network of this host, then run the same command"


@pytest.mark.parametrize("code", [503, None], ids=["a proxy that refuses", "a proxy that is not there"])
def test_a_proxy_is_not_the_server(
    sim: FeedSimulator, make_feed: MakeFeed, monkeypatch: pytest.MonkeyPatch, code: int | None
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", sim.origin if code else f"http://127.0.0.1:{unused_port()}")
    sim.fail("other", failures.status(503), times=ALWAYS)
    assert _come_back(make_feed(base_url="https://127.0.0.1:1/api/v1", cooldown=600.0)) is None


def test_a_server_that_takes_the_connection_and_says_nothing_was_reached(
    make_feed: MakeFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctisync.feed.http.transport._READ", 0.1)
    with RawServer(silence) as silent:
        feed = make_feed(base_url=silent.origin, cooldown=600.0, retry_budget=0.1)
        assert _come_back(feed) == 600


def test_a_console_that_says_nothing_is_the_error_not_the_time_for_all_its_requests(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    monkeypatch.setattr("ctisync.feed.plans._READ", 0.1)
    with (
        RawServer(silence) as silent,
        pytest.raises(FeedUnreachable, match="does not answer in time") as caught,
    ):
        ConsoleApi(silent.origin, None, None, None, {}, clock).plans()
    assert caught.value.hint == "check cti.url and the server there, then run the same command again"


def test_a_server_that_is_gone_in_the_middle_of_a_pass_was_reached(make_feed: MakeFeed) -> None:
    reply = b'{"data": {"last_offset": 7}}'
    with RawServer(raw(head("200 OK"), reply)) as leaving:
        feed = make_feed(base_url=leaving.origin, cooldown=600.0)
        assert feed.consumer_info().last_offset == 7
    assert _come_back(feed) == 600


def test_data_that_is_refused_leads_to_none(sim: FeedSimulator, make_feed: MakeFeed) -> None:
    sim.fail("info", failures.html(), times=ALWAYS)
    with pytest.raises(FeedRefused):
        make_feed(cooldown=600.0).consumer_info()


def _hurried(clock: FakeClock, seconds: float) -> PassLimits:
    return PassLimits(clock, Limits(pass_seconds=seconds))


def test_a_pass_that_has_had_its_time_asks_nothing_more(
    sim: FeedSimulator, make_feed: MakeFeed, clock: FakeClock
) -> None:
    feed = make_feed(cooldown=600.0, pass_limits=_hurried(clock, 100))
    feed.consumer_info()
    clock.advance(seconds=100)
    with pytest.raises(FeedUnreachable, match=r"longer than limits\.pass_seconds, 100 s") as caught:
        feed.consumer_info()
    assert caught.value.cooldown is None, "it is not the feed's fault"
    assert len(sim.requests) == 1


def test_without_a_limit_a_pass_takes_as_long_as_it_takes(make_feed: MakeFeed, clock: FakeClock) -> None:
    feed = make_feed(pass_limits=_hurried(clock, 0))
    clock.advance(days=365)
    assert feed.consumer_info().last_offset == 1000


def test_no_wait_goes_beyond_the_end_of_the_pass(
    sim: FeedSimulator, make_feed: MakeFeed, clock: FakeClock
) -> None:
    sim.fail("info", failures.status(500), times=ALWAYS)
    with pytest.raises(FeedUnreachable):
        make_feed(retry_budget=1e6, pass_limits=_hurried(clock, 30)).consumer_info()
    assert clock.monotonic() <= 30


def test_a_download_ends_with_the_pass_and_is_gone_on_with_by_the_next(
    sim: FeedSimulator, make_feed: MakeFeed, clock: FakeClock
) -> None:
    populate(sim.history, 3000)
    snapshot = Snapshot(sim.publish_snapshot(), sim.history.last_offset)
    with pytest.raises(FeedUnreachable, match="pass_seconds"):
        make_feed(pass_limits=_hurried(clock, 1)).fetch_snapshot(
            snapshot, None, lambda: clock.advance(seconds=1)
        )
    assert make_feed().fetch_snapshot(snapshot, None, lambda: None).size == len(
        next(iter(sim.files.values())).body
    )
    assert "range" in sim.requests[-1].headers


def test_a_load_ends_with_the_pass(sim: FeedSimulator, make_feed: MakeFeed, clock: FakeClock) -> None:
    populate(sim.history, 3000)
    snapshot = Snapshot(sim.publish_snapshot(), sim.history.last_offset)
    file = make_feed(pass_limits=_hurried(clock, 100)).fetch_snapshot(snapshot, None, lambda: None)
    batches = file.records(snapshot.offset)
    assert next(batches)
    clock.advance(seconds=100)
    with pytest.raises(FeedUnreachable, match="pass_seconds"):
        next(batches)
