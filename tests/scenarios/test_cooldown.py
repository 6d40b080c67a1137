"""A feed that asks to be left alone is left alone, by the next passes too, and no longer than that."""

import msgspec
import pytest

from ctisync.errors import CtisyncError, FeedUnreachable
from tests.support import feed_failures as failures
from tests.support.feed_failures import Failure
from tests.support.feed_history import churn, populate
from tests.support.world import World

BUSY: Failure = failures.status(429, {"Retry-After": "3600"})


@pytest.fixture
def following(world: World) -> World:
    """A world in step with its feed, which then goes on and wants to be left alone."""
    populate(world.feed.history, 20)
    world.feed.publish_snapshot()
    assert world.run() is None
    churn(world.feed.history, 50)
    world.feed.requests.clear()
    return world


def requests(world: World) -> int:
    return len(world.feed.requests)


def test_the_feed_gets_no_request_before_the_time(following: World) -> None:
    following.feed.fail("info", BUSY)
    assert isinstance(following.run(), FeedUnreachable)
    assert requests(following) == 1

    following.clock.advance(minutes=30)
    outcome = following.run()
    assert isinstance(outcome, FeedUnreachable)
    assert "cool-down of the feed until 2026-03-01T13:00:00Z" in outcome.message
    assert requests(following) == 1

    following.clock.advance(minutes=30)
    assert following.run() is None
    assert following.holds()
    assert following.state.cooldown is None


def test_passes_inside_it_do_not_make_it_longer(following: World) -> None:
    following.feed.fail("info", BUSY)
    following.run()
    until = following.state.cooldown
    for _ in range(5):
        following.clock.advance(minutes=10)
        assert isinstance(following.run(), FeedUnreachable)
    assert following.state.cooldown == until
    following.clock.advance(minutes=10)
    assert following.run() is None


def test_a_pass_that_already_writes_remembers_it_too(following: World) -> None:
    following.feed.fail("changes", BUSY)
    assert isinstance(following.run(), FeedUnreachable)
    assert following.state.last_offset == following.feed.history.last_offset, "the feed had answered before"
    before = requests(following)
    assert isinstance(following.run(), FeedUnreachable)
    assert requests(following) == before


def test_the_very_first_pass_remembers_it(world: World) -> None:
    populate(world.feed.history, 5)
    world.feed.publish_snapshot()
    world.feed.fail("info", BUSY)
    for _ in range(3):
        assert isinstance(world.run(), FeedUnreachable)
    assert requests(world) == 1
    world.clock.advance(hours=1)
    assert world.run() is None
    assert world.holds()


def test_an_owed_command_goes_out_while_the_feed_is_left_alone(following: World) -> None:
    following.manager.fail(500, times=100)
    following.feed.fail(lambda request: request.kind == "info" and following.state.owed is not None, BUSY)
    assert isinstance(following.run(), CtisyncError)
    assert isinstance(following.run(), FeedUnreachable)
    owed = following.state.owed
    assert owed is not None
    following.manager.failures.clear()
    before, sent = requests(following), len(following.commands())

    assert isinstance(following.run(), FeedUnreachable)

    assert following.state.owed is None
    assert len(following.commands()) == sent + 1
    assert requests(following) == before


def test_cron_may_take_it_for_a_good_pass_but_not_the_failure_itself(following: World) -> None:
    following.policy = msgspec.structs.replace(following.policy, tolerate_cooldown=True)
    following.feed.fail("info", BUSY)
    assert isinstance(following.run(), FeedUnreachable)
    assert following.run() is None
    (ended,) = following.log.named("pass-ended")
    assert ended["outcome"] == "cooldown"
    assert {event.level for event in following.log.events} == {"info", "debug"}


def test_a_content_that_has_grown_old_is_not_hidden_behind_a_cool_down(following: World) -> None:
    """Cron and pings would report success for as long as the feed asks to be left alone."""
    following.policy = msgspec.structs.replace(following.policy, tolerate_cooldown=True)
    following.feed.fail("info", failures.status(429, {"Retry-After": "86400"}), times=2)
    following.clock.advance(hours=1)
    assert isinstance(following.run(), FeedUnreachable)
    following.clock.advance(hours=23)
    assert following.run() is None
    following.clock.advance(minutes=1)
    starving = following.run()
    assert isinstance(starving, FeedUnreachable)
    assert "the content is too old to tolerate that (hooks.stale_after)" in starving.message
    assert "--tolerate-cooldown" not in str(starving.hint)
    assert requests(following) == 1


