"""An initialisation that an operator has asked for is done, by whichever pass can, until it is given up."""

import json

import msgspec
import pytest

from ctisync.errors import CtisyncError, FeedUnreachable, SettingsChanged, SnapshotRefused
from tests.support import feed_failures as failures
from tests.support.feed_history import churn, populate
from tests.support.world import World


@pytest.fixture
def current(world: World) -> World:
    """In step with a feed that has a newer snapshot than the one that was loaded, large enough to be cut."""
    populate(world.feed.history, 60)
    world.feed.publish_snapshot()
    assert world.run() is None
    churn(world.feed.history, 30)
    world.feed.publish_snapshot("ndjson")
    assert world.run() is None
    world.feed.requests.clear()
    return world


def cut_off(world: World) -> CtisyncError | None:
    """An `init-snapshot` whose download ends half way, at a feed that then is not reachable any more."""
    world.feed.fail("snapshot", failures.cut_off(0.5))
    world.feed.fail("snapshot", failures.status(503), times=None)
    error = world.run("init-snapshot")
    world.feed.heal()
    return error


def loads(world: World) -> int:
    return len(world.log.named("initialised"))


def test_the_next_sync_does_it_and_goes_on_with_the_half_download(current: World) -> None:
    assert isinstance(cut_off(current), FeedUnreachable)
    assert current.holds()
    assert list(current.spool.glob("[!.]*.part"))
    current.feed.requests.clear()

    assert current.run() is None

    assert loads(current) == 1
    (request,) = current.feed.requests_for("snapshot")
    assert request.headers["range"].startswith("bytes=")
    assert current.holds()
    assert current.state.requested is None
    assert current.run() is None
    assert loads(current) == 0, "it is done once"


def test_an_update_neither_does_it_nor_takes_the_download_away(current: World) -> None:
    cut_off(current)
    churn(current.feed.history, 10)
    assert current.run("update") is None
    assert current.holds()
    assert list(current.spool.glob("[!.]*.part"))
    assert current.run() is None
    assert loads(current) == 1


def test_it_is_cancelled_where_the_operator_says_so(current: World) -> None:
    cut_off(current)
    current.policy = msgspec.structs.replace(current.policy, keep=True)
    assert current.run() is None
    assert loads(current) == 0
    assert len(current.log.named("initialise-given-up")) == 1
    assert not list(current.spool.glob("[!.]*.part"))
    current.policy = msgspec.structs.replace(current.policy, keep=False)
    assert current.run() is None
    assert loads(current) == 0


def test_to_cancel_without_a_request_is_a_pass_like_any(current: World) -> None:
    current.policy = msgspec.structs.replace(current.policy, keep=True)
    assert current.run() is None
    assert current.log.named("initialise-given-up") == []


def test_it_is_recorded_although_the_feed_did_not_answer(current: World) -> None:
    current.feed.fail("info", failures.status(503), times=None)
    assert isinstance(current.run("init-snapshot"), FeedUnreachable)
    current.feed.heal()
    assert current.run() is None
    assert loads(current) == 1


def test_it_waits_for_the_end_of_a_cool_down(current: World) -> None:
    current.feed.fail("info", failures.status(429, {"Retry-After": "3600"}))
    assert isinstance(current.run("init-snapshot"), FeedUnreachable)
    assert isinstance(current.run("init-snapshot"), FeedUnreachable)
    current.clock.advance(hours=1)
    assert current.run() is None
    assert loads(current) == 1


def test_a_feed_without_a_snapshot_goes_on_being_followed_until_there_is_one(world: World) -> None:
    populate(world.feed.history, 5)
    world.feed.publish_snapshot()
    assert world.run() is None
    world.feed.info["last_snapshot_link"] = None
    assert world.run("init-snapshot") is None
    churn(world.feed.history, 10)
    assert world.run() is None
    assert world.holds()
    del world.feed.info["last_snapshot_link"]
    assert world.run() is None
    assert loads(world) == 1
    assert world.holds()


def test_a_snapshot_that_is_no_good_holds_up_no_updates_and_the_next_one_is_loaded(current: World) -> None:
    current.feed.publish_snapshot(body=b"<html>Sorry</html>")
    assert isinstance(current.run("init-snapshot"), SnapshotRefused)
    churn(current.feed.history, 10)
    assert current.run() is None
    assert current.holds()
    assert current.state.requested is not None
    current.clock.advance(hours=1)
    current.feed.publish_snapshot()
    assert current.run() is None
    assert loads(current) == 1
    assert current.state.requested is None


def test_an_operator_who_asks_again_has_a_refused_snapshot_tried_again(current: World) -> None:
    current.feed.publish_snapshot(body=b"<html>Sorry</html>")
    assert isinstance(current.run("init-snapshot"), SnapshotRefused)
    current.feed.fail("info", failures.status(503), times=None)
    assert isinstance(current.run("init-snapshot"), FeedUnreachable)
    current.feed.heal()
    assert isinstance(current.run(), SnapshotRefused)


def test_the_settings_of_the_request_are_those_that_a_sync_may_load_anew_with(
    current: World,
) -> None:
    before = current.consumer
    current.consumer = msgspec.structs.replace(before, resources=("CVE-*-*1",))
    assert isinstance(current.run(), SettingsChanged)
    assert isinstance(cut_off(current), FeedUnreachable)
    assert current.run() is None
    assert loads(current) == 1
    names = [json.loads(line)["name"] for line in current.lines()]
    assert names
    assert all(name.endswith("1") for name in names)


def test_settings_that_were_undone_go_on_from_the_content_that_is_there(current: World) -> None:
    before = current.consumer
    current.consumer = msgspec.structs.replace(before, resources=("CVE-*-*1",))
    cut_off(current)
    current.consumer = before
    churn(current.feed.history, 10)
    assert current.run() is None
    assert loads(current) == 0
    assert current.holds()


def test_what_stands_in_its_way_is_an_error_with_the_way_to_cancel_it(current: World) -> None:
    """A snapshot that cannot be had is to lock nobody out of the updates."""
    cut_off(current)
    current.feed.fail("snapshot", failures.status(404), times=None)
    error = current.run()
    assert error is not None
    assert error.hint is not None
    assert "ctisync sync --keep" in error.hint
