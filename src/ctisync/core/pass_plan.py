"""What a pass would do: the decisions of `steps.next_step`, if each step succeeded."""

from collections.abc import Callable, Iterator
from datetime import datetime

import msgspec

from ctisync.core import steps
from ctisync.core.model import Consumer, ConsumerInfo, OffsetRange
from ctisync.core.state import ConsumerState, FailedChange, RefusedSnapshot


class PlannedStep(msgspec.Struct, frozen=True):
    """A step, and the state after it. `refusal`: set if an earlier pass refused the snapshot that the step
    loads; `failure`: if an earlier pass could not apply a change of the step's range."""

    step: steps.Step
    state: ConsumerState
    refusal: RefusedSnapshot | None = None
    failure: FailedChange | None = None


def plan_pass(
    state: ConsumerState,
    consumer: Consumer,
    policy: steps.Policy,
    now: datetime,
    ask: Callable[[], ConsumerInfo],
    offered: ConsumerInfo | None = None,
) -> Iterator[PlannedStep]:
    """The steps of a pass that begins with `state`, in order, to its End. Consecutive ranges are one step.
    `ask` requests the feed's information, unless `offered` replaces it."""
    info, so_far = offered, steps.SoFar()
    step: steps.Step | None = None
    while not isinstance(step, steps.End):
        refusal = failure = None
        step = steps.next_step(steps.Situation(state, info, consumer, so_far, policy, now))
        match step:
            case steps.Settle():
                state = msgspec.structs.replace(state.load_abandoned(), unsettled=False)
            case steps.RecordRequest(cancel=True):
                state = state.initialisation_cancelled()
            case steps.RecordRequest():
                state = state.initialisation_requested(consumer, now)
            case steps.SendCommand(offset):
                state = state.command_accepted(offset, now)
            case steps.AskFeed():
                info = ask()
                state = state.feed_answered(info, now)
            case steps.Initialise(snapshot):
                refusal = state.refused if state.is_refused(snapshot) else None
                state = state.initialised(snapshot, consumer, now)
                so_far = so_far.after(initialised=True, advanced=True)
            case steps.ApplyRange(offsets):
                to = state.last_offset or offsets.to  # nothing comes between two ranges
                step = steps.ApplyRange(OffsetRange(offsets.after, to))
                failure = state.failed if state.failed is not None and state.failed.offset <= to else None
                state = state.advanced(to, now)
                so_far = so_far.after(advanced=True)
        yield PlannedStep(step, state, refusal, failure)
