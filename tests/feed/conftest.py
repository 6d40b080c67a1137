"""A simulated server, and a client for it whose clock only moves when somebody sleeps."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ctisync.core.model import Consumer, Snapshot
from ctisync.feed.client import CtiFeed
from ctisync.feed.http.budget import FreeDiskSpace, PassLimits
from ctisync.system.locks import lock_beside
from tests.feed.private import TOKEN
from tests.support.clock import FakeClock
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.log import KeptLog

MakeFeed = Callable[..., CtiFeed]


def with_free(free: Callable[[], int], share: float = 1.0) -> PassLimits:
    """The usual limits on a disk, /data, with so many free bytes."""
    return PassLimits(FakeClock(), disk=FreeDiskSpace("/data", free, share))


@pytest.fixture
def sim() -> Iterator[FeedSimulator]:
    with FeedSimulator() as simulator:
        yield simulator


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log() -> KeptLog:
    return KeptLog()


@pytest.fixture
def make_feed(sim: FeedSimulator, clock: FakeClock, log: KeptLog, tmp_path: Path) -> Iterator[MakeFeed]:
    """A client as a new pass has it; the spool stays the same. Arguments replace the usual ones."""
    with ExitStack() as open_feeds:

        def make(**changed: Any) -> CtiFeed:
            usual: dict[str, Any] = {
                "base_url": sim.url,
                "consumer": Consumer(),
                "token": None,
                "ca_file": None,
                "retry_budget": 60.0,
                "lock": lock_beside(tmp_path / "spool" / "ctisync.db", changed.get("consumer", Consumer())),
                "pass_limits": PassLimits(clock),
                "log": log,
            }
            return open_feeds.enter_context(CtiFeed(**{**usual, **changed}))

        yield make


@pytest.fixture
def feed(make_feed: MakeFeed) -> CtiFeed:
    return make_feed()


@pytest.fixture
def snapshot(sim: FeedSimulator) -> Snapshot:
    """A published snapshot of 300 records."""
    populate(sim.history, 300)
    return Snapshot(sim.publish_snapshot(), sim.history.last_offset)


@pytest.fixture
def private(sim: FeedSimulator) -> FeedSimulator:
    sim.exchanged_token = TOKEN
    populate(sim.history, 300)
    sim.publish_snapshot()
    churn(sim.history, 50)
    return sim


@pytest.fixture
def signing(private: FeedSimulator, make_feed: MakeFeed) -> CtiFeed:
    return make_feed(token=TOKEN, token_exchange_url=private.exchange_url)
