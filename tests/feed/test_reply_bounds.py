"""What comes of one question to the API: as much as the limits say, however it is built and cut up."""

import gzip
from collections.abc import Iterator
from typing import Any, Final

import pytest

from ctisync.core.limits import Limits
from ctisync.core.model import OffsetRange
from ctisync.errors import FeedRefused, ReplyTooLarge
from ctisync.feed.http.budget import PassLimits, RetryLater
from ctisync.feed.http.replies import words_in
from tests.feed.conftest import MakeFeed
from tests.support import feed_failures as failures
from tests.support.clock import FakeClock
from tests.support.feed_simulator import FeedSimulator


def _payload(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth - 1):
        value = {"k": value}
    return value


def test_a_change_may_be_as_deep_as_the_limit_says_and_no_deeper(
    sim: FeedSimulator, make_feed: MakeFeed, clock: FakeClock
) -> None:
    feed = make_feed(pass_limits=PassLimits(clock, Limits(json_depth=20)))
    sim.history.create("CVE-2024-1", _payload(20))
    assert len(feed.changes(OffsetRange(1000, 1001))) == 1
    sim.history.create("CVE-2024-2", _payload(21))
    with pytest.raises(FeedRefused, match=r"\(1001, 1002\] is nested deeper than limits\.json_depth"):
        feed.changes(OffsetRange(1001, 1002))


@pytest.mark.parametrize("kind", ["info", "changes"])
def test_a_reply_without_a_bottom_does_not_end_the_process(
    sim: FeedSimulator, make_feed: MakeFeed, kind: Any
) -> None:
    """ijson alone dies of it."""
    sim.fail(kind, failures.body(b'{"data":[' + b"[" * 300_000 + b"]" * 300_000 + b"]}"), times=None)
    feed = make_feed(retry_budget=0.0)
    with pytest.raises(FeedRefused):
        feed.consumer_info() if kind == "info" else feed.changes(OffsetRange(1000, 1001))


@pytest.mark.parametrize("kind", ["info", "changes"])
def test_a_reply_of_a_million_empty_lists_is_refused_before_it_fills_the_memory(
    sim: FeedSimulator, make_feed: MakeFeed, kind: Any
) -> None:
    sim.fail(kind, failures.body(b'{"data":[' + b"[]," * 1_000_000 + b"[]]}"), times=None)
    feed = make_feed(retry_budget=0.0)
    with pytest.raises(FeedRefused):
        feed.consumer_info() if kind == "info" else feed.changes(OffsetRange(1000, 1001))


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(json_values=100), r"more than 100 values \(limits\.json_values\)"),
        (Limits(reply_bytes=2000), r"larger than 2000 bytes \(limits\.reply_bytes\)"),
    ],
)
def test_replies_that_stop_short_count_together(
    sim: FeedSimulator, make_feed: MakeFeed, clock: FakeClock, limits: Limits, message: str
) -> None:
    for number in range(20):
        sim.history.create(f"CVE-2024-{number}", {"text": "x" * 200, "list": list(range(10))})
    feed = make_feed(pass_limits=PassLimits(clock, limits))
    assert len(feed.changes(OffsetRange(1000, 1003))) == 3, "one question's end is the next one's beginning"
    assert len(feed.changes(OffsetRange(1003, 1006))) == 3
    sim.fail("changes", failures.only_first(1), times=None)
    with pytest.raises(ReplyTooLarge, match=message):
        feed.changes(OffsetRange(1006, 1020))


TEXT: Final = {"content-type": "text/plain"}
REASON: Final = b"Your subscription has expired. "


def _trickle(read: list[int]) -> Iterator[bytes]:
    """Counts its pieces, and is too slow in the end."""
    yield REASON
    for number in range(100):
        read.append(number)
        yield b"word " * 100
    raise RetryLater("sends less than 1024 bytes a second")


def test_the_reason_of_a_refusal_is_shown_however_much_follows_it() -> None:
    for body in ([REASON + b"x" * 50_000, b"x" * 50_000], [REASON] * 10_000):
        assert words_in(TEXT, iter(body), ()).startswith(REASON.decode())


def test_the_reason_of_a_refusal_whose_end_is_lost_is_shown() -> None:
    packed = gzip.compress(REASON * 300)[:-8]
    words = words_in({**TEXT, "content-encoding": "gzip"}, iter([packed]), ())
    assert words.startswith(REASON.decode())


def test_no_more_of_a_refusal_is_read_than_is_shown() -> None:
    """A server may send it for hours, a byte at a time."""
    read: list[int] = []
    assert words_in(TEXT, _trickle(read), ()).startswith(REASON.decode())
    assert len(read) == 9, "4,096 bytes"