def test_a_host_that_never_had_content_is_no_success_either(world: World) -> None:
    world.policy = msgspec.structs.replace(world.policy, tolerate_cooldown=True)
    world.feed.fail("info", BUSY)
    assert isinstance(world.run(), FeedUnreachable)
    assert isinstance(world.run(), FeedUnreachable)


def test_a_spent_budget_is_a_reason_as_well(following: World) -> None:
    following.cooldown = 600.0
    following.feed.fail("info", failures.status(500), times=None)
    assert isinstance(following.run(), FeedUnreachable)
    following.feed.heal()
    before = requests(following)
    assert isinstance(following.run(), FeedUnreachable)
    assert requests(following) == before
    following.clock.advance(seconds=600)
    assert following.run() is None


def test_a_clock_that_jumps_back_for_years_does_not_stop_the_updates(following: World) -> None:
    following.clock.advance(days=3650)
    following.feed.fail("info", BUSY)
    assert isinstance(following.run(), FeedUnreachable)
    following.clock.advance(days=-3650)
    assert following.run() is None
    assert following.holds()


def test_another_feed_gets_requests_at_once_and_so_does_the_first_one_when_the_settings_lead_back_to_it(
    following: World,
) -> None:
    """A mirror has not asked for anything: its content would come an hour late, or a day."""
    following.policy = msgspec.structs.replace(following.policy, server="https://cti.example/api/v1")
    following.feed.fail("info", BUSY)
    assert isinstance(following.run(), FeedUnreachable)
    assert isinstance(following.run(), FeedUnreachable)
    assert requests(following) == 1

    following.policy = msgspec.structs.replace(following.policy, server="https://mirror.example/api/v1")
    assert following.run() is None
    assert following.holds()
    assert following.state.cooldown is None


def test_a_mirror_that_asks_to_be_left_alone_as_well_is_left_alone(following: World) -> None:
    following.policy = msgspec.structs.replace(following.policy, server="https://cti.example/api/v1")
    following.feed.fail("info", BUSY, times=2)
    following.run()
    following.policy = msgspec.structs.replace(following.policy, server="https://mirror.example/api/v1")
    following.clock.advance(minutes=30)
    assert isinstance(following.run(), FeedUnreachable)
    assert requests(following) == 2
    outcome = following.run()
    assert outcome is not None
    assert "cool-down of the feed until 2026-03-01T13:30:00Z" in outcome.message
    assert requests(following) == 2


def test_a_cool_down_that_an_earlier_version_has_stored_holds_for_any_server(following: World) -> None:
    following.feed.fail("info", BUSY)
    following.run()
    following.policy = msgspec.structs.replace(following.policy, server="https://mirror.example/api/v1")
    assert isinstance(following.run(), FeedUnreachable)
    assert requests(following) == 1


def test_an_operator_who_knows_better_asks_now_and_the_feeds_new_word_counts(following: World) -> None:
    following.feed.fail("info", BUSY, times=2)
    following.run()
    following.clock.advance(minutes=30)
    following.policy = msgspec.structs.replace(following.policy, now=True)
    again = following.run()
    assert isinstance(again, FeedUnreachable)
    assert requests(following) == 2
    assert again.hint is not None
    assert "after 2026-03-01T13:30:00Z" in again.hint
    assert "ctisync sync --now" in again.hint
    following.policy = msgspec.structs.replace(following.policy, now=False)
    assert isinstance(following.run(), FeedUnreachable)
    following.policy = msgspec.structs.replace(following.policy, now=True)
    assert following.run() is None
    assert following.holds()


def test_without_cool_downs_none_is_stored_and_none_counts(following: World) -> None:
    following.feed.fail("info", BUSY)
    following.run()
    following.policy = msgspec.structs.replace(following.policy, cooldowns=False)
    following.feed.fail("info", BUSY)
    refused = following.run()
    assert isinstance(refused, FeedUnreachable)
    assert requests(following) == 2
    assert refused.hint is not None
    assert "--now" not in refused.hint, "the next pass asks anyway"
    assert following.run() is None
    assert following.state.cooldown is None
