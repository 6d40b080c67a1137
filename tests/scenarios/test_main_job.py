"""The main job: initialise, keep up, tell the readers, and go on after whatever went wrong."""

import pytest

from ctisync.core.limits import Limits
from ctisync.core.model import Consumer
from ctisync.core.steps import Policy
from ctisync.errors import (
    CommandNotAccepted,
    CtisyncError,
    EmptyStore,
    FeedRefused,
    FeedUnreachable,
    SettingsChanged,
)
from tests.support import feed_failures as failures
from tests.support.feed_history import churn, populate
from tests.support.world import World


@pytest.fixture
def started(world: World) -> World:
    """A feed of 60 records whose snapshot is 1,300 changes old, and nothing stored yet."""
    populate(world.feed.history, 60)
    world.feed.publish_snapshot()
    churn(world.feed.history, 1300)
    return world


@pytest.fixture
def current(started: World) -> World:
    """The same after a pass."""
    assert started.run() is None
    return started


def test_the_first_pass_loads_the_snapshot_and_catches_up(started: World) -> None:
    assert started.run() is None
    last = started.feed.history.last_offset
    assert started.holds()
    state = started.state
    assert (state.offset, state.last_offset, state.phase, state.owed) == (last, last, "ready", None)
    assert state.last_snapshot_link is not None
    assert started.commands() == [(started.consumer.index, last)], "one command, after the last advance"
    assert list(started.spool.iterdir()) == [], "the snapshot's file is no longer needed"


def test_a_pass_with_nothing_to_do_asks_once_and_writes_no_content(current: World) -> None:
    before, requests, commands = current.state, len(current.feed.requests), current.commands()
    current.clock.advance(hours=1)
    assert current.run() is None
    assert [request.kind for request in current.feed.requests[requests:]] == ["info"]
    after = current.state
    assert (after.offset, after.updated_at) == (before.offset, before.updated_at)
    assert after.checked_at == current.clock.now()
    assert current.commands() == commands


def test_changes_are_fetched_in_ranges_of_at_most_1000_from_the_stored_offset(current: World) -> None:
    stood_at, requests = current.state.offset, len(current.feed.requests)
    churn(current.feed.history, 2500, seed=2)
    last = current.feed.history.last_offset
    assert current.run() is None
    ranges = [request.range for request in current.feed.requests[requests:] if request.kind == "changes"]
    assert ranges[0] == (stood_at, stood_at + 1000)
    assert max(to - after for after, to in ranges) <= 1000
    assert ranges[-1][1] == last
    (bar,) = current.log.bars
    assert (bar.step, bar.total, bar.amounts[-1]) == ("update", last - stood_at, last - stood_at)
    assert len(bar.amounts) == 3, "one bar over all ranges"
    assert not current.feed.requests_for("snapshot")[1:], "no second snapshot"
    assert current.holds()
    assert current.commands()[-1] == (current.consumer.index, last)


def test_a_create_without_a_payload_stops_no_pass_and_changes_no_record(current: World) -> None:
    history = current.feed.history
    name = history.names()[0]
    history.create_empty(name)
    history.update(name, None)
    last = history.create_empty("CVE-2026-NEVER")
    assert current.run() is None
    assert current.state.offset == last
    assert current.holds()
    (applied,) = current.log.named("range-applied")
    assert (applied["changes"], applied["records"], applied["skipped"]) == (3, 1, 2)


def test_update_refuses_an_empty_store_and_says_what_to_type(started: World) -> None:
    error = started.run("update")
    assert isinstance(error, EmptyStore)
    assert error.hint == "ctisync sync"
    assert started.feed.requests_for("snapshot") == []


def test_init_snapshot_stops_at_the_snapshot_whatever_is_stored(current: World) -> None:
    assert current.run("init-snapshot") is None
    snapshot = current.state.snapshot_offset
    assert current.state.offset == snapshot
    assert current.holds(snapshot)
    assert current.commands()[-1] == (current.consumer.index, snapshot)
    assert current.run() is None
    assert current.holds()


def test_a_feed_without_a_snapshot_is_no_error(world: World) -> None:
    assert world.run() is None
    assert world.state.phase == "empty"
    assert world.commands() == []


def test_a_feed_without_a_last_offset_changes_nothing(current: World) -> None:
    before = current.state
    current.feed.info["last_offset"] = None
    assert current.run() is None
    assert current.state.offset == before.offset
    assert current.state.last_offset == before.last_offset
    assert current.log.named("pass-ended")[0]["outcome"] == "nothing-known"


def test_a_feed_that_went_back_is_refused_until_an_operator_answers(current: World) -> None:
    lines, offset, commands = current.lines(), current.state.offset, current.commands()
    current.feed.reset()
    populate(current.feed.history, 30, first=500)
    current.feed.publish_snapshot()
    for _ in range(2):
        error = current.run()
        assert isinstance(error, FeedRefused)
        assert error.hint is not None
        assert "init-snapshot" in error.hint
        assert (current.lines(), current.state.offset, current.commands()) == (lines, offset, commands)
    assert current.run("init-snapshot") is None
    assert current.holds()
    assert current.run() is None


def test_a_feed_that_went_back_is_followed_when_the_setting_says_so(current: World) -> None:
    current.feed.reset()
    populate(current.feed.history, 30, first=500)
    current.feed.publish_snapshot()
    churn(current.feed.history, 50, seed=3)
    current.policy = Policy(on_feed_reset="init")
    assert current.run() is None
    assert current.holds()


