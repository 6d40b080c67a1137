"""The feed without HTTP says what the real client hears from the simulated server, whatever is asked."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ctisync.core.model import Consumer, ConsumerInfo, OffsetRange, Record
from ctisync.errors import CtisyncError
from ctisync.feed.client import CtiFeed
from ctisync.feed.http.budget import PassLimits
from ctisync.ports import PassFeed
from tests.properties.machine import SPOILS
from tests.support import feed_failures as failures
from tests.support.clock import FakeClock
from tests.support.feed_history import History, churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.log import KeptLog
from tests.support.memory_feed import MemoryFeed, MemoryServer


def outcome(question: Callable[[], Any]) -> Any:
    """The answer, or the class of the error."""
    try:
        return question()
    except CtisyncError as error:
        return type(error)


def offsets_of(info: ConsumerInfo) -> tuple[int | None, int | None]:
    """Without the link: where a snapshot lies is each server's own matter."""
    return info.last_offset, info.snapshot.offset if info.snapshot is not None else None


def records(feed: PassFeed, highest: int) -> set[Record]:
    snapshot = feed.consumer_info().snapshot
    assert snapshot is not None
    file = feed.fetch_snapshot(snapshot, None, lambda: None)
    content = {record for batch in file.records(highest) for record in batch}
    file.discard()
    return content


def client(simulator: FeedSimulator, folder: Path) -> CtiFeed:
    return CtiFeed(
        base_url=simulator.url,
        consumer=Consumer(),
        token=None,
        ca_file=None,
        retry_budget=30.0,
        lock=folder / "ctisync.lock",
        pass_limits=PassLimits(FakeClock()),
        log=KeptLog(),
    )


@pytest.mark.parametrize("seed", range(4))
def test_both_feeds_answer_alike_whatever_is_requested_and_spoilt(seed: int, tmp_path: Path) -> None:
    choose = random.Random(seed)
    history = History("vd_1.0.0")
    populate(history, 12)
    server = MemoryServer(history)
    with FeedSimulator() as simulator, client(simulator, tmp_path) as real:
        simulator.history = history
        for number in range(12):
            churn(history, choose.randint(1, 60), seed=seed * 100 + number)
            history.gap(choose.randint(1, 2))
            if choose.random() < 0.5:
                at = choose.randint(history.entries[0].offset, history.last_offset)
                simulator.publish_snapshot(offset=at)
                server.offer_snapshot(at)
            spoil = SPOILS[choose.choice(sorted(SPOILS))]
            if choose.random() < 0.6:
                server.spoils = [spoil]
                simulator.fail("changes", failures.data(spoil))
            after = choose.randint(history.first_offset, history.last_offset - 1)
            offsets = OffsetRange(after, choose.randint(after + 1, history.last_offset))
            assert answers(MemoryFeed(server), server, offsets) == answers(real, server, offsets)
            simulator.heal()
            server.spoils = []


def answers(feed: PassFeed, server: MemoryServer, offsets: OffsetRange) -> list[Any]:
    """To every question of a pass: about the consumer, the changes, a snapshot that is in order or not."""
    changes = outcome(lambda: feed.changes(offsets))
    if server.offered is None:
        return [offsets_of(feed.consumer_info()), changes]
    in_order = outcome(lambda: records(feed, server.history.last_offset))
    above = server.offered.offset - 40
    return [offsets_of(feed.consumer_info()), changes, in_order, outcome(lambda: records(feed, above))]


def test_both_feeds_refuse_a_snapshot_that_was_refused_before_and_a_contradiction(tmp_path: Path) -> None:
    history = History("vd_1.0.0")
    populate(history, 3)
    with FeedSimulator() as simulator:
        simulator.history = history
        server = MemoryServer(history)
        simulator.publish_snapshot()
        server.offer_snapshot()
        with client(simulator, tmp_path) as real:
            for feed in (real, MemoryFeed(server)):
                snapshot = feed.consumer_info().snapshot
                assert snapshot is not None
                refused = feed.fetch_snapshot(snapshot, None, lambda: None).as_refused("damaged")
                with pytest.raises(CtisyncError, match="refused"):
                    feed.fetch_snapshot(snapshot, refused, lambda: None)
            simulator.info["last_offset"] = server.last_offset = history.first_offset
            for feed in (real, MemoryFeed(server)):
                with pytest.raises(CtisyncError, match="is inconsistent"):
                    feed.consumer_info()
