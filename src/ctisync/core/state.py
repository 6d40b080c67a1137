"""The state of a consumer between passes, and all its transitions.

Stores keep a `ConsumerState` beside the content and write both together; they never change it themselves. The
functions below are the transitions; an illegal one is a bug and raises ValueError.
"""

from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from ctisync.core.health import CLOCKS_APART
from ctisync.core.incidents import Incidents
from ctisync.core.model import Consumer, ConsumerInfo, Moment, OffsetRange, Snapshot

Phase = Literal["empty", "loading", "ready", "blocked"]

LONGEST_COOLDOWN: Final = timedelta(hours=24)


class Owed(msgspec.Struct, frozen=True):
    """A command that the Command Manager has not accepted yet: the content's offset, and the failed
    attempts."""

    offset: int
    attempts: int = 0


class FailedChange(msgspec.Struct, frozen=True):
    """The change that could not be applied.

    `operation`: its index within the change's operations (None: the change as a whole). `digest`: shows
    whether the feed still offers the same change. `snapshot_link`: the snapshot that was offered when it
    failed. `reinitialised`: it has already caused an initialisation from that snapshot. `blocked`: the
    content is just before it and waits until the feed offers something else.
    """

    offset: int
    resource: str
    operation: int | None
    reason: str
    digest: str
    snapshot_link: str | None = None
    reinitialised: bool = False
    blocked: bool = False

    def while_offered(self, snapshot_link: str | None) -> "FailedChange":
        """The same, with the snapshot that the feed offered when it failed."""
        return msgspec.structs.replace(self, snapshot_link=snapshot_link)

    def is_tried(self, stored: "FailedChange | None") -> bool:
        """Whether `stored` is this change, and has caused an initialisation from the same snapshot."""
        return (
            stored is not None
            and stored.reinitialised
            and (stored.digest, stored.snapshot_link) == (self.digest, self.snapshot_link)
        )


class RefusedSnapshot(msgspec.Struct, frozen=True):
    """A snapshot that could not be used. `sync` does not fetch it again while link, ETag and size are the
    same."""

    link: str
    etag: str | None
    size: int | None
    reason: str


class Cooldown(msgspec.Struct, frozen=True):
    """No request is sent to the feed at `server` before `until`. `reason`: one line, the last failure.
    Without a `server`, as earlier versions store it, it applies to all."""

    until: Moment
    reason: str
    server: str | None = None


class Accepted(msgspec.Struct, frozen=True):
    """The last update command that the Command Manager accepted: the content's offset then, and when."""

    offset: int
    at: Moment


class LoadRequest(msgspec.Struct, frozen=True):
    """An operator requested an initialisation with these settings at this time. It is not done yet.

    `replaces`: the consumer (`context/name`) whose content it may replace under `index`.
    """

    consumer: Consumer
    at: Moment
    replaces: str | None = None


