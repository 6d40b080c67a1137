"""What a pass would do: the decisions of `steps.next_step`, as if each step that it decides on succeeded."""

from collections.abc import Callable, Iterator
from datetime import datetime

import msgspec

from ctisync.core.model import Consumer, ConsumerInfo, OffsetRange
from ctisync.core.state import (
    ConsumerState,
    RefusedSnapshot,
    advanced,
    command_accepted,
    initialisation_asked,
    initialisation_given_up,
    initialised,
    load_abandoned,
    looked,
)
from ctisync.core.steps import (
    ApplyRange,
    AskFeed,
    End,
    Initialise,
    NoteAsked,
    Policy,
    SendCommand,
    Settle,
    SoFar,
    Step,
    next_step,
)


class Foreseen(msgspec.Struct, frozen=True):
    """A step, and the state in which it would leave the content; `refused_before`: the snapshot that it loads
    is one that a pass could not use."""

    step: Step
    state: ConsumerState
    refused_before: RefusedSnapshot | None = None


def foresee(
    state: ConsumerState,
    consumer: Consumer,
    policy: Policy,
    now: datetime,
    ask: Callable[[], ConsumerInfo],
    offered: ConsumerInfo | None = None,
) -> Iterator[Foreseen]:
    """The steps of a pass that finds `state`, in their order, to its End. Ranges that follow each other are
    one. `ask` asks the feed, unless `offered` is its word."""
    info, so_far = offered, SoFar()
    ranges: list[Foreseen] = []
    while True:
        refused = None
        step = next_step(state, info, consumer, so_far, policy, now)
        match step:
            case Settle():
                state = msgspec.structs.replace(load_abandoned(state), unsettled=False)
            case NoteAsked(wanted):
                asked = initialisation_asked(state, consumer, now)
                state = asked if wanted else initialisation_given_up(state)
            case SendCommand():
                state = command_accepted(state)
            case AskFeed():
                info = ask()
                state = looked(state, info, now)
            case Initialise(snapshot):
                refused = state.refused if state.refused and state.refused.link == snapshot.link else None
                state = initialised(state, snapshot, consumer, now)
                so_far = so_far.after(initialised=True, advanced=True)
            case ApplyRange(of):
                state = advanced(state, of.to, now)
                so_far = so_far.after(advanced=True)
                ranges.append(Foreseen(step, state))
                continue
        yield from _as_one(ranges)
        ranges = []
        yield Foreseen(step, state, refused)
        if isinstance(step, End):
            return


def _as_one(ranges: list[Foreseen]) -> Iterator[Foreseen]:
    offsets = [each.step.range for each in ranges if isinstance(each.step, ApplyRange)]
    if offsets:
        yield Foreseen(ApplyRange(OffsetRange(offsets[0].after, offsets[-1].to)), ranges[-1].state)
