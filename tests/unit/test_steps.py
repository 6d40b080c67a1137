"""The state machine: each row of the pass table in words, and what must never follow from it."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from ctisync.core.limits import Limits
from ctisync.core.model import Consumer, ConsumerInfo, OffsetRange, Snapshot
from ctisync.core.state import (
    ConsumerState,
    Cooldown,
    FailedChange,
    LoadRequest,
    Owed,
    RefusedSnapshot,
)
from ctisync.core.steps import (
    ApplyRange,
    AskFeed,
    End,
    Initialise,
    Mode,
    Policy,
    RecordRequest,
    SendCommand,
    Settle,
    Situation,
    SoFar,
    Step,
    may_interrupt,
    next_step,
    range_ahead,
)

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
CONSUMER = Consumer()
SNAPSHOT = Snapshot("https://cti.example/store/700_1746459961.zip", 700)
NEWER = Snapshot("https://cti.example/store/1900_1746459999.zip", 1900)
FEED = ConsumerInfo(last_offset=5000, snapshot=SNAPSHOT)
FAILED = FailedChange(1501, "CVE-2024-1", 0, "no such member", "d1", snapshot_link=SNAPSHOT.link)


def state(offset: int = 1000, **fields: object) -> ConsumerState:
    base = {"content": offset > 0, "stored_for": CONSUMER if offset else None}
    return ConsumerState(offset=offset, **{**base, **fields})  # type: ignore[arg-type]


def decide(
    stored: ConsumerState,
    info: ConsumerInfo | None = FEED,
    so_far: SoFar | None = None,
    policy: Policy | None = None,
    consumer: Consumer = CONSUMER,
) -> Step:
    return next_step(Situation(stored, info, consumer, so_far or SoFar(), policy or Policy(), NOW))


def interrupts(
    stored: ConsumerState,
    failed: FailedChange,
    snapshot: Snapshot | None = SNAPSHOT,
    so_far: SoFar | None = None,
    policy: Policy | None = None,
) -> bool:
    info = ConsumerInfo(5000, snapshot)
    return may_interrupt(
        Situation(stored, info, CONSUMER, so_far or SoFar(), policy or Policy(), NOW), failed
    )


def ends(step: Step) -> str:
    assert isinstance(step, End), step
    return step.outcome


BLOCKED = FailedChange(1501, "CVE-2024-1", 0, "no", "d1", SNAPSHOT.link, reinitialised=True, blocked=True)

ROWS: dict[str, tuple[ConsumerState, ConsumerInfo | None, Step]] = {
    "a swap was begun: finish it first, then look again": (
        state(unsettled=True, owed=Owed(1000)),
        None,
        Settle(),
    ),
    "a load was begun by a pass that is dead: clear it away first": (
        state(5000, loading=True),
        FEED,
        Settle(),
    ),
    "a command is owed: it goes out before the feed is asked": (
        state(owed=Owed(1000)),
        None,
        SendCommand(1000),
    ),
    "nothing is known of the feed yet: ask it": (state(), None, AskFeed()),
    "a command is owed inside a cool-down: it goes out all the same": (
        state(owed=Owed(1000), cooldown=Cooldown(NOW + timedelta(minutes=5), "answers 429")),
        None,
        SendCommand(1000),
    ),
    "inside a cool-down the feed is not asked": (
        state(cooldown=Cooldown(NOW + timedelta(minutes=5), "answers 429")),
        None,
        End("cooldown", "cool-down of the feed until 2026-11-24T03:05:00Z: answers 429"),
    ),
    "the cool-down is over: ask the feed": (
        state(cooldown=Cooldown(NOW, "answers 429")),
        None,
        AskFeed(),
    ),
    "a cool-down that is longer than any may be: ask the feed": (
        state(cooldown=Cooldown(NOW + timedelta(hours=24, seconds=1), "a clock's mistake")),
        None,
        AskFeed(),
    ),
    "inside a cool-down, the feed is not to be asked anyway: go on": (
        state(1000, cooldown=Cooldown(NOW + timedelta(minutes=5), "answers 429")),
        FEED,
        ApplyRange(OffsetRange(1000, 2000)),
    ),
    "nothing is stored: initialise": (
        ConsumerState(),
        FEED,
        Initialise(SNAPSHOT, "nothing is stored yet"),
    ),
    "offset 0 and a snapshot: initialise": (
        state(0),
        FEED,
        Initialise(SNAPSHOT, "nothing is stored yet"),
    ),
    "there was a content, and somebody has removed it: initialise, and say so": (
        state(0, snapshot_offset=700, stored_for=CONSUMER, failed=FAILED),
        FEED,
        Initialise(SNAPSHOT, "the stored content is gone"),
    ),
    "offset 0 after a failed change and a snapshot: initialise again": (
        state(0, content=True, stored_for=CONSUMER, failed=FAILED),
        FEED,
        Initialise(SNAPSHOT, "change 1501 could not be applied"),
    ),
    "offset 0 after a failed change, the loaded content still there: initialise again": (
        state(0, content=True, snapshot_offset=700, stored_for=CONSUMER, failed=FAILED),
        FEED,
        Initialise(SNAPSHOT, "change 1501 could not be applied"),
    ),
    "offset below last_offset: apply the next range of at most 1000": (
        state(1000),
        FEED,
        ApplyRange(OffsetRange(1000, 2000)),
    ),
    "close to last_offset: the range ends there": (state(4990), FEED, ApplyRange(OffsetRange(4990, 5000))),
    "a range was begun by a dead pass: the same range again": (
        state(1000, range_to=1300),
        FEED,
        ApplyRange(OffsetRange(1000, 1300)),
    ),
    "blocked, the feed offers a snapshot not tried with: initialise": (
        state(1500, failed=BLOCKED),
        ConsumerInfo(5000, NEWER),
        Initialise(NEWER, "the feed offers a new snapshot after a change that cannot be applied"),
    ),
    "blocked, no snapshot on offer: look at that range only": (
        state(1500, failed=BLOCKED),
        ConsumerInfo(5000, None),
        ApplyRange(OffsetRange(1500, 2500)),
    ),
    "blocked at the snapshot that it came from: look at that range only": (
        state(700, failed=BLOCKED),
        FEED,
        ApplyRange(OffsetRange(700, 1700)),
    ),
    "blocked, nothing new on offer: look at that range only": (
        state(1500, failed=BLOCKED),
        FEED,
        ApplyRange(OffsetRange(1500, 2500)),
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_the_pass_table_decides(row: str) -> None:
    stored, info, step = ROWS[row]
    assert decide(stored, info) == step


ENDS: dict[str, tuple[ConsumerState, ConsumerInfo, str]] = {
    "offset 0 and no snapshot yet: nothing to do, say so": (state(0), ConsumerInfo(10, None), "no-snapshot"),
    "offset 0 after a failed change and no snapshot: blocked": (
        state(0, content=True, stored_for=CONSUMER, failed=FAILED),
        ConsumerInfo(5000, None),
        "blocked",
    ),
    "offset equals last_offset: nothing to do": (state(5000), FEED, "up-to-date"),
    "last_offset is null: nothing can be said": (state(), ConsumerInfo(None, SNAPSHOT), "nothing-known"),
    "last_offset is null and nothing is stored: nothing can be said either": (
        state(0),
        ConsumerInfo(None, SNAPSHOT),
        "nothing-known",
    ),
    "offset above last_offset: the feed went back": (state(5001), FEED, "went-back"),
    "a begun range above last_offset: the feed went back": (
        state(4500, range_to=5001),
        FEED,
        "went-back",
    ),
}


@pytest.mark.parametrize("row", ENDS)
def test_the_pass_table_ends(row: str) -> None:
    stored, info, outcome = ENDS[row]
    assert ends(decide(stored, info)) == outcome


def test_other_settings_than_the_stored_ones_stop_a_pass_before_a_request() -> None:
    wider = Consumer(resources=("CVE-*",), index="cves")
    step = decide(state(), None, consumer=wider)
    assert ends(step) == "settings"
    assert isinstance(step, End)
    assert "resources is ['CVE-*']" in step.why
    assert "index is 'cves'" in step.why
    for one, other in (("index", Consumer(resources=("CVE-*",))), ("resources", Consumer(index="cves"))):
        step = decide(state(), None, consumer=other)
        assert isinstance(step, End)
        assert f"{one} is" not in step.why
    assert "index is 'cves'" in step.why


def test_a_last_offset_that_is_too_far_away_to_be_believed_moves_nothing() -> None:
    """A feed that lies about it would confirm gap after gap, and the stored offset with it."""
    near = Policy(limits=Limits(offsets_ahead=1000))
    assert decide(state(4000), policy=near) == ApplyRange(OffsetRange(4000, 5000))
    assert ends(decide(state(3999), policy=near)) == "too-far"
    assert ends(decide(state(5000), ConsumerInfo(2**63 - 1, SNAPSHOT))) == "too-far"
    assert isinstance(decide(state(3999), policy=Policy("init-snapshot", limits=near.limits)), Initialise)


def test_init_snapshot_is_the_way_out_of_changed_settings() -> None:
    step = decide(state(), FEED, policy=Policy(mode="init-snapshot"), consumer=Consumer(index="cves"))
    assert step == Initialise(SNAPSHOT, "requested with init-snapshot")


def test_what_an_operator_asks_for_is_stored_before_anything_else_is_done() -> None:
    init = Policy("init-snapshot")
    assert decide(state(owed=Owed(1000)), None, policy=init) == RecordRequest()
    requested = state(requested=LoadRequest(CONSUMER, NOW))
    assert decide(requested, None, policy=init) == AskFeed()
    assert decide(requested, None, policy=init, consumer=Consumer(index="cves")) == RecordRequest()
    refused = RefusedSnapshot(SNAPSHOT.link, None, None, "no ZIP")
    assert decide(replace(requested, refused=refused), None, policy=init) == RecordRequest()


def test_an_operators_request_is_done_by_a_sync_unless_it_cannot_be_or_is_cancelled() -> None:
    requested = state(5000, requested=LoadRequest(CONSUMER, NOW))
    assert isinstance(decide(requested), Initialise)
    assert decide(requested, policy=Policy(keep=True)) == RecordRequest(cancel=True)
    assert ends(decide(state(5000), policy=Policy(keep=True))) == "up-to-date"
    assert ends(decide(requested, policy=Policy("update"))) == "up-to-date"
    refused = replace(requested, refused=RefusedSnapshot(SNAPSHOT.link, None, None, "no ZIP"))
    assert ends(decide(refused)) == "up-to-date", "no updates wait for a better snapshot"
    assert isinstance(decide(refused, ConsumerInfo(5000, NEWER)), Initialise)
    assert ends(decide(requested, ConsumerInfo(5000, None))) == "up-to-date"


@pytest.mark.parametrize("mode", ["sync", "update", "init-snapshot"])
def test_an_index_with_the_content_of_another_consumer_is_left_alone(mode: Mode) -> None:
    for stored in (state(0, occupant="a/b"), state(1000, occupant="a/b")):
        assert ends(decide(stored, None, policy=Policy(mode=mode))) == "replaced"
        assert ends(decide(stored, policy=Policy(mode=mode))) == "replaced"
    if mode != "init-snapshot":
        assert ends(decide(state(0, occupant="a/b"), policy=Policy(mode=mode, replace=True))) == "replaced"


@pytest.mark.parametrize("content", [True, False])
def test_the_end_names_the_consumer_that_has_the_index(content: bool) -> None:
    step = decide(state(content=content, occupant="a/b"))
    assert isinstance(step, End)
    assert "a/b" in step.why
    assert ("replaced" in step.why) is content


@pytest.mark.parametrize(("operation", "words"), [(0, "CVE-2024-1, operation 0 cannot"), (None, "-1 cannot")])
def test_a_blocked_end_names_the_change_and_its_operation(operation: int | None, words: str) -> None:
    failed = replace(FAILED, operation=operation)
    step = decide(state(0, content=True, failed=failed), ConsumerInfo(5000, None))
    assert isinstance(step, End)
    assert words in step.why


@pytest.mark.parametrize("info", [None, FEED], ids=["from the feed", "from a file"])
def test_which_consumer_may_be_replaced_is_stored_before_anything_is_loaded(
    info: ConsumerInfo | None,
) -> None:
    policy = Policy(mode="init-snapshot", replace=True)
    beside = state(0, occupant="a/b")
    assert decide(beside, info, policy=policy) == RecordRequest()
    requested = beside.initialisation_requested(CONSUMER, NOW)
    assert decide(requested, FEED) == Initialise(SNAPSHOT, "requested with init-snapshot, and not done yet")
    assert ends(decide(requested, ConsumerInfo(5000, None))) == "replaced", "nothing but a load replaces it"


def test_the_settings_of_the_request_are_no_reason_to_refuse_and_others_are() -> None:
    new = Consumer(index="cves")
    requested = state(requested=LoadRequest(new, NOW))
    assert isinstance(decide(requested, consumer=new), Initialise)
    assert ends(decide(requested, ConsumerInfo(5000, None), consumer=new)) == "settings"
    assert ends(decide(requested, consumer=new, policy=Policy("update"))) == "settings"
    assert ends(decide(requested, consumer=Consumer(index="others"))) == "settings"
    assert isinstance(decide(requested), ApplyRange), "undone settings go on"


def test_init_snapshot_initialises_whatever_the_stored_offset_and_stops_there() -> None:
    policy = Policy(mode="init-snapshot")
    assert isinstance(decide(state(5000), FEED, policy=policy), Initialise)
    after = decide(state(700), FEED, SoFar(initialised=True, advanced=True), policy)
    assert ends(after) == "initialised"
    assert ends(decide(state(), ConsumerInfo(5000, None), policy=policy)) == "no-snapshot"


def test_update_never_initialises() -> None:
    policy = Policy(mode="update", on_feed_reset="init")
    assert ends(decide(state(0), None, policy=policy)) == "empty", "no need to ask the feed"
    assert ends(decide(state(9000), FEED, policy=policy)) == "went-back"
    after_failure = state(0, content=True, stored_for=CONSUMER, failed=FAILED)
    assert ends(decide(after_failure, FEED, SoFar(interrupted=True), policy)) == "blocked"
    assert isinstance(
        decide(state(1500, failed=BLOCKED), ConsumerInfo(5000, NEWER), policy=policy), ApplyRange
    )


def test_a_feed_that_went_back_is_followed_only_where_the_setting_says_so() -> None:
    policy = Policy(on_feed_reset="init")
    assert isinstance(decide(state(9000), FEED, policy=policy), Initialise)
    assert ends(decide(state(9000), ConsumerInfo(5000, None), policy=policy)) == "went-back"
    once = SoFar(initialised=True, advanced=True)
    assert ends(decide(state(9000), FEED, once, policy)) == "went-back", "one snapshot a pass"


def test_several_advances_are_followed_by_one_command_after_the_last() -> None:
    moving = SoFar(advanced=True)
    assert isinstance(decide(state(1000, owed=Owed(1000)), FEED, moving), ApplyRange)
    assert decide(state(5000, owed=Owed(5000)), FEED, moving) == SendCommand(5000)
    assert ends(decide(state(5000), FEED, moving)) == "up-to-date"


def test_a_refused_command_is_not_repeated_until_the_content_moves_on() -> None:
    refused = SoFar().after(command_refused=True)
    assert ends(decide(state(5000, owed=Owed(5000)), FEED, refused)) == "up-to-date"
    moved = refused.after(advanced=True)
    assert decide(state(5000, owed=Owed(5000)), FEED, moved) == SendCommand(5000)


def test_a_command_owed_for_another_index_waits_for_the_settings_to_name_that_again() -> None:
    """Under the new name there is nothing yet that it could tell of."""
    elsewhere = state(
        owed=Owed(1000),
        stored_for=replace(CONSUMER, index="wazuh-cve-old"),
        requested=LoadRequest(CONSUMER, NOW),
    )
    init = Policy("init-snapshot")
    assert decide(elsewhere, None, policy=init) == AskFeed()
    assert isinstance(decide(elsewhere, policy=init), Initialise)
    assert (
        ends(decide(elsewhere, ConsumerInfo(last_offset=5000, snapshot=None), policy=init)) == "no-snapshot"
    )
    other_records = replace(elsewhere, stored_for=replace(CONSUMER, resources=("CVE-2020-*",)))
    assert decide(other_records, None, policy=init) == SendCommand(1000)


def test_a_command_owed_for_a_blocked_content_goes_out() -> None:
    so_far = SoFar(blocked=True, advanced=True)
    assert decide(state(1500, failed=BLOCKED, owed=Owed(1500)), FEED, so_far) == SendCommand(1500)
    assert ends(decide(state(1500, failed=BLOCKED), FEED, so_far)) == "blocked"


def test_the_first_failure_interrupts() -> None:
    assert interrupts(state(), FAILED)


def test_a_failure_while_no_snapshot_is_offered_waits_for_the_interval_as_any_other() -> None:
    refused = RefusedSnapshot(SNAPSHOT.link, None, None, "cut off")
    for last, answer in ((None, True), (NOW - timedelta(hours=1), False), (NOW - timedelta(hours=24), True)):
        stored = state(refused=refused, reinitialised_at=last)
        assert interrupts(stored, FAILED, snapshot=None) is answer


def test_a_change_that_fails_again_after_initialising_does_not_loop() -> None:
    again = state(1500, failed=BLOCKED, reinitialised_at=NOW - timedelta(days=30))
    assert not interrupts(again, FAILED)


def test_a_pass_never_takes_two_snapshots() -> None:
    assert not interrupts(state(), FAILED, so_far=SoFar(initialised=True))


def test_another_failing_change_waits_for_the_interval() -> None:
    other = FailedChange(1700, "CVE-2024-2", None, "no such record", "d2", snapshot_link=SNAPSHOT.link)
    policy = Policy(reinit_interval=timedelta(hours=24))
    recent = state(1699, failed=None, reinitialised_at=NOW - timedelta(hours=23))
    assert not interrupts(recent, other, policy=policy)
    earlier = state(1699, failed=None, reinitialised_at=NOW - timedelta(hours=24))
    assert interrupts(earlier, other, policy=policy)
    waiting = state(
        1500, failed=BLOCKED, useless_snapshot=SNAPSHOT.link, reinitialised_at=NOW - timedelta(hours=24)
    )
    assert not interrupts(waiting, other, policy=policy), "the snapshot leads back to the first"


def test_a_clock_that_was_wrong_once_does_not_forbid_initialising_for_years() -> None:
    future = state(1699, reinitialised_at=NOW + timedelta(days=3650))
    assert interrupts(future, FAILED)


def test_a_blocked_content_waits_for_the_interval_before_it_tries_a_snapshot_that_leads_back() -> None:
    level = Snapshot("https://cti.example/store/1500_1746459999.zip", 1500)
    recent = state(1500, failed=BLOCKED, reinitialised_at=NOW - timedelta(hours=1))
    assert isinstance(decide(recent, ConsumerInfo(5000, level)), ApplyRange)


def test_a_snapshot_that_contains_the_failed_change_is_tried_at_once_and_once() -> None:
    just_behind = Snapshot("https://cti.example/store/1501_1746459999.zip", 1501)
    info = ConsumerInfo(5000, just_behind)
    recent = state(1500, failed=BLOCKED, reinitialised_at=NOW)
    assert isinstance(decide(recent, info), Initialise)
    assert isinstance(decide(recent, info, policy=Policy("update")), ApplyRange)
    offered_all_along = replace(recent, failed=replace(BLOCKED, snapshot_link=just_behind.link))
    assert isinstance(decide(offered_all_along, info), Initialise), "an earlier version was held back"
    refused = replace(recent, refused=RefusedSnapshot(just_behind.link, None, None, "cut off"))
    assert isinstance(decide(refused, info), ApplyRange), "the feed may have corrected the change"

    another = replace(BLOCKED, digest="d2", snapshot_link=just_behind.link)
    assert interrupts(recent, another, just_behind)
    assert not interrupts(refused, another, just_behind)
    assert not interrupts(recent, another, just_behind, SoFar(initialised=True))


@pytest.mark.parametrize("mode", ["sync", "init-snapshot", "update"])
def test_a_cooldown_holds_back_every_kind_of_pass(mode: Mode) -> None:
    cooling = state(
        cooldown=Cooldown(NOW + timedelta(minutes=5), "answers 429"),
        requested=LoadRequest(CONSUMER, NOW),
    )
    assert ends(decide(cooling, None, policy=Policy(mode=mode))) == "cooldown"


@pytest.mark.parametrize("policy", [Policy(now=True), Policy(cooldowns=False)], ids=["now", "none"])
def test_a_pass_that_ignores_cooldowns_asks_the_feed(policy: Policy) -> None:
    cooling = state(cooldown=Cooldown(NOW + timedelta(minutes=5), "answers 429"))
    assert decide(cooling, None, policy=policy) == AskFeed()
    assert ends(decide(cooling, None)) == "cooldown"


def test_a_cooldown_is_tolerated_only_until_the_content_is_stale() -> None:
    in_step = state(5000, last_offset=5000, checked_at=NOW - timedelta(hours=2), updated_at=NOW)
    tolerant = Policy(tolerate_cooldown=True, stale_after=timedelta(hours=2))
    assert tolerant.tolerates(in_step, NOW)
    assert not tolerant.tolerates(in_step, NOW + timedelta(seconds=1))
    assert not Policy(stale_after=timedelta(hours=2)).tolerates(in_step, NOW)


@pytest.mark.parametrize("mode", ["sync", "update"])
def test_a_stored_state_that_contradicts_itself_moves_nothing(mode: Mode) -> None:
    assert ends(decide(state(content=False), policy=Policy(mode=mode))) == "state-wrong"
    assert ends(decide(state(content=False), None, policy=Policy(mode=mode))) == "state-wrong"


def test_a_refused_command_is_not_repeated_inside_a_cooldown() -> None:
    cooling = state(owed=Owed(1000), cooldown=Cooldown(NOW + timedelta(minutes=5), "answers 429"))
    assert ends(decide(cooling, None, SoFar().after(command_refused=True))) == "cooldown"


def test_a_blocked_content_never_goes_back_to_an_older_snapshot_by_itself() -> None:
    older = Snapshot("https://cti.example/store/1400_1746459999.zip", 1400)
    assert isinstance(decide(state(1500, failed=BLOCKED), ConsumerInfo(5000, older)), ApplyRange)
    level = Snapshot("https://cti.example/store/1500_1746459999.zip", 1500)
    assert isinstance(decide(state(1500, failed=BLOCKED), ConsumerInfo(5000, level)), Initialise)


FLAGS = ("initialised", "advanced", "interrupted", "blocked")


@pytest.mark.parametrize("flag", FLAGS)
def test_what_a_pass_has_been_through_stays_so_and_nothing_else_comes_along(flag: str) -> None:
    once = SoFar().after(**{flag: True})
    assert once == SoFar(**{flag: True})
    assert once.after() == once
    assert once.after(**dict.fromkeys(FLAGS, True)) == SoFar(**dict.fromkeys(FLAGS, True))
    assert SoFar().after() == SoFar()


def test_a_refused_command_stays_refused_until_the_content_moves_on() -> None:
    refused = SoFar().after(command_refused=True)
    assert refused == SoFar(command_refused=True)
    assert refused.after(blocked=True).command_refused
    assert not refused.after(advanced=True).command_refused
    assert refused.after(advanced=True, command_refused=True).command_refused


def test_a_change_that_failed_before_is_tried_before_another_snapshot_is_loaded_for_it() -> None:
    """The content came from a snapshot below it; the feed may have mended it since."""
    ahead = state(1000, failed=replace(FAILED, reinitialised=True))
    offered = ConsumerInfo(last_offset=5000, snapshot=NEWER)
    assert decide(ahead, offered) == ApplyRange(OffsetRange(1000, 2000))


AHEAD = {
    "the next thousand": (OffsetRange(1000, 2000), state(2000, last_offset=5000), OffsetRange(2000, 3000)),
    "what is left of them": (OffsetRange(1000, 2000), state(2000, last_offset=2001), OffsetRange(2000, 2001)),
    "nothing behind the feed's last offset": (OffsetRange(1000, 2000), state(2000, last_offset=2000), None),
    "nothing while it is not known": (OffsetRange(1000, 2000), state(2000), None),
    "nothing when it would be too much": (OffsetRange(1000, 2000), state(1500, last_offset=5000), None),
}


@pytest.mark.parametrize("name", AHEAD)
def test_what_is_prefetched_is_the_next_steps_range_and_no_other(name: str) -> None:
    applied, after, ahead = AHEAD[name]
    assert range_ahead(ApplyRange(applied), after) == ahead
    if ahead is not None:
        assert decide(after, ConsumerInfo(after.last_offset, None)) == ApplyRange(ahead)