class ConsumerState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """The state of one consumer. `offset` 0 means: initialise.

    `content`: there is a live content. `loading`: a load was begun and not published. `range_to`: the end
    of a range whose writes may have begun (stores without transactions). `unsettled`: the last writer died
    during a swap, or the live content is not the stored one; a pass that takes the lease settles it.
    `occupant`: the other consumer (`context/name`) whose content readers find under `index`. Stores set these
    two whenever they read the state. `useless_snapshot`: the link of a snapshot from which a change could not
    be applied, after such a change had caused the initialisation. `requested`: by an operator.
    `checked_at`: when the feed last answered; `unanswered_at`: the last try, if the feed did not answer it.
    `was_in_step_at`: when the content was last in step, before the feed last answered. Times are UTC.
    """

    offset: int = 0
    last_offset: int | None = None
    last_snapshot_link: str | None = None
    snapshot_offset: int | None = None
    content: bool = False
    loading: bool = False
    range_to: int | None = None
    unsettled: bool = False
    owed: Owed | None = None
    failed: FailedChange | None = None
    useless_snapshot: str | None = msgspec.field(default=None, name="in_vain")
    refused: RefusedSnapshot | None = None
    stored_for: Consumer | None = None
    checked_at: Moment | None = None
    updated_at: Moment | None = None
    reinitialised_at: Moment | None = None
    cooldown: Cooldown | None = None
    requested: LoadRequest | None = msgspec.field(default=None, name="asked")
    unanswered_at: Moment | None = None
    was_in_step_at: Moment | None = None
    accepted: Accepted | None = None
    incidents: Incidents = ()
    occupant: str | None = None

    @property
    def phase(self) -> Phase:
        """The phase that `status` shows."""
        if self.failed is not None and self.failed.blocked:
            return "blocked"
        if self.content and self.offset > 0 and not self.loading:
            return "ready"
        return "loading" if self.loading or self.content else "empty"

    def index_elsewhere(self, consumer: Consumer) -> str | None:
        """The index under which readers find this content, if it differs from `consumer`'s; else None."""
        index = None if self.stored_for is None else self.stored_for.index
        return None if index == consumer.index else index

    def is_requested_with(self, consumer: Consumer) -> bool:
        """Whether an initialisation with `consumer`'s settings is requested."""
        return self.requested is not None and self.requested.consumer == consumer

    @property
    def may_replace(self) -> bool:
        """Whether this consumer's next content may take the index: it is free, or an operator has requested
        that this occupant is replaced."""
        return self.occupant in (None, None if self.requested is None else self.requested.replaces)

    def is_refused(self, snapshot: Snapshot) -> bool:
        """Whether this snapshot could not be used at the last try."""
        return self.refused is not None and self.refused.link == snapshot.link

    def owed_for(self, consumer: Consumer) -> Owed | None:
        """The owed command; None if the content is not the one under `consumer`'s index."""
        here = self.index_elsewhere(consumer) is None and self.occupant is None
        return self.owed if here else None

    def has_tried(self, failed: FailedChange) -> bool:
        """Whether an initialisation from the snapshot of `failed` has already failed to help.

        Because of this change, or of another one: a range may skip a change that cannot be applied if a later
        delete makes it irrelevant, and a later range may meet the next such change. From the same snapshot,
        each of the two would cause a new try forever.
        """
        return failed.is_tried(self.failed) or (
            failed.snapshot_link is not None and failed.snapshot_link == self.useless_snapshot
        )

    @property
    def behind(self) -> int | None:
        """The number of offsets between the content and the feed's last known offset."""
        return None if self.last_offset is None else max(0, self.last_offset - self.offset)

    @property
    def in_step_at(self) -> datetime | None:
        """When the content was last known to be in step with the feed. None: never."""
        return in_step_at(self.behind, self.checked_at, self.updated_at, self.was_in_step_at)

    @property
    def tried_at(self) -> datetime | None:
        """When the feed was last asked, whether it answered or not. None: never."""
        return self.unanswered_at or self.checked_at

    def is_stale(self, after: timedelta, now: datetime) -> bool:
        """Whether the content was last known to be in step longer ago than this, or never."""
        times = (self.checked_at, self.updated_at, self.was_in_step_at)
        in_step = in_step_at(self.behind, *(believed(time, now) for time in times))
        return in_step is None or now - in_step > after

    def cooldown_at(self, now: datetime, server: str | None = None) -> Cooldown | None:
        """The cool-down of this server (None: any), while it lasts. One that ends after `LONGEST_COOLDOWN`
        comes from a wrong clock and is ignored."""
        cooldown = self.cooldown
        if cooldown is None or not now < cooldown.until <= now + LONGEST_COOLDOWN:
            return None
        return cooldown if server is None or cooldown.server in (None, server) else None


class Moved(msgspec.Struct, frozen=True):
    """Readers find generation `to`; the state names generation `was`."""

    to: str
    was: str | None


class Summary(msgspec.Struct, frozen=True):
    """The content as readers find it. `records`: how many, None without a content; those that a role hides
    (`hidden` says which) do not count. `moved`: set if readers find another content than the state's."""

    state: ConsumerState
    records: int | None
    hidden: str | None = None
    moved: Moved | None = None


STALE: Final = timedelta(hours=24)
"""The default: a content that was last known to be in step longer ago than this is stale."""


def in_step_at(
    behind: int | None,
    checked_at: datetime | None,
    updated_at: datetime | None,
    was_in_step_at: datetime | None,
) -> datetime | None:
    """See `ConsumerState.in_step_at`. A load that leaves the content behind does not make it younger. Without
    `was_in_step_at`, a content that is behind was in step, at best, when it last changed."""
    if behind is None or checked_at is None:
        return None
    if not behind:
        return checked_at
    if was_in_step_at is not None:
        return was_in_step_at
    return None if updated_at is None else min(checked_at, updated_at)


def believed(time: datetime | None, now: datetime) -> datetime | None:
    """The time; None if it is in the future, because then a clock was wrong."""
    return None if time is not None and time - now > CLOCKS_APART else time


def feed_answered(state: ConsumerState, info: ConsumerInfo, now: datetime) -> ConsumerState:
    """The feed has answered. Fields that are missing or null keep their stored values. A time in the future
    is corrected."""
    was = state.in_step_at
    return msgspec.structs.replace(
        state,
        last_offset=state.last_offset if info.last_offset is None else info.last_offset,
        last_snapshot_link=state.last_snapshot_link if info.snapshot is None else info.snapshot.link,
        checked_at=now,
        updated_at=None if state.updated_at is None else min(state.updated_at, now),
        cooldown=None,
        unanswered_at=None,
        was_in_step_at=None if was is None else min(was, now),
    )


def unanswered(state: ConsumerState, now: datetime) -> ConsumerState:
    """The feed was asked, and has not answered."""
    return msgspec.structs.replace(state, unanswered_at=now)


