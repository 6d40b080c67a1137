"""THE state machine: the next step of a pass, from the stored state and the feed's information.

`ctisync.sync` calls `next_step` after every step, until it returns an `End`. `next_step` performs nothing.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.core.model import (
    MAX_OFFSET,
    MAX_RANGE,
    ChangeMark,
    Consumer,
    ConsumerInfo,
    OffsetRange,
    Snapshot,
)
from ctisync.core.state import STALE, ConsumerState, Cooldown, FailedChange, next_range

Mode = Literal["sync", "init-snapshot", "update"]
Outcome = Literal[
    "up-to-date", "initialised", "no-snapshot", "nothing-known", "went-back", "too-far", "settings",
    "state-wrong", "replaced", "blocked", "empty", "cooldown", "mirror-behind", "below-floor",
]  # fmt: skip


class Policy(msgspec.Struct, frozen=True):
    """What the subcommand, its options and the settings allow.

    `tolerate_cooldown`: a pass that a cool-down ends is a success, until the content is older than
    `stale_after`. `server`: the feed, as a cool-down names it. `now`: ignore a cool-down. `cooldowns`: False
    ignores cool-downs and begins none. `keep`: cancel a requested initialisation. `replace`: an
    initialisation may take the index from another consumer. `bundle`: the file that is the feed.
    """

    mode: Mode = "sync"
    on_feed_reset: Literal["refuse", "init"] = "refuse"
    reinit_interval: timedelta = timedelta(hours=24)
    limits: Limits = USUAL_LIMITS
    tolerate_cooldown: bool = False
    stale_after: timedelta = STALE
    server: str | None = None
    now: bool = False
    cooldowns: bool = True
    keep: bool = False
    replace: bool = False
    bundle: str | None = None

    def cooldown_of(self, state: ConsumerState, now: datetime) -> Cooldown | None:
        """The cool-down that applies to this pass, if any."""
        return None if self.now or not self.cooldowns else state.cooldown_at(now, self.server)

    def tolerates(self, state: ConsumerState, now: datetime) -> bool:
        """Whether a pass that a cool-down ends is a success."""
        return self.tolerate_cooldown and not state.is_stale(self.stale_after, now)


class SoFar(msgspec.Struct, frozen=True):
    """What this pass has already done. `command_refused`: since the content last changed."""

    initialised: bool = False
    advanced: bool = False
    interrupted: bool = False
    blocked: bool = False
    command_refused: bool = False

    def after(self, **done: bool) -> "SoFar":
        """With these fields set. Once the content has advanced, a refused command may be sent again."""
        refused = self.command_refused and "advanced" not in done
        return msgspec.structs.replace(self, **{"command_refused": refused, **done})


class Situation(msgspec.Struct, frozen=True):
    """Everything on which the next step depends. `info`: the feed's answer; None until it has been asked."""

    state: ConsumerState
    info: ConsumerInfo | None
    consumer: Consumer
    so_far: SoFar
    policy: Policy
    now: datetime

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot that the feed offers."""
        return None if self.info is None else self.info.snapshot


class Settle(msgspec.Struct, frozen=True):
    """Take the lease: this finishes a swap that was begun, checks what is live, and abandons the load of a
    dead pass."""


class RecordRequest(msgspec.Struct, frozen=True):
    """Store that an operator requests an initialisation, so that a later pass does it if this one cannot.
    `cancel`: store that the request is cancelled."""

    cancel: bool = False


class SendCommand(msgspec.Struct, frozen=True):
    """Send the owed command, with the offset of the content."""

    offset: int


class AskFeed(msgspec.Struct, frozen=True):
    """Read the consumer's information from the feed and store it."""


class Initialise(msgspec.Struct, frozen=True):
    """Load this snapshot beside the live content, check it, swap."""

    snapshot: Snapshot
    why: str


class ApplyRange(msgspec.Struct, frozen=True):
    """Fetch the changes of this range and apply them."""

    range: OffsetRange


class End(msgspec.Struct, frozen=True):
    """The pass ends. `why`: one line for the operator."""

    outcome: Outcome
    why: str


Step = Settle | RecordRequest | SendCommand | AskFeed | Initialise | ApplyRange | End


def next_step(at: Situation) -> Step:
    """The next step of the pass."""
    state, consumer, policy = at.state, at.consumer, at.policy
    if (preparation := _preparation(at)) is not None:
        return preparation
    requested = policy.mode == "sync" and state.is_requested_with(consumer)
    if not requested and policy.mode != "init-snapshot":
        if state.stored_for not in (None, consumer):
            return End("settings", _settings_differ(state.stored_for, consumer))
        if (wrong := contradiction(state)) is not None:
            return End("state-wrong", wrong)
    owed = state.owed_for(consumer) if not at.so_far.command_refused else None
    if owed is not None and not at.so_far.advanced:
        return SendCommand(owed.offset)
    if policy.mode == "update" and state.offset == 0 and not at.so_far.interrupted:
        return End("empty", "there is no content to update from: the stored offset is 0")
    if at.info is None:
        return _ask_feed(at)
    if requested and at.snapshot is not None and not state.is_refused(at.snapshot):
        return Initialise(at.snapshot, "requested with init-snapshot, and not done yet")
    step = _content_step(at, at.info)
    if isinstance(step, End) and owed is not None:
        return SendCommand(owed.offset)
    return step


