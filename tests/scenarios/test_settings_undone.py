"""The setting `index` is changed, the initialisation that it asks for fails, and the change is undone."""

import pytest

from ctisync.core.model import Consumer
from ctisync.errors import CommandNotAccepted, CtisyncError, SettingsChanged, SnapshotRefused
from tests.support import feed_failures as failures
from tests.support.feed_history import churn, populate
from tests.support.world import World


@pytest.fixture
def current(world: World) -> World:
    """A content that stands above the snapshot on offer."""
    populate(world.feed.history, 30)
    world.feed.publish_snapshot()
    churn(world.feed.history, 200)
    assert world.run() is None
    return world


def under_another_index(world: World, ends: type[CtisyncError]) -> None:
    """`sync`, then what it hints at, which fails; then the settings are as before."""
    before = world.consumer
    world.consumer = Consumer(before.context, before.name, f"{before.index}-new")
    assert isinstance(world.run(), SettingsChanged)
    assert isinstance(world.run("init-snapshot"), ends)
    world.consumer = before


def refuse_the_snapshot(world: World) -> None:
    world.feed.fail("snapshot", failures.body(b"no archive"), times=None)


def test_the_old_content_stands_where_it_stood_and_goes_on_from_there(current: World) -> None:
    before, lines = current.state, current.lines()
    refuse_the_snapshot(current)
    under_another_index(current, SnapshotRefused)
    after = current.state
    assert (after.offset, after.content, after.stored_for) == (before.offset, True, before.stored_for)
    assert current.lines() == lines
    requests = len(current.feed.requests_for("snapshot"))
    churn(current.feed.history, 50, seed=3)
    assert current.run() is None
    assert current.holds()
    assert len(current.feed.requests_for("snapshot")) == requests, (
        "the content was loaded anew, from an older snapshot"
    )


def test_an_owed_command_is_sent_for_the_index_that_it_is_owed_for(current: World) -> None:
    current.manager.fail(500)
    churn(current.feed.history, 50, seed=3)
    assert isinstance(current.run(), CommandNotAccepted)
    commands = current.commands()
    current.manager.failures.clear()
    refuse_the_snapshot(current)
    under_another_index(current, SnapshotRefused)
    assert current.commands() == commands, "readers were told of an index that holds nothing"
    assert current.run() is None
    assert current.commands() == [*commands, (current.consumer.index, current.feed.history.last_offset)]


def test_once_it_has_worked_the_command_names_the_new_index_and_updates_go_on(current: World) -> None:
    old = current.consumer
    current.consumer = Consumer(old.context, old.name, f"{old.index}-new")
    assert current.run("init-snapshot") is None
    assert current.run() is None
    assert current.holds()
    assert {index for index, _ in current.commands()[-2:]} == {current.consumer.index}