def cooldown_begun(
    state: ConsumerState, seconds: float, reason: str, now: datetime, server: str | None = None
) -> ConsumerState:
    """A cool-down of the feed at `server` begins. A running one stays as it is."""
    if state.cooldown_at(now, server) is not None:
        return state
    until = now + min(timedelta(seconds=seconds), LONGEST_COOLDOWN)
    return msgspec.structs.replace(state, cooldown=Cooldown(until, reason, server))


def cooldown_ended(state: ConsumerState) -> ConsumerState:
    """The cool-down has ended."""
    return msgspec.structs.replace(state, cooldown=None)


def initialisation_requested(state: ConsumerState, consumer: Consumer, now: datetime) -> ConsumerState:
    """An initialisation is requested, until it is done or cancelled. A refused snapshot is tried again."""
    return msgspec.structs.replace(state, requested=LoadRequest(consumer, now, state.occupant), refused=None)


def initialisation_cancelled(state: ConsumerState) -> ConsumerState:
    """The requested initialisation is cancelled; the content stays as it is."""
    return msgspec.structs.replace(state, requested=None)


def load_begun(state: ConsumerState) -> ConsumerState:
    """A load has begun beside the live content."""
    return msgspec.structs.replace(state, loading=True)


def load_abandoned(state: ConsumerState) -> ConsumerState:
    """The load was abandoned; the live content is unchanged."""
    return msgspec.structs.replace(state, loading=False)


def content_gone(state: ConsumerState) -> ConsumerState:
    """The store does not hold the content that the state names: another program has removed it."""
    return msgspec.structs.replace(state, offset=0, content=False, range_to=None)


def initialised(state: ConsumerState, snapshot: Snapshot, consumer: Consumer, now: datetime) -> ConsumerState:
    """The content is the snapshot's. A failed change above its offset stays stored, which prevents a loop."""
    failed = state.failed
    if failed is not None and failed.offset <= snapshot.offset:
        failed = None
    if failed is not None:
        failed = msgspec.structs.replace(
            failed, snapshot_link=snapshot.link, reinitialised=True, blocked=False
        )
    return msgspec.structs.replace(
        state,
        offset=snapshot.offset,
        snapshot_offset=snapshot.offset,
        content=True,
        loading=False,
        range_to=None,
        owed=_owe(state, snapshot.offset),
        failed=failed,
        useless_snapshot=state.useless_snapshot if state.useless_snapshot == snapshot.link else None,
        refused=None,
        stored_for=consumer,
        updated_at=now,
        requested=None,
        occupant=None,
    )


def advanced(state: ConsumerState, to: int, now: datetime) -> ConsumerState:
    """The content contains every change up to `to`, and a command is owed."""
    if to <= state.offset or not state.content:
        raise ValueError(f"cannot advance from {state.offset} to {to}")
    failed = state.failed if state.failed is not None and state.failed.offset > to else None
    return msgspec.structs.replace(
        state, offset=to, range_to=None, owed=_owe(state, to), failed=failed, updated_at=now
    )


def interrupted(state: ConsumerState, failed: FailedChange, now: datetime) -> ConsumerState:
    """A change cannot be applied: offset 0, so that the content is initialised again."""
    return msgspec.structs.replace(
        state,
        offset=0,
        range_to=None,
        failed=msgspec.structs.replace(failed, reinitialised=True, blocked=False),
        reinitialised_at=now,
    )


def blocked(state: ConsumerState, failed: FailedChange, *, initialised_now: bool = False) -> ConsumerState:
    """The content stays as it is until the feed offers another change or another snapshot.

    `initialised_now`: the content comes from the offered snapshot, which therefore need not be tried again.
    """
    tried = initialised_now or state.has_tried(failed)
    return msgspec.structs.replace(
        state,
        failed=msgspec.structs.replace(failed, blocked=True, reinitialised=tried),
        useless_snapshot=failed.snapshot_link if tried else state.useless_snapshot,
    )


def snapshot_refused(state: ConsumerState, refused: RefusedSnapshot) -> ConsumerState:
    return msgspec.structs.replace(state, refused=refused)


def command_accepted(state: ConsumerState, offset: int, now: datetime) -> ConsumerState:
    return msgspec.structs.replace(state, owed=None, accepted=Accepted(offset, now))


def command_needless(state: ConsumerState) -> ConsumerState:
    """No Command Manager is configured."""
    return msgspec.structs.replace(state, owed=None)


def command_refused(state: ConsumerState) -> ConsumerState:
    if state.owed is None:
        raise ValueError("no command is owed")
    owed = msgspec.structs.replace(state.owed, attempts=state.owed.attempts + 1)
    return msgspec.structs.replace(state, owed=owed)


def next_range(state: ConsumerState, last_offset: int, most: int) -> OffsetRange:
    """The next range to apply: the one whose writes had begun, or the next `most` offsets."""
    to = state.range_to if state.range_to is not None else min(state.offset + most, last_offset)
    return OffsetRange(after=state.offset, to=to)


def _owe(state: ConsumerState, offset: int) -> Owed:
    return Owed(offset=offset, attempts=state.owed.attempts if state.owed else 0)
