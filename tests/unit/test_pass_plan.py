"""What a dry run foresees is what the pass then does."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import msgspec
import pytest

from ctisync.core.model import Consumer, ConsumerInfo, OffsetRange, Snapshot
from ctisync.core.pass_plan import plan_pass
from ctisync.core.state import ConsumerState, Cooldown, FailedChange, LoadRequest, RefusedSnapshot
from ctisync.core.steps import (
    ApplyRange,
    AskFeed,
    End,
    Initialise,
    Policy,
    RecordRequest,
    SendCommand,
    Settle,
    Step,
    next_step,
)
from ctisync.errors import CommandNotAccepted, EmptyStore, FeedRefused, FeedUnreachable
from ctisync.sync import run_pass as running
from tests.support.memory_feed import MemoryFeed
from tests.unit.one_pass.stage import CONSUMER, Stage, offering


@pytest.fixture
def stage() -> Stage:
    return offering()


def nothing_stored(stage: Stage) -> None:
    pass


def in_step(stage: Stage) -> None:
    stage.run()


def behind(stage: Stage) -> None:
    stage.run()
    for _ in range(3):  # offsets of more than one range
        stage.server.history.gap(900)
        stage.server.history.update("CVE-1", [{"op": "replace", "path": "/n", "value": 1}])


def behind_from_the_start(stage: Stage) -> None:
    behind(stage)
    stage.storage.drop(CONSUMER)


def with_a_command_owed(stage: Stage) -> None:
    stage.commands.refusals = 9
    with pytest.raises(CommandNotAccepted):
        stage.run()
    stage.commands.refusals = 0


def half_loaded(stage: Stage) -> None:
    stage.put(loading=True)


def left_alone(stage: Stage) -> None:
    stage.run()
    stage.put(cooldown=Cooldown(stage.clock.now() + timedelta(hours=1), "429"))


def blocked(stage: Stage) -> None:
    stage.run()
    failed = FailedChange(4, "CVE-1", 0, "no", "d", "elsewhere", reinitialised=True, blocked=True)
    stage.put(failed=failed)
    stage.server.history.update("CVE-1", [{"op": "replace", "path": "/n", "value": 1}])
    stage.server.offer_snapshot()


def ahead_of_the_feed(stage: Stage) -> None:
    stage.run()
    stage.put(offset=99)


def with_a_request(stage: Stage) -> None:
    stage.run()
    stage.put(requested=LoadRequest(CONSUMER, stage.clock.now()))


SITUATIONS = [
    nothing_stored,
    in_step,
    behind,
    behind_from_the_start,
    with_a_command_owed,
    half_loaded,
    left_alone,
    blocked,
    ahead_of_the_feed,
    with_a_request,
]


def planned_steps(stage: Stage, policy: Policy, consumer: Consumer = CONSUMER) -> list[Step]:
    feed = MemoryFeed(stage.server)
    steps = plan_pass(stage.state, consumer, policy, stage.clock.now(), feed.consumer_info)
    return [each.step for each in steps]


def done(stage: Stage, monkeypatch: pytest.MonkeyPatch, policy: Policy) -> list[Step]:
    """The decisions of a pass: once each, though they are made again when the lease was taken."""
    made: list[Step] = []

    def decide(*about: object) -> Step:
        step = next_step(*about)  # type: ignore[arg-type]
        if not (isinstance(step, AskFeed) or (made and made[-1] == step)):
            made.append(step)
        return step

    monkeypatch.setattr(running, "next_step", decide)
    with suppress(FeedRefused, FeedUnreachable, EmptyStore):  # so some end
        stage.run(**msgspec.structs.asdict(policy))
    assert isinstance(made[-1], End)
    return made


def as_one(steps: list[Step]) -> list[Step]:
    joined: list[Step] = []
    for step in steps:
        last = joined[-1] if joined else None
        if isinstance(step, ApplyRange) and isinstance(last, ApplyRange):
            joined[-1] = ApplyRange(OffsetRange(last.range.after, step.range.to))
        elif not isinstance(step, AskFeed):
            joined.append(step)
    return joined


@pytest.mark.parametrize("mode", ["sync", "update", "init-snapshot"])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_pass_then_does_what_was_planned(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, situation: Callable[[Stage], None], mode: str
) -> None:
    situation(stage)
    policy = Policy(mode=mode, reinit_interval=timedelta(0))  # type: ignore[arg-type]
    before = stage.state

    expected = planned_steps(stage, policy)

    assert stage.state == before, "only looked at"
    assert as_one(expected) == as_one(done(stage, monkeypatch, policy))


def test_a_request_that_the_pass_cancels_is_planned_as_cancelled(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_a_request(stage)
    policy = Policy(keep=True)
    expected = planned_steps(stage, policy)
    assert expected[0] == RecordRequest(cancel=True)
    assert as_one(expected) == as_one(done(stage, monkeypatch, policy))


def test_it_says_where_the_content_would_stand(stage: Stage) -> None:
    behind(stage)
    feed = MemoryFeed(stage.server)
    *_, last = plan_pass(stage.state, CONSUMER, Policy(), stage.clock.now(), feed.consumer_info)
    assert last.state.offset == stage.server.history.last_offset
    assert isinstance(last.step, End)
    assert last.step.outcome == "up-to-date"


def test_all_ranges_are_planned_as_one(stage: Stage) -> None:
    behind_from_the_start(stage)
    last = stage.server.history.last_offset
    assert last > 2000
    first, second, third, fourth, end = planned_steps(stage, Policy())
    assert isinstance(first, AskFeed)
    assert isinstance(second, Initialise)
    assert third == ApplyRange(OffsetRange(3, last))
    assert fourth == SendCommand(last)
    assert isinstance(end, End)


def test_what_a_dead_pass_has_left_comes_first() -> None:
    state = ConsumerState(unsettled=True)
    first, *_ = plan_pass(state, CONSUMER, Policy(), Stage().clock.now(), lambda: ConsumerInfo(None, None))
    assert first.step == Settle()
    assert not first.state.unsettled


def test_the_plan_sends_no_request_where_the_answer_is_at_hand(stage: Stage) -> None:
    def ask() -> ConsumerInfo:
        raise AssertionError

    snapshot = Snapshot("given.zip", 7)
    offered = ConsumerInfo(None, snapshot)
    policy = Policy(mode="init-snapshot")
    steps = [each.step for each in plan_pass(stage.state, CONSUMER, policy, stage.clock.now(), ask, offered)]
    assert steps[0] == Initialise(snapshot, "requested with init-snapshot")
    assert isinstance(steps[-1], End)


def test_a_snapshot_that_was_refused_before_is_planned_as_such(stage: Stage) -> None:
    feed = MemoryFeed(stage.server)
    link = feed.consumer_info().snapshot.link  # type: ignore[union-attr]
    for stored_link in (link, "another"):
        refused = RefusedSnapshot(stored_link, None, None, "cut off")
        stage.put(refused=refused)
        _, load, *_ = plan_pass(stage.state, CONSUMER, Policy(), stage.clock.now(), feed.consumer_info)
        assert isinstance(load.step, Initialise)
        assert load.refusal == (refused if stored_link == link else None)


@pytest.mark.parametrize(("offset", "is_in_range"), [(4, True), (5, True), (6, False)])
def test_a_change_of_the_range_that_could_not_be_applied_before_is_planned_as_such(
    stage: Stage, offset: int, is_in_range: bool
) -> None:
    stage.run()
    for number in (1, 2):
        stage.server.history.update("CVE-1", [{"op": "replace", "path": "/n", "value": number}])
    feed = MemoryFeed(stage.server)
    link = feed.consumer_info().snapshot.link  # type: ignore[union-attr]
    failed = FailedChange(offset, "CVE-1", 0, "no", "d", link, reinitialised=True, blocked=True)
    stage.put(failed=failed)
    _, update, *_ = plan_pass(stage.state, CONSUMER, Policy(), stage.clock.now(), feed.consumer_info)
    assert update.step == ApplyRange(OffsetRange(3, 5))
    assert update.failure == (failed if is_in_range else None)