def _preparation(at: Situation) -> Step | None:
    """Respect another consumer under the index, settle, store the operator's request with this pass or its
    cancellation; None if none of that is due.

    A request is not stored for a snapshot file (`info` is set from the beginning): a later pass could not
    load it. Which consumer it may replace is always stored: a store does not move an index without that.
    """
    state, policy = at.state, at.policy
    is_request = policy.mode == "init-snapshot"
    if not state.may_replace and not (is_request and policy.replace):
        return End("replaced", _occupied(state, at.consumer))
    if state.unsettled or state.loading:
        return Settle()
    if policy.keep and state.requested is not None:
        return RecordRequest(cancel=True)
    is_stored = state.is_requested_with(at.consumer) and state.refused is None
    if is_request and (not state.may_replace or (at.info is None and not is_stored)):
        return RecordRequest()
    return None


def _ask_feed(at: Situation) -> AskFeed | End:
    cooldown = at.policy.cooldown_of(at.state, at.now)
    if cooldown is None:
        return AskFeed()
    return End("cooldown", f"cool-down of the feed until {cooldown_end(cooldown)}: {cooldown.reason}")


def _content_step(at: Situation, info: ConsumerInfo) -> Step:
    state = at.state
    if at.policy.mode == "init-snapshot":
        if at.so_far.initialised:
            return End("initialised", f"the content is at the snapshot's offset {state.offset}")
        if at.snapshot is None:
            return _no_snapshot(info)
        return Initialise(at.snapshot, "requested with init-snapshot")
    if state.stored_for not in (None, at.consumer):
        return End("settings", _settings_differ(state.stored_for, at.consumer))
    if state.occupant is not None:
        return End("replaced", _occupied(state, at.consumer))
    if info.last_offset is None:
        return End("nothing-known", "the feed does not report its last offset; the pass can decide nothing")
    if at.so_far.blocked and state.failed is not None:
        return End("blocked", _blocked(state.failed))
    return _offset_step(at, info.last_offset)


def _offset_step(at: Situation, last_offset: int) -> Step:
    """By the content's offset, and the feed's."""
    state = at.state
    if state.offset == 0:
        return _first_initialisation(at)
    mirror = None if at.info is None else at.info.mirror
    if state.is_ahead_of(last_offset):
        if mirror is not None:
            text = f"the mirror is behind: its last offset is {last_offset}, the content is at {state.offset}"
            return End("mirror-behind", text)
        return _feed_went_back(at, last_offset)
    if mirror is not None and state.offset < mirror.floor:
        return _below_floor(at, mirror.floor)
    if at.snapshot is not None and _resolves_block(at, at.snapshot):
        why = "the feed offers a new snapshot after a change that cannot be applied"
        return Initialise(at.snapshot, why)
    most = at.policy.limits.offsets_ahead
    if last_offset - state.offset > most:
        far = f"the feed's last offset {last_offset} is more than {most} above the content's"
        return End("too-far", f"{far} {state.offset} (limits.offsets_ahead)")
    if state.offset < last_offset:
        return ApplyRange(next_range(state, last_offset, MAX_RANGE))
    return End("up-to-date", f"the content is at the feed's last offset {last_offset}")


def range_ahead(step: ApplyRange, after: ConsumerState) -> OffsetRange | None:
    """The range to prefetch while the changes of `step` are written; `after`: the state after that.

    It is the range of the next step, None if there is none. None, too, if the step's range had to be halved:
    two replies of that size would need too much memory.
    """
    if after.offset != step.range.to or after.last_offset is None or after.offset >= after.last_offset:
        return None
    return next_range(after, after.last_offset, MAX_RANGE)


def _first_initialisation(at: Situation) -> Step:
    """The initialisation of a content at offset 0, or why there is none."""
    state, failed = at.state, at.state.failed
    if at.policy.mode == "update" and failed is not None:
        return End("blocked", _blocked(failed))
    if at.snapshot is None:
        if failed is not None:
            return End("blocked", _blocked(failed) + "; the feed offers no snapshot to start again from")
        return _no_snapshot(at.info)
    if not state.content and state.snapshot_offset is not None:
        return Initialise(at.snapshot, "the stored content is gone")
    if failed is not None:
        return Initialise(at.snapshot, f"change {failed.offset} could not be applied")
    return Initialise(at.snapshot, "nothing is stored yet")


def _feed_went_back(at: Situation, last_offset: int) -> Step:
    automatic = at.policy.mode == "sync" and at.policy.on_feed_reset == "init" and not at.so_far.initialised
    if automatic and at.snapshot is not None:
        return Initialise(at.snapshot, f"the feed went back to offset {last_offset}")
    return End(
        "went-back",
        f"the feed went back: its last offset is {last_offset}, the content is at "
        f"{at.state.range_to or at.state.offset}",
    )


