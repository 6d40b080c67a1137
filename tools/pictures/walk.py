"""Which step follows which: `next_step` itself is asked, in every situation that a small world can come to.

In that world offsets are few. Its feed gives one of eight answers; each step ends in each way that the pass
knows of; a pass may die within any of them, and what it leaves behind is what the next one begins with, in
each mode. So no situation is made up: all come from "nothing is stored", by the transitions of `core.state`.

`init-snapshot --from` is left out: it brings the feed's answer along, and does without AskFeed.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

from msgspec.structs import replace

from ctisync.core.limits import Limits
from ctisync.core.model import Consumer, ConsumerInfo, Mirrored, Snapshot
from ctisync.core.state import ConsumerState, Cooldown, FailedChange
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
    may_interrupt,
    next_step,
)

START: Final = "start"
"""Stands where the name of a step does, before the first one."""

_NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
_CONSUMER: Final = Consumer()
_ANOTHER: Final = Consumer(index="another")
_COOLDOWN: Final = Cooldown(datetime(2026, 1, 1, 1, tzinfo=UTC), "answers 429")

_LIMITS: Final = Limits(offsets_ahead=10_000)
_POLICIES: Final = (
    Policy("sync", limits=_LIMITS),
    Policy("sync", on_feed_reset="init", limits=_LIMITS),
    Policy("sync", keep=True, limits=_LIMITS),
    Policy("update", limits=_LIMITS),
    Policy("init-snapshot", limits=_LIMITS),
    Policy("init-snapshot", replace=True, limits=_LIMITS),
)

_OLD: Final = Snapshot("https://cti.example/1000_1.zip", 1000)
_NEW: Final = Snapshot("https://cti.example/2000_2.zip", 2000)
_ANSWERS: Final = (
    ConsumerInfo(None, _OLD),
    ConsumerInfo(1000, _OLD),
    ConsumerInfo(2000, None),
    ConsumerInfo(2000, _OLD),
    ConsumerInfo(3000, _NEW),
    ConsumerInfo(90_000, _OLD),
    ConsumerInfo(1000, _OLD, mirror=Mirrored(_NOW, 0)),
    ConsumerInfo(3000, _NEW, mirror=Mirrored(_NOW, 2000)),
)


class Effect(NamedTuple):
    """A way in which a step ends, in a word or two, and the situation after it."""

    name: str
    after: Situation


class Machine(NamedTuple):
    """`effects` by step: all its ways to end. `follows` by two steps: the ways of the first to end after
    which the second comes. `ends` by step: the outcomes with which the pass may end right after it.
    `reasons` are those of an initialisation, N for any number."""

    effects: dict[str, set[str]]
    follows: dict[tuple[str, str], set[str]]
    ends: dict[str, set[str]]
    reasons: list[str]


def _then(now: Situation, state: ConsumerState, **done: bool) -> Situation:
    """After a step. Without what no decision depends on: times, and how often a command was refused."""
    plain = replace(
        state,
        last_offset=None,
        last_snapshot_link=None,
        snapshot_offset=None,
        owed=state.owed and replace(state.owed, attempts=0),
        checked_at=None,
        updated_at=None,
        unanswered_at=None,
        was_in_step_at=None,
        accepted=None,
    )
    return replace(now, state=plain, so_far=now.so_far.after(**done))


def walked() -> Machine:
    """The whole machine."""
    machine = Machine(defaultdict(set), defaultdict(set), defaultdict(set), [])
    to_begin_with = [ConsumerState()]
    states = set(to_begin_with)
    visited: set[tuple[str, Situation]] = set()
    while to_begin_with:
        for situation in _passes(to_begin_with.pop()):
            for left in _pass(situation, machine, visited):
                if left not in states:
                    states.add(left)
                    to_begin_with.append(left)
    machine.reasons.sort()
    return machine


def _passes(state: ConsumerState) -> Iterator[Situation]:
    """Every pass that can begin with it: at once, a day later, in a cool-down, with other settings, and
    once another consumer has the index."""
    begun = {
        state,
        replace(state, reinitialised_at=None),
        replace(state, cooldown=_COOLDOWN),
        replace(state, occupant="another"),
    }
    if state.stored_for is not None:
        begun.add(replace(state, stored_for=_ANOTHER))
    for policy in _POLICIES:
        for one in begun:
            yield Situation(one, None, _CONSUMER, SoFar(), policy, _NOW)


def _pass(begun: Situation, machine: Machine, visited: set[tuple[str, Situation]]) -> Iterator[ConsumerState]:
    """Go every way from here, write down which step follows which, and give what passes leave behind."""
    ways = [(START, "", begun)]
    while ways:
        before, effect, situation = ways.pop()
        machine.effects[before].add(effect)
        step = next_step(situation)
        name = type(step).__name__
        if isinstance(step, End):
            machine.ends[before].add(step.outcome)
            continue
        machine.follows[before, name].add(effect)
        if isinstance(step, Initialise) and (why := re.sub(r"\d+", "N", step.why)) not in machine.reasons:
            machine.reasons.append(why)
        if (name, situation) in visited:
            continue
        visited.add((name, situation))
        yield from map(_left, _left_by_the_dead(step, situation))
        for end, after in _effects(step, situation):
            yield _left(after.state)
            ways.append((name, end, after))


def _left(state: ConsumerState) -> ConsumerState:
    """Without what `_passes` adds."""
    return replace(state, cooldown=None, occupant=None, stored_for=_CONSUMER if state.stored_for else None)


def _left_by_the_dead(step: Step, now: Situation) -> Iterator[ConsumerState]:
    match step:
        case Initialise(snapshot):
            yield now.state.load_begun()
            yield replace(now.state, unsettled=True, offset=min(now.state.offset, snapshot.offset))
        case ApplyRange(offsets):
            yield replace(now.state, range_to=offsets.to)


def _effects(step: Step, now: Situation) -> Iterator[Effect]:
    state = now.state
    match step:
        case Settle():
            yield from _settled(now)
        case RecordRequest(cancel=True):
            yield Effect("stored", _then(now, state.initialisation_cancelled()))
        case RecordRequest():
            yield Effect("stored", _then(now, state.initialisation_requested(_CONSUMER, _NOW)))
        case SendCommand(offset):
            yield Effect("accepted", _then(now, state.command_accepted(offset, _NOW)))
            yield Effect("refused", _then(now, state.command_refused(), command_refused=True))
        case AskFeed():
            for answer in _ANSWERS:
                answered = _then(now, state.feed_answered(answer, _NOW))
                yield Effect(repr(answer), replace(answered, info=answer))
        case Initialise(snapshot):
            loaded = state.initialised(snapshot, _CONSUMER, _NOW)
            yield Effect("loaded", _then(now, loaded, initialised=True, advanced=True))
        case ApplyRange():
            yield from _applied(step, now)
        case _:
            raise NotImplementedError(f"tell tools/pictures/walk.py how {type(step).__name__} ends")


def _settled(now: Situation) -> Iterator[Effect]:
    as_it_was = replace(now.state, unsettled=False, loading=False)
    yield Effect("given up", _then(now, as_it_was))
    if now.state.unsettled:
        yield Effect("finished", _then(now, as_it_was.initialised(_OLD, _CONSUMER, _NOW)))
        yield Effect("lost", _then(now, replace(as_it_was, offset=0, content=False)))


def _applied(step: ApplyRange, now: Situation) -> Iterator[Effect]:
    """As `sync.update` does it. The change that fails is the first one of a range that has begun or is short,
    else one in its middle."""
    state, after, to = now.state, step.range.after, step.range.to
    yield Effect("applied", _then(now, state.advanced(to, _NOW), advanced=True))
    good = after + 500 if state.range_to is None and to - after > 500 else after
    failed = FailedChange(good + 1, "CVE-1", None, "it does not fit", digest=f"of {good + 1}")
    failed = failed.while_offered(None if now.snapshot is None else now.snapshot.link)
    if may_interrupt(now, failed):
        yield Effect(
            "a change cannot be applied: offset := 0",
            _then(now, state.interrupted(failed, _NOW), interrupted=True),
        )
        return
    kept = state.advanced(good, _NOW) if good > after else state
    blocked = kept.blocked(failed, initialised_now=now.so_far.initialised)
    done = {"blocked": True, "advanced": True} if good > after else {"blocked": True}
    yield Effect("a change blocks", _then(now, blocked, **done))
