"""A plan was upgraded: another consumer takes the place of the one in the index, in one command."""

from collections.abc import Iterator

import msgspec
import pytest

from ctisync.core.model import Consumer
from ctisync.core.steps import Policy
from ctisync.errors import SettingsChanged
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.world import World

NO_SNAPSHOT = {"last_snapshot_link": None, "last_snapshot_offset": None}


@pytest.fixture
def upgraded(world: World) -> Iterator[tuple[World, World]]:
    """The old consumer, in step, and the new one of the same index, of which nothing is stored."""
    populate(world.feed.history, 30)
    world.feed.publish_snapshot()
    assert world.run() is None
    consumer = Consumer("t2-vulnerabilities", world.consumer.name, world.consumer.index)
    with FeedSimulator(consumer.context, consumer.name) as feed:
        populate(feed.history, 20)
        feed.publish_snapshot()
        churn(feed.history, 30)
        yield world, World(consumer, world.store, world.spool.parent / "new", feed, world.manager)


def test_the_new_consumer_takes_the_index_over_in_one_command_and_not_without_it(
    upgraded: tuple[World, World],
) -> None:
    old, new = upgraded
    for mode in ("sync", "init-snapshot", "update"):
        error = new.run(mode)
        assert isinstance(error, SettingsChanged)
        assert str(old.consumer) in error.message
        assert error.hint is not None
        assert f"ctisync init-snapshot --consumer {new.consumer} --replace" in error.hint
    assert old.holds()
    assert new.feed.requests == []

    new.policy = Policy(replace=True)
    assert new.run("init-snapshot") is None
    new.policy = Policy()
    assert new.run() is None
    assert new.holds()
    assert new.commands()[-1] == (new.consumer.index, new.feed.history.last_offset)


def test_the_old_consumer_still_configured_elsewhere_says_who_replaced_it_and_changes_nothing(
    upgraded: tuple[World, World],
) -> None:
    old, new = upgraded
    new.policy = Policy(replace=True)
    assert new.run("init-snapshot") is None
    commands, requests = old.commands(), len(old.feed.requests)
    churn(old.feed.history, 30)
    for mode in ("sync", "init-snapshot", "update"):
        error = old.run(mode)
        assert isinstance(error, SettingsChanged)
        assert f"{new.consumer} has replaced this consumer" in error.message
    assert (old.commands(), len(old.feed.requests)) == (commands, requests)
    assert new.holds(new.state.offset)
    store = new.store()
    store.forget(old.consumer)
    assert new.run() is None
    assert new.holds()


def test_a_replacement_that_stopped_half_way_is_continued_by_the_next_sync(
    upgraded: tuple[World, World],
) -> None:
    old, new = upgraded
    new.feed.info = NO_SNAPSHOT
    new.policy = Policy(replace=True)
    assert new.run("init-snapshot") is None, "the feed offers no snapshot yet"
    assert new.state.may_replace
    assert old.run() is None, "until then the old one goes on"
    new.feed.info = {}
    new.policy = Policy()
    assert new.run() is None
    assert new.holds()
    assert old.state.occupant == str(new.consumer)


def test_cancelled_it_leaves_the_old_one_alone(upgraded: tuple[World, World]) -> None:
    old, new = upgraded
    new.feed.info = NO_SNAPSHOT
    new.policy = Policy(replace=True)
    assert new.run("init-snapshot") is None
    new.policy = msgspec.structs.replace(Policy(), keep=True)
    assert isinstance(new.run(), SettingsChanged)
    assert new.state.requested is None
    assert old.holds()
