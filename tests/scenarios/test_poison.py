"""A change that cannot be applied: one initialisation, never a loop, and nothing before it is lost."""

from datetime import timedelta

import pytest

from ctisync.core.steps import Policy
from ctisync.errors import Blocked, SnapshotRefused
from tests.support import feed_failures as failures
from tests.support.feed_history import churn, populate
from tests.support.world import World


@pytest.fixture
def current(world: World) -> World:
    populate(world.feed.history, 40)
    world.feed.publish_snapshot()
    churn(world.feed.history, 300)
    assert world.run() is None
    return world


def snapshots(world: World) -> int:
    return len(world.feed.requests_for("snapshot"))


def test_a_poison_that_the_snapshot_has_behind_it_is_healed_in_the_same_pass(current: World) -> None:
    name = current.feed.history.names()[0]
    current.feed.history.poison(name)
    churn(current.feed.history, 50, seed=2)
    current.feed.publish_snapshot()
    churn(current.feed.history, 50, seed=3)
    assert current.run() is None
    assert current.holds()
    assert current.state.failed is None
    assert snapshots(current) == 2
    assert current.commands()[-1][1] == current.feed.history.last_offset


def test_a_poison_that_comes_again_blocks_just_before_it_and_downloads_nothing_more(current: World) -> None:
    churn(current.feed.history, 40, seed=2)
    poison = current.feed.history.poison(current.feed.history.names()[3])
    churn(current.feed.history, 40, seed=3)
    error = current.run()
    assert isinstance(error, Blocked)
    assert str(poison) in error.message
    assert snapshots(current) == 2, "one initialisation was tried"
    state = current.state
    assert (state.phase, state.offset) == ("blocked", poison - 1)
    assert state.failed is not None
    assert (state.failed.offset, state.failed.operation) == (poison, 0)
    assert current.holds(poison - 1), "nothing before it is lost"
    assert current.commands()[-1][1] == poison - 1

    commands, lines = current.commands(), current.lines()
    for _ in range(3):
        current.clock.advance(days=2)
        assert isinstance(current.run(), Blocked)
    assert snapshots(current) == 2
    assert (current.commands(), current.lines()) == (commands, lines)


def test_a_blocked_content_grows_old_however_often_it_is_loaded_again(current: World) -> None:
    """on_stale would stay silent for ever: each load made the content look new."""
    in_step = current.state.checked_at
    poison = current.feed.history.poison(current.feed.history.names()[3])
    for _ in range(3):
        current.feed.publish_snapshot(offset=poison - 1)
        current.clock.advance(hours=25)
        assert isinstance(current.run(), Blocked)
        assert current.state.updated_at == current.clock.now(), "it was loaded again"
        assert current.state.in_step_at == in_step


def test_a_blocked_content_goes_on_when_the_feed_mends_the_change(current: World) -> None:
    poison = current.feed.history.poison(current.feed.history.names()[3])
    churn(current.feed.history, 40, seed=3)
    assert isinstance(current.run(), Blocked)
    current.feed.history.mend(poison)
    assert current.run() is None
    assert current.holds()
    assert (current.state.phase, current.state.failed) == ("ready", None)
    assert snapshots(current) == 2


def test_a_blocked_content_goes_on_at_once_from_a_new_snapshot_that_contains_the_change(
    current: World,
) -> None:
    current.feed.history.poison(current.feed.history.names()[3])
    churn(current.feed.history, 40, seed=3)
    assert isinstance(current.run(), Blocked)
    current.feed.publish_snapshot()
    assert current.run() is None, "the interval has not passed, and the cure is there"
    assert snapshots(current) == 3
    assert current.holds()
    assert current.state.phase == "ready"


def test_a_refused_cure_is_not_fetched_again_and_a_mended_change_is_still_noticed(current: World) -> None:
    poison = current.feed.history.poison(current.feed.history.names()[3])
    churn(current.feed.history, 40, seed=3)
    assert isinstance(current.run(), Blocked)
    current.feed.publish_snapshot()
    current.feed.fail("snapshot", failures.body(b"no archive", "application/zip"))
    assert isinstance(current.run(), SnapshotRefused)
    fetched, offset = snapshots(current), current.state.offset
    for _ in range(2):
        current.clock.advance(days=2)
        assert isinstance(current.run(), Blocked)
    assert (snapshots(current), current.state.offset) == (fetched, offset)
    current.feed.history.mend(poison)
    assert current.run() is None
    assert current.holds()


