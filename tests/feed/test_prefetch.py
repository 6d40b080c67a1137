"""A range that is asked for ahead: once, beside nothing else; what stood in its way shows in its turn."""

import threading
from collections.abc import Callable, Iterator
from threading import Event, Timer

import pytest

from ctisync.core.model import Change, OffsetRange, Snapshot
from ctisync.errors import FeedUnreachable, ReplyTooLarge
from ctisync.feed.client import CtiFeed, Prefetch
from ctisync.feed.http.budget import PassLimits
from ctisync.system.threads import start_on_thread
from tests.feed.conftest import MakeFeed
from tests.support import feed_failures
from tests.support.clock import FakeClock
from tests.support.feed_failures import Failure, Reply
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.log import KeptLog

FIRST, SECOND = OffsetRange(1000, 1005), OffsetRange(1005, 1010)


@pytest.fixture(autouse=True)
def changes(sim: FeedSimulator) -> None:
    """Ten of them, for the two ranges."""
    populate(sim.history, 5)
    churn(sim.history, 5)


def requested_ranges(sim: FeedSimulator) -> list[tuple[int, int]]:
    return [request.range for request in sim.requests_for("changes")]


def setting(arrived: Event, failure: Failure) -> Failure:
    """The same; and somebody waits for the request."""

    def answer(reply: Reply) -> Reply:
        arrived.set()
        return failure(reply)

    return answer


def of_this_name() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "asking-ahead"]


def test_a_prefetched_range_is_not_requested_again(sim: FeedSimulator, feed: CtiFeed) -> None:
    changes = feed.changes(FIRST)
    feed.prefetch(SECOND)
    changes += feed.changes(SECOND)
    assert [change.offset for change in changes] == list(range(1001, 1011))
    assert requested_ranges(sim) == [(1000, 1005), (1005, 1010)]


def test_a_consumed_prefetch_is_requested_anew(sim: FeedSimulator, feed: CtiFeed) -> None:
    """A range that could not be stored may be wanted again, and the feed have mended it."""
    feed.prefetch(FIRST)
    assert feed.changes(FIRST) == feed.changes(FIRST)
    assert requested_ranges(sim) == [(1000, 1005)] * 2


def test_a_prefetch_runs_while_the_caller_does_something_else(sim: FeedSimulator, feed: CtiFeed) -> None:
    arrived = Event()
    sim.fail("changes", setting(arrived, lambda reply: reply))
    feed.prefetch(FIRST)
    assert arrived.wait(120)


def test_a_refusal_shows_when_the_range_is_needed_and_says_how_long_to_stay_away(
    sim: FeedSimulator, feed: CtiFeed
) -> None:
    sim.fail("changes", feed_failures.status(429, {"Retry-After": "3600"}))
    feed.prefetch(FIRST)
    with pytest.raises(FeedUnreachable, match="answers 429") as raised:
        feed.changes(FIRST)
    assert raised.value.cooldown == 3600.0
    assert len(feed.changes(FIRST)) == 5, "it is told once"


