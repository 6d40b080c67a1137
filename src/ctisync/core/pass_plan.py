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
    SoFar,
    Step,
    next_step,
)


class PlannedStep(msgspec.Struct, frozen=True):
    """A step, and the state after it. `refused_before`: set if an earlier pass refused the snapshot that the
    step loads; `failed_before`: if it could not apply a change of the step's range."""

    step: Step
    state: ConsumerState
    refused_before: RefusedSnapshot | None = None
    failed_before: FailedChange | None = None


def plan_pass(
    state: ConsumerState,
    consumer: Consumer,
    policy: Policy,
    now: datetime,
    ask: Callable[[], ConsumerInfo],
    offered: ConsumerInfo | None = None,
) -> Iterator[PlannedStep]:
    """The steps of a pass that finds `state`, in order, to its End. Consecutive ranges are combined. `ask`
    requests the feed's information, unless `offered` replaces it."""
    info, so_far = offered, SoFar()
    ranges: list[PlannedStep] = []
    while True:
        refused = None
        step = next_step(state, info, consumer, so_far, policy, now)
        match step:
            case Settle():
                state = msgspec.structs.replace(load_abandoned(state), unsettled=False)
            case RecordRequest(wanted):
                asked = initialisation_requested(state, consumer, now)
                state = asked if wanted else initialisation_cancelled(state)
            case SendCommand(offset):
                state = command_accepted(state, offset, now)
            case AskFeed():
                info = ask()
                state = feed_answered(state, info, now)
            case Initialise(snapshot):
                refused = state.refused if state.refused and state.refused.link == snapshot.link else None
                state = initialised(state, snapshot, consumer, now)
                so_far = so_far.after(initialised=True, advanced=True)
            case ApplyRange(of):
                failed = state.failed if state.failed is not None and state.failed.offset <= of.to else None
                state = advanced(state, of.to, now)
                so_far = so_far.after(advanced=True)
                ranges.append(PlannedStep(step, state, failed_before=failed))
                continue
        yield from _as_one(ranges)
        ranges = []
        yield PlannedStep(step, state, refused)
        if isinstance(step, End):
            return


def _as_one(ranges: list[PlannedStep]) -> Iterator[PlannedStep]:
    offsets = [each.step.range for each in ranges if isinstance(each.step, ApplyRange)]
    if offsets:
        failed = next((each.failed_before for each in ranges if each.failed_before is not None), None)
        step = ApplyRange(OffsetRange(offsets[0].after, offsets[-1].to))
        yield PlannedStep(step, ranges[-1].state, failed_before=failed)
