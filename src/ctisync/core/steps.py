"""THE state machine: the next step of a pass, from the stored state and the feed's information.

`ctisync.sync` calls `next_step` after every step, until it returns an `End`. `next_step` performs nothing;
`SoFar` contains what this pass has already done.
"""

from datetime import datetime, timedelta
from typing import Literal

import msgspec

from ctisync.core.contradictions import contradiction
from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.core.model import MAX_RANGE, Consumer, ConsumerInfo, OffsetRange, Snapshot
from ctisync.core.state import (
    STALE,
    ConsumerState,
    Cooldown,
    FailedChange,
    next_range,
)

Mode = Literal["sync", "init-snapshot", "update"]


class Policy(msgspec.Struct, frozen=True):
    """What the subcommand, its options and the settings allow.

    `tolerate_cooldown`: a pass that a cool-down ends is a success, until the content is older than
    `stale_after`. `server`: the feed, as a cool-down names
    it. `now`: ignore a cool-down. `cooldowns`: False ignores cool-downs and begins none. `keep`: cancel a
    requested initialisation. `replace`: an initialisation may take the index from another consumer.
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

    def cooldown_of(self, state: ConsumerState, now: datetime) -> Cooldown | None:
        """The cool-down that applies to this pass, if any."""
        return None if self.now or not self.cooldowns else state.cooldown_at(now, self.server)

    def tolerates(self, state: ConsumerState, now: datetime) -> bool:
        """Whether a pass that a cool-down ends is a success."""
        return self.tolerate_cooldown and not state.is_stale(self.stale_after, now)


class SoFar(msgspec.Struct, frozen=True):
    """What this pass has already done."""

    initialised: bool = False
    advanced: bool = False
    interrupted: bool = False
    blocked: bool = False
    command_refused: bool = False

    def after(
        self,
        *,
        initialised: bool = False,
        advanced: bool = False,
        interrupted: bool = False,
        blocked: bool = False,
        command_refused: bool = False,
    ) -> "SoFar":
        """With what has just happened. A refused command may be tried again once the offset advances."""
        return SoFar(
            initialised=self.initialised or initialised,
            advanced=self.advanced or advanced,
            interrupted=self.interrupted or interrupted,
            blocked=self.blocked or blocked,
            command_refused=command_refused or (self.command_refused and not advanced),
        )


class Settle(msgspec.Struct, frozen=True):
    """Take the lease: this finishes a swap that was begun, checks what is live, and abandons the load of a
    dead pass."""


class RecordRequest(msgspec.Struct, frozen=True):
    """Store that an operator requests an initialisation, so that a later pass does it if this one cannot; or
    that the request is cancelled."""

    wanted: bool


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

    outcome: Literal[
        "up-to-date",
        "initialised",
        "no-snapshot",
        "nothing-known",
        "went-back",
        "too-far",
        "settings",
        "state-wrong",
        "replaced",
        "blocked",
        "empty",
        "cooldown",
    ]
    why: str


Step = Settle | RecordRequest | SendCommand | AskFeed | Initialise | ApplyRange | End


def next_step(
    state: ConsumerState,
    info: ConsumerInfo | None,
    consumer: Consumer,
    so_far: SoFar,
    policy: Policy,
    now: datetime,
) -> Step:
    """The next step of a pass. `info` is None until the feed has been asked."""
    if (first := _first_of_all(state, info, consumer, policy)) is not None:
        return first
    asked = policy.mode == "sync" and state.is_requested_with(consumer)
    differ = policy.mode != "init-snapshot" and state.stored_for not in (None, consumer)
    if differ and not asked:
        return End("settings", _settings_differ(state.stored_for, consumer))
    if policy.mode != "init-snapshot" and not asked and (wrong := contradiction(state)) is not None:
        return End("state-wrong", wrong)
    owed = state.owed_for(consumer) if not so_far.command_refused else None
    if owed is not None and not so_far.advanced:
        return SendCommand(owed.offset)
    if policy.mode == "update" and state.offset == 0 and not so_far.interrupted:
        return End("empty", "there is no content to update from: the stored offset is 0")
    if info is None:
        cooldown = policy.cooldown_of(state, now)
        return AskFeed() if cooldown is None else End("cooldown", _left_alone(cooldown))
    if asked and info.snapshot is not None and not state.is_refused(info.snapshot):
        return Initialise(info.snapshot, "requested with init-snapshot, and not done yet")
    work = (
        End("settings", _settings_differ(state.stored_for, consumer))
        if differ
        else _content_step(state, info, consumer, so_far, policy, now)
    )
    if isinstance(work, End) and owed is not None:
        return SendCommand(owed.offset)
    return work


def _first_of_all(
    state: ConsumerState, info: ConsumerInfo | None, consumer: Consumer, policy: Policy
) -> Step | None:
    """Respect another consumer under the index, settle, store a request; None if none of that is due."""
    if not state.may_replace and not (policy.mode == "init-snapshot" and policy.replace):
        return End("replaced", _occupied(state, consumer))
    if state.unsettled or state.loading:
        return Settle()
    return _to_note(state, info, consumer, policy)


def _to_note(
    state: ConsumerState, info: ConsumerInfo | None, consumer: Consumer, policy: Policy
) -> RecordRequest | None:
    """The operator's request with this pass, unless it is stored already. It is not stored for a given
    snapshot (`info` is set from the beginning): a later pass could not load it. Which consumer it may replace
    is always stored: a store does not move an index without that."""
    if policy.keep and state.asked is not None:
        return RecordRequest(wanted=False)
    known = state.is_requested_with(consumer) and state.refused is None
    if policy.mode != "init-snapshot":
        return None
    if not state.may_replace or (info is None and not known):
        return RecordRequest(wanted=True)
    return None


def _content_step(
    state: ConsumerState,
    info: ConsumerInfo,
    consumer: Consumer,
    so_far: SoFar,
    policy: Policy,
    now: datetime,
) -> Step:
    if policy.mode == "init-snapshot":
        return _operators_initialisation(state, info, so_far)
    if state.occupant is not None:
        return End("replaced", _occupied(state, consumer))
    if info.last_offset is None:
        return End("nothing-known", "the feed does not report its last offset; the pass can decide nothing")
    if so_far.blocked and state.failed is not None:
        return End("blocked", _blocked(state.failed))
    if state.offset == 0:
        return _initialise_or_say_why_not(state, info, policy)
    if state.offset > info.last_offset or (state.range_to or 0) > info.last_offset:
        return _feed_went_back(state, info, info.last_offset, so_far, policy)
    if _offers_a_way_out(state, info, so_far, policy, now) and info.snapshot is not None:
        return Initialise(
            info.snapshot, "the feed offers a new snapshot after a change that cannot be applied"
        )
    most = policy.limits.offsets_ahead
    if info.last_offset - state.offset > most:
        far = f"the feed's last offset {info.last_offset} is more than {most} above the content's"
        return End("too-far", f"{far} {state.offset} (limits.offsets_ahead)")
    if state.offset < info.last_offset:
        return ApplyRange(next_range(state, info.last_offset, MAX_RANGE))
    return End("up-to-date", f"the content is at the feed's last offset {info.last_offset}")


def range_ahead(step: ApplyRange, after: ConsumerState) -> OffsetRange | None:
    """The range to prefetch while the changes of `step` are written; `after`: the state after that.

    It is the range of the next step, None if there is none. None, too, if the step's range had to be halved:
    two replies of that size would need too much memory.
    """
    if after.offset != step.range.to or after.last_offset is None or after.offset >= after.last_offset:
        return None
    return next_range(after, after.last_offset, MAX_RANGE)


def _operators_initialisation(state: ConsumerState, info: ConsumerInfo, so_far: SoFar) -> Step:
    if so_far.initialised:
        return End("initialised", f"the content is at the snapshot's offset {state.offset}")
    if info.snapshot is None:
        return End("no-snapshot", "the feed offers no snapshot yet")
    return Initialise(info.snapshot, "requested with init-snapshot")


def _initialise_or_say_why_not(state: ConsumerState, info: ConsumerInfo, policy: Policy) -> Step:
    if policy.mode == "update" and state.failed is not None:
        return End("blocked", _blocked(state.failed))
    if info.snapshot is None:
        if state.failed is not None:
            return End(
                "blocked", _blocked(state.failed) + "; the feed offers no snapshot to start again from"
            )
        return End("no-snapshot", "the feed offers no snapshot yet")
    if not state.content and state.snapshot_offset is not None:
        return Initialise(info.snapshot, "the stored content is gone")
    if state.failed is not None:
        return Initialise(info.snapshot, f"change {state.failed.offset} could not be applied")
    return Initialise(info.snapshot, "nothing is stored yet")


def _feed_went_back(
    state: ConsumerState, info: ConsumerInfo, last_offset: int, so_far: SoFar, policy: Policy
) -> Step:
    automatic = policy.mode == "sync" and policy.on_feed_reset == "init" and not so_far.initialised
    if automatic and info.snapshot is not None:
        return Initialise(info.snapshot, f"the feed went back to offset {last_offset}")
    return End(
        "went-back",
        f"the feed went back: its last offset is {last_offset}, the content is at "
        f"{state.range_to or state.offset}",
    )


def _offers_a_way_out(
    state: ConsumerState, info: ConsumerInfo, so_far: SoFar, policy: Policy, now: datetime
) -> bool:
    """Whether a blocked content may initialise from a snapshot that has not been tried."""
    failed, snapshot = state.failed, info.snapshot
    if failed is None or not failed.blocked or policy.mode != "sync":
        return False
    if snapshot is None or snapshot.offset < state.offset:
        return False  # a way back: the content never goes back by itself
    if snapshot.link == failed.snapshot_link and snapshot.offset < failed.offset:
        return False  # nothing new
    return _may_initialise_again(state, failed, snapshot, so_far, policy, now)


def _may_initialise_again(
    state: ConsumerState,
    failed: FailedChange,
    snapshot: Snapshot | None,
    so_far: SoFar,
    policy: Policy,
    now: datetime,
) -> bool:
    """At most one initialisation per pass, and `policy.reinit_interval` between two that a failed change
    caused, unless the snapshot contains that change. Then it cannot lead back to it.

    Not from a snapshot that was refused: without it, a corrected change still gets its chance. A last time in
    the future comes from a wrong clock and is ignored.
    """
    if so_far.initialised or (snapshot is not None and state.is_refused(snapshot)):
        return False
    if snapshot is not None and snapshot.offset >= failed.offset:
        return True
    last = state.reinitialised_at
    return last is None or last > now or now - last >= policy.reinit_interval


def may_interrupt(
    state: ConsumerState,
    failed: FailedChange,
    snapshot: Snapshot | None,
    so_far: SoFar,
    policy: Policy,
    now: datetime,
) -> bool:
    """Whether a change that cannot be applied leads to an initialisation (else the content is blocked).

    It does not if an initialisation from the offered `snapshot` has already not helped.
    """
    return not state.has_tried(failed) and _may_initialise_again(state, failed, snapshot, so_far, policy, now)


def _blocked(failed: FailedChange) -> str:
    operation = "" if failed.operation is None else f", operation {failed.operation}"
    return f"change {failed.offset} of {failed.resource}{operation} cannot be applied: {failed.reason}"


def _left_alone(cooldown: Cooldown) -> str:
    return f"cool-down of the feed until {cooldown_end(cooldown)}: {cooldown.reason}"


def cooldown_end(cooldown: Cooldown) -> str:
    """The end of a cool-down as text (UTC)."""
    return f"{cooldown.until:%Y-%m-%dT%H:%M:%SZ}"


def _occupied(state: ConsumerState, consumer: Consumer) -> str:
    if state.content:
        return f"{state.occupant} has replaced this consumer as {consumer.index}"
    return f"{consumer.index} has the content of {state.occupant}"


def _settings_differ(stored: Consumer | None, wanted: Consumer) -> str:
    assert stored is not None  # the caller has compared the two
    parts = [
        f"{field} is {list(new) if isinstance(new, tuple) else new!r}, "
        f"but the content was loaded with {list(old) if isinstance(old, tuple) else old!r}"
        for field in ("index", "resources")
        if (new := getattr(wanted, field)) != (old := getattr(stored, field))
    ]
    return "; ".join(parts)