def _no_snapshot(info: ConsumerInfo | None) -> End:
    """The feed will have one. A mirror has one from its begin on, so this is a part of one."""
    if info is None or info.mirror is None:
        return End("no-snapshot", "the feed offers no snapshot yet")
    floor = info.mirror.floor
    return End("below-floor", f"a snapshot is needed, and the mirror has only the changes after {floor}")


def _below_floor(at: Situation, floor: int) -> Initialise | End:
    """The mirror has only later changes than the content needs."""
    offset, snapshot = at.state.offset, at.snapshot
    text = f"the content needs the changes after offset {offset}, the mirror has those after {floor}"
    may_initialise = at.policy.mode == "sync" and not at.so_far.initialised
    if may_initialise and snapshot is not None and snapshot.offset > offset:
        return Initialise(snapshot, text)
    return End("below-floor", text)


def _resolves_block(at: Situation, snapshot: Snapshot) -> bool:
    """Whether a blocked content may initialise from this snapshot, which has not been tried."""
    failed = at.state.failed
    if failed is None or not failed.blocked or at.policy.mode != "sync":
        return False
    if snapshot.offset < at.state.offset:
        return False  # the content never goes back by itself
    if snapshot.link == failed.snapshot_link and snapshot.offset < failed.offset:
        return False  # nothing new
    return _may_initialise_after(at, failed)


def _may_initialise_after(at: Situation, failed: FailedChange) -> bool:
    """At most one initialisation per pass, and `policy.reinit_interval` between two that a failed change
    caused, unless the snapshot contains that change. Then it cannot lead back to it.

    Not from a snapshot that was refused: without it, a corrected change still gets its chance. A last time in
    the future comes from a wrong clock and is ignored.
    """
    state, snapshot = at.state, at.snapshot
    if at.so_far.initialised or (snapshot is not None and state.is_refused(snapshot)):
        return False
    if snapshot is not None and snapshot.offset >= failed.offset:
        return True
    last = state.reinitialised_at
    return last is None or last > at.now or at.now - last >= at.policy.reinit_interval


def may_interrupt(at: Situation, failed: FailedChange) -> bool:
    """Whether a change that cannot be applied leads to an initialisation (else the content is blocked).

    It does not if an initialisation from the offered snapshot has already not helped.
    """
    return not at.state.has_tried(failed) and _may_initialise_after(at, failed)


def is_of_another_history(state: ConsumerState, info: ConsumerInfo, change: ChangeMark | None) -> bool:
    """Whether the content cannot come from a feed with this information, and with this change at the offset
    of the content's last one."""
    if state.identity is not None and info.identity not in (None, state.identity):
        return True
    return state.last_change is not None and change != state.last_change


def contradictions(state: ConsumerState) -> Iterator[tuple[str, str]]:
    """Fields with values that no pass can have stored, each with the reason. Of an unsettled state only the
    numbers are checked: the next writer settles the rest."""
    offsets = {
        "offset": state.offset,
        "last_offset": state.last_offset,
        "snapshot_offset": state.snapshot_offset,
        "range_to": state.range_to,
        "owed": state.owed.offset if state.owed else None,
        "failed": state.failed.offset if state.failed else None,
    }
    for field, offset in offsets.items():
        if offset is not None and not 0 <= offset <= MAX_OFFSET:
            yield field, f"offset {offset} is out of range"
    if state.unsettled:
        return
    if not state.content and state.offset > 0:
        yield "offset", f"it is {state.offset}, but there is no content"
    to = state.range_to
    if to is not None and not (state.content and state.offset < to <= state.offset + MAX_RANGE):
        yield "range_to", f"a range that ends at {to} cannot begin at offset {state.offset}"


def contradiction(state: ConsumerState) -> str | None:
    """The first contradiction of the state, as a sentence; None if there is none, or if the state says:
    initialise."""
    if state.offset == 0:
        return None
    return next((f"the stored state is wrong: {field}: {why}" for field, why in contradictions(state)), None)


def _blocked(failed: FailedChange) -> str:
    operation = "" if failed.operation is None else f", operation {failed.operation}"
    return f"change {failed.offset} of {failed.resource}{operation} cannot be applied: {failed.reason}"


def cooldown_end(cooldown: Cooldown) -> str:
    """The end of a cool-down as text (UTC)."""
    return f"{cooldown.until:%Y-%m-%dT%H:%M:%SZ}"


def _occupied(state: ConsumerState, consumer: Consumer) -> str:
    if state.content:
        return f"{state.occupant} has replaced this consumer as {consumer.index}"
    return f"{consumer.index} has the content of {state.occupant}"


def _settings_differ(stored: Consumer | None, configured: Consumer) -> str:
    assert stored is not None  # the caller has compared the two
    parts = []
    if stored.index != configured.index:
        parts.append(f"index is {configured.index!r}, but the content was loaded with {stored.index!r}")
    if stored.resources != configured.resources:
        old, new = list(stored.resources), list(configured.resources)
        parts.append(f"resources is {new}, but the content was loaded with {old}")
    return "; ".join(parts)