def test_another_poison_within_the_interval_blocks_without_a_download(current: World) -> None:
    current.feed.history.poison(current.feed.history.names()[0])
    current.feed.publish_snapshot()
    assert current.run() is None
    assert snapshots(current) == 2
    second = current.feed.history.poison(current.feed.history.names()[1])
    assert isinstance(current.run(), Blocked)
    assert snapshots(current) == 2
    assert current.state.offset == second - 1
    current.feed.publish_snapshot()
    assert current.run() is None
    assert current.holds()


def test_an_interval_of_zero_still_takes_one_snapshot_a_pass(current: World) -> None:
    current.policy = Policy(reinit_interval=timedelta(0))
    current.feed.history.poison(current.feed.history.names()[0])
    assert isinstance(current.run(), Blocked)
    assert snapshots(current) == 2
    assert isinstance(current.run(), Blocked)
    assert snapshots(current) == 2, "the same change has been tried with this snapshot"


def test_update_sets_the_offset_to_0_and_leaves_the_initialisation_to_the_next_sync(current: World) -> None:
    current.feed.history.poison(current.feed.history.names()[0])
    lines = current.lines()
    error = current.run("update")
    assert isinstance(error, Blocked)
    assert current.state.offset == 0
    assert current.lines() == lines, "readers keep what they had"
    assert snapshots(current) == 1
    current.feed.publish_snapshot()
    assert current.run() is None
    assert current.holds()


def test_without_a_snapshot_to_start_again_from_the_content_stays_and_the_pass_ends_with_6(
    current: World,
) -> None:
    lines = current.lines()
    current.feed.history.poison(current.feed.history.names()[0])
    current.feed.info.update(last_snapshot_link=None, last_snapshot_offset=None)
    for _ in range(2):
        error = current.run()
        assert isinstance(error, Blocked)
        assert current.lines() == lines


def test_an_operators_init_snapshot_always_tries(current: World) -> None:
    current.feed.history.poison(current.feed.history.names()[3])
    assert isinstance(current.run(), Blocked)
    assert current.run("init-snapshot") is None
    assert snapshots(current) == 3
    assert isinstance(current.run(), Blocked)
    assert snapshots(current) == 3, "and then does not loop either"


def test_an_update_for_a_record_that_is_not_there_is_a_change_that_cannot_be_applied(current: World) -> None:
    offset = current.feed.history.poison(current.feed.history.names()[0])
    current.feed.history.edit(offset, resource="CVE-1999-0000", operations=[])
    error = current.run()
    assert isinstance(error, Blocked)
    assert "the record to update does not exist" in error.message


def test_what_only_a_later_create_had_made_harmless_is_not_kept_either(current: World) -> None:
    history = current.feed.history
    stray = history.poison(history.names()[0])
    history.edit(stray, resource="CVE-2026-NEW", operations=[])
    poison = history.poison(history.names()[1])
    history.create("CVE-2026-NEW", {})
    for _ in range(2):
        error = current.run()
        assert isinstance(error, Blocked)
        assert str(poison) in error.message
        assert (current.state.offset, snapshots(current)) == (stray - 1, 2)
        assert current.holds(stray - 1)
        current.clock.advance(days=2)


def test_a_snapshot_that_was_just_loaded_is_not_loaded_again_for_a_change_after_it(current: World) -> None:
    assert current.run("init-snapshot") is None
    current.feed.history.poison(current.feed.history.names()[3])
    fresh = current.feed.publish_snapshot(offset=current.feed.history.last_offset - 1)
    current.policy = Policy(reinit_interval=timedelta(0))
    assert isinstance(current.run(), Blocked)
    paths = [
        request.path for request in current.feed.requests_for("snapshot") if fresh.endswith(request.path)
    ]
    for _ in range(2):
        current.clock.advance(days=2)
        assert isinstance(current.run(), Blocked)
    assert len(paths) == 1
    assert snapshots(current) == 3