def test_a_reply_that_is_too_large_shows_when_the_range_is_needed(
    make_feed: MakeFeed, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = make_feed(pass_limits=PassLimits(clock))
    monkeypatch.setattr("ctisync.feed.http.replies._at_most", _too_much)
    feed.prefetch(FIRST)
    with pytest.raises(ReplyTooLarge):
        feed.changes(FIRST)


def _too_much(most: int, already: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    raise ReplyTooLarge("too much")


def test_what_is_no_range_shows_when_it_is_needed(feed: CtiFeed) -> None:
    feed.prefetch(OffsetRange(1000, 2001))
    with pytest.raises(ValueError, match="no range of 1 to 1000"):
        feed.changes(OffsetRange(1000, 2001))


def test_it_is_tried_again_within_the_budget_and_each_try_is_logged(
    sim: FeedSimulator, feed: CtiFeed, log: KeptLog, clock: FakeClock
) -> None:
    sim.fail("changes", feed_failures.status(503), times=2)
    feed.prefetch(FIRST)
    assert len(feed.changes(FIRST)) == 5
    assert [event["attempt"] for event in log.named("retry")] == [1, 2]
    assert len(clock.slept) == 2


def test_what_the_caller_does_meanwhile_takes_no_patience(
    sim: FeedSimulator, feed: CtiFeed, clock: FakeClock
) -> None:
    feed.prefetch(FIRST)
    for thread in of_this_name():
        thread.join()
    clock.advance(seconds=3600)  # a store that is slow
    feed.changes(FIRST)
    sim.fail("changes", feed_failures.status(503))
    assert len(feed.changes(SECOND)) == 5


def ask_for_another(feed: CtiFeed, _snapshot: Snapshot) -> None:
    feed.prefetch(SECOND)
    feed.changes(SECOND)


def begin_to_read(feed: CtiFeed, snapshot: Snapshot) -> None:
    feed.open_snapshot(snapshot, None, lambda: None).close()


OTHER_USES: dict[str, Callable[[CtiFeed, Snapshot], object]] = {
    "another range": lambda feed, _: feed.changes(SECOND),
    "another range, ahead": ask_for_another,
    "the consumer": lambda feed, _: feed.consumer_info(),
    "a snapshot": lambda feed, snapshot: feed.fetch_snapshot(snapshot, None, lambda: None),
    "a snapshot that comes in": begin_to_read,
    "nothing more": lambda feed, _: feed.tidy(),
}


@pytest.mark.parametrize("use", OTHER_USES)
def test_any_other_use_of_the_feed_waits_for_it_and_forgets_it(
    sim: FeedSimulator, feed: CtiFeed, use: str
) -> None:
    snapshot = Snapshot(sim.publish_snapshot(), sim.history.last_offset)
    sim.fail("changes", feed_failures.stall(0.2, after=0.5))
    feed.prefetch(FIRST)
    OTHER_USES[use](feed, snapshot)
    assert of_this_name() == []
    before = requested_ranges(sim).count((1000, 1005))
    feed.changes(FIRST)
    assert requested_ranges(sim).count((1000, 1005)) == before + 1


def test_no_two_ranges_are_fetched_at_the_same_time() -> None:
    release, under_way, most = Event(), 0, 0

    def fetch(offsets: OffsetRange) -> list[Change]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        release.wait(120)
        under_way -= 1
        return []

    ahead = Prefetch(fetch, start_on_thread)
    ahead.start(FIRST)
    Timer(0.1, release.set).start()
    ahead.changes(SECOND)
    ahead.start(FIRST)
    ahead.start(SECOND)
    ahead.changes(SECOND)
    assert most == 1


def test_the_end_of_a_pass_waits_for_no_server_and_nothing_more_is_requested_or_logged(
    sim: FeedSimulator, make_feed: MakeFeed, log: KeptLog
) -> None:
    arrived = Event()
    sim.fail("changes", setting(arrived, feed_failures.stall(3600, after=0.5)), times=None)
    feed = make_feed()
    feed.prefetch(FIRST)
    assert arrived.wait(120)
    (thread,) = of_this_name()
    feed.close()
    assert thread.is_alive()
    assert thread.daemon, "the process need not wait for it either"
    sim.stopping.set()  # the connection breaks: one would ask again
    thread.join(120)
    assert not thread.is_alive()
    assert len(requested_ranges(sim)) == 1
    assert log.named("retry") == []


def test_an_answer_that_comes_in_a_moment_is_waited_for_so_that_the_connections_are_closed(
    sim: FeedSimulator, make_feed: MakeFeed
) -> None:
    feed = make_feed()
    feed.prefetch(FIRST)
    feed.close()
    assert of_this_name() == []
    with pytest.raises(RuntimeError, match="closed"):
        feed.changes(SECOND)
