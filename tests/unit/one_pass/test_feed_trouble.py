"""A feed that wants to be left alone, answers too much or too little, or tells what no pass can follow."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState, Cooldown, Owed
from ctisync.errors import (
    AccessRefused,
    CtisyncError,
    EmptyStore,
    FeedRefused,
    FeedUnreachable,
    ReplyTooLarge,
    StoreUnavailable,
)
from tests.support.memory_store import MemoryStore
from tests.unit.one_pass.stage import ABOUT, Stage


@pytest.mark.parametrize("writing", [False, True], ids=["an idle pass", "a pass that writes"])
def test_a_feed_that_wants_to_be_left_alone_is_left_alone_by_the_next_passes(
    following: Stage, writing: bool
) -> None:
    if writing:
        following.put(owed=Owed(3))
    following.server.failure = FeedUnreachable("429", cooldown=3600.0)
    with pytest.raises(FeedUnreachable, match="429"):
        following.run()
    assert following.state.cooldown == Cooldown(following.clock.now() + timedelta(hours=1), "429")
    # Who holds the lease is the only one who may write on every store.
    assert following.effects.count("record_check") == (not writing), "one write for the try and the pause"
    assert following.state.tried_at == following.clock.now()
    following.server.failure = None
    with pytest.raises(FeedUnreachable, match="cool-down of the feed until 2026-03-01T13:00:00Z: 429"):
        following.run()
    assert "consumer_info" not in following.effects
    following.run(tolerate_cooldown=True)
    assert following.ended()["outcome"] == "cooldown"
    following.clock.advance(hours=1)
    following.run()
    assert following.state.cooldown is None


@pytest.mark.parametrize("failure", [FeedUnreachable("reset"), FeedRefused("no JSON")])
def test_a_failure_that_asks_for_no_pause_begins_none(following: Stage, failure: CtisyncError) -> None:
    following.server.failure = failure
    with pytest.raises(type(failure)):
        following.run()
    assert following.state.cooldown is None


@pytest.mark.parametrize("failure", [FeedUnreachable("reset"), FeedRefused("no JSON"), AccessRefused("401")])
def test_a_try_without_an_answer_is_remembered_as_one(following: Stage, failure: CtisyncError) -> None:
    """ "The feed was last asked 2 days ago", where it was asked each hour, leads to the wrong trouble."""
    following.run()
    answered = following.clock.now()
    following.clock.advance(hours=1)
    following.server.failure = failure
    with pytest.raises(type(failure)):
        following.run()
    assert (following.state.checked_at, following.state.tried_at) == (answered, following.clock.now())
    assert following.effects.count("record_check") == 1
    assert "writer" not in following.effects


class FullStore(MemoryStore):
    def record_check(self, consumer: Consumer, state: ConsumerState) -> None:
        raise StoreUnavailable("no space left")


def test_a_cool_down_that_cannot_be_stored_is_logged_and_the_feeds_failure_stays_the_reason(
    following: Stage,
) -> None:
    following.store = FullStore(following.storage)
    following.server.failure = FeedUnreachable("429", cooldown=60.0)
    with pytest.raises(FeedUnreachable, match="429"):
        following.run()
    (event,) = following.shown
    assert event == ("warning", "cooldown-not-remembered", ABOUT | {"why": "no space left"})


def too_large_above(stage: Stage, most: int) -> None:
    """The server's reply is too large for a range of more offsets than these."""
    answered = stage.server.changes

    def changes(after: int, to: int) -> list[Any]:
        if to - after > most:
            raise ReplyTooLarge("too much")
        return answered(after, to)

    stage.server.changes = changes  # type: ignore[method-assign]


def test_a_range_too_large_to_be_had_at_once_is_halved_until_it_can(following: Stage) -> None:
    following.server.history.gap(8)
    too_large_above(following, 2)
    following.run()
    assert following.state.offset == 11
    halved = [event for event in following.log.events if event.name == "range-halved"]
    assert halved[0] == ("info", "range-halved", ABOUT | {"range": "(3, 7]", "why": "too much"})
    assert halved[1].fields["range"] == "(3, 5]"


def test_one_change_that_is_too_large_ends_the_pass_instead_of_being_requested_for_ever(
    following: Stage,
) -> None:
    following.server.history.create("CVE-3")
    too_large_above(following, 0)
    with pytest.raises(ReplyTooLarge):
        following.run()
    assert following.effects.count("changes") == 1


def test_a_range_that_may_be_half_written_is_not_halved(following: Stage) -> None:
    following.server.history.gap(8)
    following.put(range_to=11)
    too_large_above(following, 0)
    with pytest.raises(ReplyTooLarge):
        following.run()
    assert following.log.named("range-halved") == []


@pytest.mark.parametrize(
    ("changes", "policy", "error", "words"),
    [
        (
            {"last_offset": 2, "link": None},
            {},
            FeedRefused,
            "went back: its last offset is 2, .* nothing was changed",
        ),
        ({"last_offset": 20_000_000}, {}, FeedRefused, "is more than 10000000 above"),
        ({}, {"mode": "update"}, EmptyStore, "no content to update from"),
    ],
    ids=["a feed that went back", "a feed that leaps", "nothing to update"],
)
def test_a_pass_that_cannot_go_on_says_why_and_what_to_type(
    stage: Stage, changes: dict[str, Any], policy: dict[str, Any], error: type[CtisyncError], words: str
) -> None:
    if changes:
        stage.run()
    for name, value in changes.items():
        setattr(stage.server, name, value)
    with pytest.raises(error, match=f"^vd_1.0.0/vd_4.8.0: .*{words}") as raised:
        stage.run(**policy)
    assert raised.value.hint is not None
    assert "ctisync" in raised.value.hint
    assert "tidy" not in stage.effects


def test_a_feed_without_a_snapshot_is_waited_for_and_nothing_is_tidied(stage: Stage) -> None:
    stage.server.link = None
    stage.run()
    assert stage.ended() == ABOUT | {
        "outcome": "no-snapshot",
        "why": "the feed offers no snapshot yet",
    }
    assert "tidy" not in stage.effects
    assert stage.state.last_offset == 3, "status can tell how far the feed is"


def test_an_answer_without_a_last_offset_is_a_warning_and_changes_nothing(following: Stage) -> None:
    """Else nobody would notice for weeks that nothing is followed any more."""
    before = following.state
    following.server.consumer = lambda: {"data": {"last_offset": None}}  # type: ignore[method-assign]
    following.run()
    (event,) = [event for event in following.log.events if event.name == "pass-ended"]
    assert (event.level, event.fields["outcome"]) == ("warning", "nothing-known")
    assert (following.state.offset, following.state.last_offset) == (before.offset, before.last_offset)
