"""What a pass would do: the decisions of `steps.next_step`, if each step succeeded."""

from collections.abc import Callable, Iterator
from datetime import datetime

import msgspec

from ctisync.core.model import Consumer, ConsumerInfo, OffsetRange
from ctisync.core.state import (
    ConsumerState,
    FailedChange,
    RefusedSnapshot,
    advanced,
    command_accepted,
    feed_answered,
    initialisation_cancelled,
    initialisation_requested,
    initialised,
    load_abandoned,
)
from ctisync.core.steps import (
    ApplyRange,
    AskFeed,
    End,
    Initialise,
    Policy,
    RecordRequest,
    SendCommand,
    Settle,
    Situation,
    SoFar,
    Step,
    next_step,
)


class PlannedStep(msgspec.Struct, frozen=True):
    """A step, and the state after it. `refusal`: set if an earlier pass refused the snapshot that the step
    loads; `failure`: if an earlier pass could not apply a change of the step's range."""

    step: Step
    state: ConsumerState
    refusal: RefusedSnapshot | None = None
    failure: FailedChange | None = None


def plan_pass(
    state: ConsumerState,
    consumer: Consumer,
    policy: Policy,
    now: datetime,
    ask: Callable[[], ConsumerInfo],
    offered: ConsumerInfo | None = None,
) -> Iterator[PlannedStep]:
    """The steps of a pass that begins with `state`, in order, to its End. Consecutive ranges are combined.
    `ask` requests the feed's information, unless `offered` replaces it."""
    info, so_far = offered, SoFar()
    ranges: list[PlannedStep] = []
    while True:
        refusal = None
        step = next_step(Situation(state, info, consumer, so_far, policy, now))
        match step:
            case Settle():
                state = msgspec.structs.replace(load_abandoned(state), unsettled=False)
            case RecordRequest(cancel=True):
                state = initialisation_cancelled(state)
            case RecordRequest():
                state = initialisation_requested(state, consumer, now)
            case SendCommand(offset):
                state = command_accepted(state, offset, now)
            case AskFeed():
                info = ask()
                state = feed_answered(state, info, now)
            case Initialise(snapshot):
                refusal = state.refused if state.is_refused(snapshot) else None
                state = initialised(state, snapshot, consumer, now)
                so_far = so_far.after(initialised=True, advanced=True)
            case ApplyRange(offsets):
                failed = state.failed
                failure = failed if failed is not None and failed.offset <= offsets.to else None
                state = advanced(state, offsets.to, now)
                so_far = so_far.after(advanced=True)
                ranges.append(PlannedStep(step, state, failure=failure))
                continue
        yield from _combined(ranges)
        ranges = []
        yield PlannedStep(step, state, refusal)
        if isinstance(step, End):
            return


def _combined(ranges: list[PlannedStep]) -> Iterator[PlannedStep]:
    offsets = [each.step.range for each in ranges if isinstance(each.step, ApplyRange)]
    if offsets:
        failure = next((each.failure for each in ranges if each.failure is not None), None)
        step = ApplyRange(OffsetRange(offsets[0].after, offsets[-1].to))
        yield PlannedStep(step, ranges[-1].state, failure=failure)
