"""Transitions of what is remembered: none may claim more than the content holds."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from ctisync.core import state as transitions
from ctisync.core.model import Consumer, ConsumerInfo, OffsetRange, Snapshot
from ctisync.core.state import (
    Accepted,
    ConsumerState,
    Cooldown,
    FailedChange,
    LoadRequest,
    Owed,
    RefusedSnapshot,
)
from ctisync.stores import invariants

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
SNAPSHOT = Snapshot("link-700", 700)
READY = ConsumerState(offset=1000, content=True, stored_for=Consumer(), last_offset=2000)
FAILED = FailedChange(1501, "CVE-2024-1", 2, "why", "d1", snapshot_link="link-600")


def test_what_the_feed_leaves_out_does_not_wipe_what_is_stored() -> None:
    stored = ConsumerState(last_offset=5, last_snapshot_link="l")
    after = stored.feed_answered(ConsumerInfo(None, None), NOW)
    assert (after.last_offset, after.last_snapshot_link, after.checked_at) == (5, "l", NOW)
    after = stored.feed_answered(ConsumerInfo(6, SNAPSHOT), NOW)
    assert (after.last_offset, after.last_snapshot_link) == (6, "link-700")


def test_initialising_stands_at_the_snapshots_offset_and_owes_a_command() -> None:
    before = ConsumerState(
        loading=True,
        range_to=3,
        refused=RefusedSnapshot("l", None, None, "r"),
        owed=Owed(5, attempts=2),
        occupant="a/b",
    )
    after = before.initialised(SNAPSHOT, Consumer(), NOW)
    assert (after.offset, after.snapshot_offset, after.owed) == (700, 700, Owed(700, attempts=2))
    assert (after.content, after.loading, after.range_to, after.refused) == (True, False, None, None)
    assert (after.stored_for, after.updated_at, after.occupant) == (Consumer(), NOW, None)
    assert after.phase == "ready"


def test_a_failed_change_ahead_of_the_snapshot_is_remembered_as_tried_with_it() -> None:
    after = ConsumerState(failed=FAILED).initialised(SNAPSHOT, Consumer(), NOW)
    assert after.failed is not None
    assert (after.failed.reinitialised, after.failed.snapshot_link) == (True, "link-700")
    past = ConsumerState(failed=FAILED).initialised(Snapshot("l", 1501), Consumer(), NOW)
    assert past.failed is None


def test_advancing_past_a_failed_change_forgets_it_and_no_sooner() -> None:
    blocked = READY.blocked(FAILED)
    assert blocked.advanced(1500, NOW).failed is not None
    assert blocked.advanced(1501, NOW).failed is None


def test_an_advance_owes_a_command_for_the_offset_then_indexed() -> None:
    begun = msgspec.structs.replace(READY, range_to=1300)
    after = begun.advanced(1300, NOW)
    assert (after.offset, after.owed, after.range_to, after.updated_at) == (1300, Owed(1300), None, NOW)


@pytest.mark.parametrize(("offset", "content", "to"), [(1000, True, 1000), (1000, True, 999), (0, False, 5)])
def test_an_advance_that_claims_more_than_there_is_cannot_be_made(
    offset: int, content: bool, to: int
) -> None:
    with pytest.raises(ValueError, match="cannot advance"):
        ConsumerState(offset=offset, content=content).advanced(to, NOW)


def test_an_interruption_sets_the_offset_to_0_and_says_when() -> None:
    after = READY.interrupted(FAILED, NOW)
    assert (after.offset, after.content, after.reinitialised_at) == (0, True, NOW)
    assert after.failed is not None
    assert after.failed.reinitialised
    assert after.phase == "loading"


def test_commands_are_owed_until_accepted() -> None:
    owing = READY.advanced(1300, NOW)
    refused = owing.command_refused().command_refused()
    assert refused.owed == Owed(1300, attempts=2)
    assert refused.command_needless() == msgspec.structs.replace(refused, owed=None)
    accepted = refused.command_accepted(1300, NOW)
    assert (accepted.owed, accepted.accepted) == (None, Accepted(1300, NOW))
    with pytest.raises(ValueError, match="no command"):
        READY.command_refused()


@pytest.mark.parametrize(
    ("stored", "phase"),
    [
        (ConsumerState(), "empty"),
        (ConsumerState().load_begun(), "loading"),
        (READY.load_begun().load_abandoned(), "ready"),
        (READY, "ready"),
        (msgspec.structs.replace(READY, offset=1), "ready"),
        (msgspec.structs.replace(READY, content=False), "empty"),
        (READY.load_begun(), "loading"),
        (READY.blocked(FAILED), "blocked"),
    ],
)
def test_the_phase_says_what_readers_and_operators_can_count_on(stored: ConsumerState, phase: str) -> None:
    assert stored.phase == phase


def test_the_distance_behind_is_unknown_until_the_feed_has_answered() -> None:
    assert ConsumerState().behind is None
    assert READY.behind == 1000
    assert ConsumerState(offset=9, last_offset=5).behind == 0


def test_what_is_up_to_date_is_in_step_since_the_feed_last_answered() -> None:
    stored = ConsumerState(offset=9, last_offset=9, checked_at=NOW, updated_at=NOW - timedelta(days=9))
    assert stored.in_step_at == NOW


def test_what_is_behind_was_in_step_when_it_last_changed_and_no_later_than_the_feed_answered() -> None:
    changed = NOW - timedelta(hours=2)
    stored = ConsumerState(offset=9, last_offset=10, checked_at=NOW, updated_at=changed)
    assert stored.in_step_at == changed
    assert msgspec.structs.replace(stored, checked_at=changed, updated_at=NOW).in_step_at == changed
    assert msgspec.structs.replace(stored, updated_at=None).in_step_at is None


def test_a_load_that_leaves_the_content_behind_does_not_make_it_younger() -> None:
    """A blocked content would be initialised from the same snapshot every day, and never be stale."""
    in_step = ConsumerState(offset=9, last_offset=9, content=True, checked_at=NOW, updated_at=NOW)
    behind = in_step.feed_answered(ConsumerInfo(20, None), NOW + timedelta(hours=1))
    assert behind.in_step_at == NOW
    for day in range(1, 4):
        now = NOW + timedelta(days=day)
        behind = behind.feed_answered(ConsumerInfo(20, None), now)
        behind = behind.interrupted(FAILED, now)
        behind = behind.initialised(Snapshot("l", 8), Consumer(), now)
        behind = behind.advanced(10, now)
        assert behind.in_step_at == NOW
        assert behind.is_stale(timedelta(hours=23), now)
        assert not behind.is_stale(timedelta(hours=24) * day, now)
    assert behind.advanced(20, NOW).in_step_at == behind.checked_at


def test_a_content_that_never_was_in_step_is_as_old_as_its_first_load() -> None:
    answered = ConsumerState().feed_answered(ConsumerInfo(20, None), NOW)
    loaded = answered.initialised(Snapshot("l", 8), Consumer(), NOW)
    later = NOW + timedelta(days=1)
    again = loaded.feed_answered(ConsumerInfo(20, None), later).initialised(
        Snapshot("l", 8), Consumer(), later
    )
    assert (loaded.in_step_at, again.in_step_at) == (NOW, NOW)


def test_a_content_that_was_in_step_until_the_feed_went_on_is_not_as_old_as_its_last_change() -> None:
    """A feed that stood still for days and then answers once would make each content stale."""
    changed = NOW - timedelta(days=5)
    quiet = ConsumerState(offset=9, last_offset=9, content=True, checked_at=NOW, updated_at=changed)
    assert quiet.feed_answered(ConsumerInfo(10, None), NOW + timedelta(hours=1)).in_step_at == NOW


def test_a_check_without_an_answer_is_a_try() -> None:
    answered = READY.feed_answered(ConsumerInfo(None, None), NOW)
    later = NOW + timedelta(hours=1)
    unanswered = answered.unanswered(later)
    assert (unanswered.checked_at, unanswered.tried_at) == (NOW, later)
    assert invariants.differs_by_check(answered, unanswered)
    again = unanswered.feed_answered(ConsumerInfo(None, None), later + timedelta(hours=1))
    assert again.tried_at == again.checked_at == later + timedelta(hours=1)


def test_when_the_feed_answers_no_time_stays_that_lies_in_the_future() -> None:
    """A pass whose clock was ahead has stored it; monitoring would count from it for years."""
    ahead = NOW + timedelta(days=3650)
    stored = ConsumerState(offset=9, last_offset=9, checked_at=ahead, updated_at=ahead)
    mended = stored.feed_answered(ConsumerInfo(9, None), NOW)
    assert (mended.checked_at, mended.updated_at) == (NOW, NOW)
    earlier = NOW - timedelta(days=1)
    kept = msgspec.structs.replace(stored, updated_at=earlier)
    assert kept.feed_answered(ConsumerInfo(9, None), NOW).updated_at == earlier


@pytest.mark.parametrize("unknown", ["last_offset", "checked_at"])
def test_without_an_answer_nothing_counts_as_in_step(unknown: str) -> None:
    stored = ConsumerState(offset=9, last_offset=10, checked_at=NOW, updated_at=NOW)
    assert msgspec.structs.replace(stored, **{unknown: None}).in_step_at is None


def test_a_refused_snapshot_is_remembered() -> None:
    refused = RefusedSnapshot("l", '"e"', 5, "no ZIP")
    assert READY.snapshot_refused(refused).refused == refused


def test_a_state_of_an_earlier_version_keeps_the_request_and_the_useless_snapshot() -> None:
    """An earlier version, to which an operator goes back, reads them under the same names."""
    text = b'{"in_vain":"link-700","asked":{"consumer":{"index":"x"},"at":"2026-11-24T03:00:00Z"}}'
    stored = msgspec.json.decode(text, type=ConsumerState)
    assert stored.useless_snapshot == "link-700"
    assert stored.requested == LoadRequest(Consumer(index="x"), NOW)
    assert {"in_vain", "asked"} <= msgspec.json.decode(msgspec.json.encode(stored)).keys()


def test_a_stored_time_without_a_zone_is_refused_since_no_other_can_be_compared_with_it() -> None:
    for time, is_valid in (("2026-11-24T03:00:00Z", True), ("2026-11-24T03:00:00", False)):
        text = f'{{"checked_at":"{time}"}}'.encode()
        with nullcontext() if is_valid else pytest.raises(msgspec.ValidationError):
            assert msgspec.json.decode(text, type=ConsumerState).checked_at == NOW


def test_a_content_that_is_gone_begins_again_from_a_snapshot() -> None:
    gone = msgspec.structs.replace(READY, range_to=1300).content_gone()
    assert (gone.offset, gone.content, gone.range_to) == (0, False, None)


def test_only_the_occupant_that_an_operator_has_named_may_be_replaced() -> None:
    beside = ConsumerState(occupant="a/b")
    assert not beside.may_replace
    requested = beside.initialisation_requested(Consumer(), NOW)
    assert requested.may_replace
    assert not msgspec.structs.replace(requested, occupant="another/b").may_replace
    assert not requested.initialisation_cancelled().may_replace


def test_no_command_is_owed_for_the_content_of_another_consumer() -> None:
    owing = READY.advanced(1300, NOW)
    assert owing.owed_for(Consumer()) == Owed(1300)
    assert owing.owed_for(Consumer(index="another")) is None
    assert msgspec.structs.replace(owing, occupant="a/b").owed_for(Consumer()) is None


def test_a_content_that_never_was_in_step_is_stale() -> None:
    assert ConsumerState().is_stale(timedelta.max, NOW)


def test_the_next_range_is_the_begun_one_else_the_next_offsets() -> None:
    assert transitions.next_range(READY, 5000, 1000) == OffsetRange(1000, 2000)
    assert transitions.next_range(READY, 1200, 1000) == OffsetRange(1000, 1200)
    begun = ConsumerState(offset=1000, range_to=1100)
    assert transitions.next_range(begun, 5000, 1000) == OffsetRange(1000, 1100)


def test_a_blocked_change_that_was_tried_stays_tried_so_that_it_cannot_loop() -> None:
    tried = ConsumerState(failed=FAILED).initialised(SNAPSHOT, Consumer(), NOW)
    again = tried.blocked(FAILED.while_offered("link-700"))
    assert again.failed is not None
    assert (again.failed.blocked, again.failed.reinitialised) == (True, True)
    elsewhere = tried.blocked(FAILED.while_offered("link-800"))
    assert elsewhere.failed is not None
    assert not elsewhere.failed.reinitialised


def test_a_change_is_tried_once_it_has_led_to_an_initialisation_and_not_when_it_was_only_met() -> None:
    """A change that blocked within the interval gets its one initialisation when the interval is over."""
    assert (FAILED.reinitialised, FAILED.blocked) == (False, False)
    assert not ConsumerState().has_tried(FAILED)
    assert not ConsumerState().has_tried(msgspec.structs.replace(FAILED, snapshot_link=None))
    assert not ConsumerState(failed=FAILED).has_tried(FAILED)
    assert ConsumerState(failed=msgspec.structs.replace(FAILED, reinitialised=True)).has_tried(FAILED)
    assert not ConsumerState(
        failed=msgspec.structs.replace(FAILED, reinitialised=True, digest="d2")
    ).has_tried(FAILED)


def test_a_useless_snapshot_is_remembered_until_another_one_is_loaded() -> None:
    """A range that passes over the change and meets the next else fetches the snapshot each time."""
    behind = msgspec.structs.replace(FAILED, offset=FAILED.offset + 1, digest="d2")
    assert not READY.blocked(FAILED).has_tried(behind), "it only waits"
    waiting = READY.blocked(FAILED, initialised_now=True)
    passed = waiting.advanced(FAILED.offset, NOW)
    assert passed.failed is None
    for state in (waiting, passed, passed.blocked(behind)):
        assert state.has_tried(behind)
        assert not state.has_tried(msgspec.structs.replace(behind, snapshot_link="another"))
        assert not state.has_tried(msgspec.structs.replace(behind, snapshot_link=None))
    same = Snapshot(FAILED.snapshot_link or "", 700)
    assert passed.initialised(same, Consumer(), NOW).useless_snapshot == same.link
    assert passed.initialised(Snapshot("another", 700), Consumer(), NOW).useless_snapshot is None


def test_a_content_that_begins_again_is_neither_blocked_nor_within_a_range() -> None:
    stuck = msgspec.structs.replace(READY.blocked(FAILED), range_to=1600)
    interrupted = stuck.interrupted(msgspec.structs.replace(FAILED, blocked=True), NOW)
    for after in (interrupted, stuck.initialised(SNAPSHOT, Consumer(), NOW)):
        assert after.failed is not None
        assert (after.failed.blocked, after.range_to) == (False, None)


def test_a_cooldown_lasts_as_long_as_requested_and_no_longer() -> None:
    after = READY.cooldown_begun(90, "answers 429", NOW)
    assert after.cooldown == Cooldown(NOW + timedelta(seconds=90), "answers 429")
    assert after.cooldown_at(NOW) == after.cooldown_at(NOW + timedelta(seconds=89)) == after.cooldown
    assert after.cooldown_at(NOW + timedelta(seconds=90)) is None


@pytest.mark.parametrize("seconds", [86_401, 1e9, 1e12])
def test_no_server_is_left_alone_for_longer_than_a_day(seconds: float) -> None:
    after = READY.cooldown_begun(seconds, "answers 429", NOW)
    assert after.cooldown_at(NOW) is not None
    assert after.cooldown_at(NOW + timedelta(hours=23, minutes=59)) is not None
    assert after.cooldown_at(NOW + timedelta(hours=24)) is None


def test_a_cooldown_that_lasts_is_not_made_longer() -> None:
    first = READY.cooldown_begun(90, "first", NOW)
    assert first.cooldown_begun(90, "second", NOW + timedelta(seconds=89)) == first
    later = first.cooldown_begun(90, "second", NOW + timedelta(seconds=90))
    assert later.cooldown == Cooldown(NOW + timedelta(seconds=180), "second")


def test_a_cooldown_from_a_clock_that_was_wrong_is_none_and_makes_way_for_a_right_one() -> None:
    future = READY.cooldown_begun(90, "a wrong clock", NOW + timedelta(days=3650))
    assert future.cooldown_at(NOW) is None
    assert future.cooldown_begun(90, "now", NOW).cooldown == Cooldown(NOW + timedelta(seconds=90), "now")


@pytest.mark.parametrize(
    ("begun_by", "applies_to"),
    [("one", {"one", None}), (None, {"one", "other", None})],
    ids=["of a server", "of an earlier version"],
)
def test_a_cooldown_of_one_server_does_not_keep_a_pass_from_another(
    begun_by: str | None, applies_to: set[str | None]
) -> None:
    cooling = READY.cooldown_begun(90, "answers 429", NOW, begun_by)
    for server in ("one", "other", None):
        expected = cooling.cooldown if server in applies_to else None
        assert cooling.cooldown_at(NOW, server) == expected, server


def test_a_feed_that_answers_is_left_alone_no_more() -> None:
    cooling = READY.cooldown_begun(90, "answers 429", NOW)
    assert cooling.cooldown_ended() == READY
    assert cooling.feed_answered(ConsumerInfo(None, None), NOW).cooldown is None


def test_a_cooldown_may_be_remembered_without_a_lease_but_nothing_else_along_with_it() -> None:
    cooling = READY.cooldown_begun(90, "answers 429", NOW)
    assert invariants.differs_by_check(READY, cooling)
    assert not invariants.differs_by_check(READY, cooling.load_begun())