def test_a_last_offset_that_nobody_can_believe_is_refused_and_the_offset_stays(current: World) -> None:
    offset = current.state.offset
    current.feed.info["last_offset"] = 2**63 - 1
    error = current.run()
    assert _code(error) == 6
    assert error is not None
    assert "limits.offsets_ahead" in str(error.hint)
    assert current.state.offset == offset
    del current.feed.info["last_offset"]
    assert current.run() is None


def test_a_refused_command_is_owed_and_goes_out_first_next_time(started: World) -> None:
    started.manager.fail(500)
    error = started.run()
    assert isinstance(error, CommandNotAccepted)
    last = started.feed.history.last_offset
    assert started.holds(), "the content is kept"
    owed = started.state.owed
    assert owed is not None
    assert (owed.offset, owed.attempts) == (last, 1)
    assert started.run() is None
    assert started.commands() == [(started.consumer.index, last)]
    assert started.state.owed is None


def test_an_owed_command_goes_out_while_the_feed_is_down(started: World) -> None:
    started.manager.fail(500)
    started.run()
    started.feed.fail("info", failures.status(503), times=None)
    error = started.run()
    assert isinstance(error, FeedUnreachable)
    assert len(started.commands()) == 1


def test_a_feed_that_fails_half_way_keeps_what_was_applied_and_sends_the_command(current: World) -> None:
    stood_at = current.state.offset
    churn(current.feed.history, 2500, seed=2)
    current.feed.fail(
        lambda request: request.kind == "changes" and request.range[0] >= stood_at + 2000,
        failures.status(503),
        times=None,
    )
    error = current.run()
    assert isinstance(error, FeedUnreachable)
    assert current.state.offset == stood_at + 2000
    assert current.holds(stood_at + 2000)
    assert current.commands()[-1] == (current.consumer.index, stood_at + 2000)
    current.feed.heal()
    assert current.run() is None
    assert current.holds()


def test_settings_that_no_longer_fit_the_content_stop_the_pass(current: World) -> None:
    lines = current.lines()
    churn(current.feed.history, 10, seed=5)
    current.consumer = Consumer(
        current.consumer.context, current.consumer.name, current.consumer.index, resources=("CVE-*",)
    )
    error = current.run()
    assert isinstance(error, SettingsChanged)
    assert "resources" in error.message
    assert current.lines() == lines
    assert current.run("init-snapshot") is None
    assert current.run() is None
    assert current.holds()


def test_only_selected_resources_are_stored_and_the_rest_never_stands_in_the_way(world: World) -> None:
    populate(world.feed.history, 5)
    world.feed.history.create("TID-1", {"action": []})
    world.feed.publish_snapshot()
    world.feed.history.poison("TID-1")
    world.feed.history.create("FEED-GLOBAL", {})
    world.consumer = Consumer(
        world.consumer.context, world.consumer.name, world.consumer.index, resources=("CVE-*",)
    )
    assert world.run() is None
    assert world.state.offset == world.feed.history.last_offset
    assert len(world.lines()) == 5


def test_resources_that_fit_no_record_are_a_mistake_in_the_settings(world: World) -> None:
    populate(world.feed.history, 5)
    world.feed.publish_snapshot()
    world.consumer = Consumer(
        world.consumer.context, world.consumer.name, world.consumer.index, resources=("cve-*",)
    )
    error = world.run()
    assert error is not None
    assert error.exit_code == 3
    assert "cve-*" in error.message
    assert world.state.phase == "empty"


def test_a_range_that_is_too_large_for_one_question_is_applied_in_parts(started: World) -> None:
    started.policy = Policy(limits=Limits(json_values=6_000))
    assert started.run() is None
    assert started.holds()
    assert len([event for event in started.log.events if event.name == "range-halved"]) >= 2


def test_one_change_that_is_too_large_is_refused_with_the_setting(started: World) -> None:
    started.policy = Policy(limits=Limits(reply_bytes=300))
    error = started.run()
    assert _code(error) == 6
    assert error is not None
    assert error.hint == "if this is expected, raise limits.reply_bytes"
    started.policy = Policy()
    assert started.run() is None
    assert started.holds()


REFUSED = {
    "HTML instead of a ZIP": b"<!DOCTYPE html><html>Sign in</html>",
    "no byte at all": b"",
    "an empty ZIP": b"PK\x05\x06" + b"\0" * 18,
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_snapshot_that_is_refused_changes_nothing_and_is_not_fetched_again(
    current: World, case: str
) -> None:
    lines, state = current.lines(), current.state
    current.feed.history.poison(current.feed.history.names()[0])
    current.feed.publish_snapshot(body=REFUSED[case], offset=state.offset)
    assert _code(current.run()) == 6
    assert current.lines() == lines, "the old content is still there"
    fetched = len(current.feed.requests_for("snapshot"))
    bytes_sent = [request.status for request in current.feed.requests_for("snapshot")]
    assert _code(current.run()) == 6
    assert len(bytes_sent) <= fetched + 1, "at most its headers were looked at"
    assert list(current.spool.iterdir()) == []
    good = current.feed.publish_snapshot()
    assert current.run() is None
    assert current.state.last_snapshot_link == good
    assert current.holds()


def test_a_snapshot_without_end_is_not_downloaded_again_by_each_pass(current: World) -> None:
    """Its size is not announced, so that only its body can show that it is too large."""
    current.feed.history.poison(current.feed.history.names()[0])
    current.feed.publish_snapshot(body=b"x" * 50_000)
    current.feed.fail("snapshot", failures.undelimited(), times=None)
    current.policy = Policy(limits=Limits(snapshot_bytes=10_000))
    assert _code(current.run()) == 6

    again = current.run()

    assert again is not None
    assert "still offers the refused snapshot" in again.message
    assert list(current.spool.iterdir()) == []


def _code(error: CtisyncError | None) -> int:
    return 0 if error is None else error.exit_code
