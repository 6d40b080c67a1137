"""The state of a consumer between passes, and all its transitions.

Stores keep a `ConsumerState` beside the content and write both together; they never change it themselves. An
illegal transition is a bug and raises ValueError.
"""

from datetime import datetime, timedelta
from typing import Final, Literal, Self

import msgspec
from msgspec.structs import replace

from ctisync.core.health import believed
from ctisync.core.incidents import Incidents
from ctisync.core.model import ChangeMark, Consumer, ConsumerInfo, Moment, OffsetRange, Snapshot
from ctisync.core.trust import Serials, with_mirror

Phase = Literal["empty", "loading", "ready", "blocked"]

_Time = datetime | None

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
        return replace(self, snapshot_link=snapshot_link)


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


class WatchCursor(msgspec.Struct, frozen=True):
    """How far the watch of this name was reported: up to `offset`. `ledger`: what was last reported of each
    record, packed by `core.watches`."""

    watch: str
    offset: int
    ledger: bytes = b""


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
    `was_in_step_at`: when the content was last in step, before the feed last answered. `last_change`: of the
    content, None if that is unknown. `identity`: that of the consumer in the feed. `serials`: of the mirrors
    that trusted keys have signed. Times are UTC.
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
    watches: tuple[WatchCursor, ...] = ()
    occupant: str | None = None
    last_change: ChangeMark | None = None
    identity: str | None = None
    serials: Serials = ()

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
        return self.owed if self.is_shown_as(consumer) else None

    def is_shown_as(self, consumer: Consumer) -> bool:
        """Whether readers find this content under `consumer`'s index."""
        return self.index_elsewhere(consumer) is None and self.occupant is None

    def has_tried(self, failed: FailedChange) -> bool:
        """Whether an initialisation from the snapshot of `failed` has already failed to help.

        Because of this change, or of another one: a range may skip a change that cannot be applied if a later
        delete makes it irrelevant, and a later range may meet the next such change. From the same snapshot,
        each of the two would cause a new try forever.
        """
        stored, link = self.failed, failed.snapshot_link
        if link is not None and link == self.useless_snapshot:
            return True
        if stored is None or not stored.reinitialised:
            return False
        return (stored.digest, stored.snapshot_link) == (failed.digest, link)

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

    # The transitions.

    def feed_answered(self, info: ConsumerInfo, now: datetime) -> Self:
        """The feed has answered. Fields that are missing or null keep their stored values. A time in the
        future is corrected. A mirror says when the feed did; of one that is behind the content nothing is
        learned but its serial."""
        mirror, serials = info.mirror, with_mirror(info.mirror, self.serials)
        if mirror is not None and self.is_ahead_of(info.last_offset):
            return replace(self, unanswered_at=None, serials=serials)
        was = self.in_step_at
        return replace(
            self,
            last_offset=self.last_offset if info.last_offset is None else info.last_offset,
            last_snapshot_link=self.last_snapshot_link if info.snapshot is None else info.snapshot.link,
            checked_at=now if mirror is None else min(mirror.checked_at, now),
            identity=info.identity if self.offset == 0 or self.identity is None else self.identity,
            updated_at=None if self.updated_at is None else min(self.updated_at, now),
            cooldown=None,
            unanswered_at=None,
            was_in_step_at=None if was is None else min(was, now),
            serials=serials,
        )

    def is_ahead_of(self, last_offset: int | None) -> bool:
        """Whether the content, or a range whose writes may have begun, is above this offset."""
        return last_offset is not None and max(self.offset, self.range_to or 0) > last_offset

    def unanswered(self, now: datetime) -> Self:
        """The feed was asked, and has not answered."""
        return replace(self, unanswered_at=now)

    def cooldown_begun(self, seconds: float, reason: str, now: datetime, server: str | None = None) -> Self:
        """A cool-down of the feed at `server` begins. A running one stays as it is."""
        if self.cooldown_at(now, server) is not None:
            return self
        until = now + min(timedelta(seconds=seconds), LONGEST_COOLDOWN)
        return replace(self, cooldown=Cooldown(until, reason, server))

    def cooldown_ended(self) -> Self:
        return replace(self, cooldown=None)

    def initialisation_requested(self, consumer: Consumer, now: datetime) -> Self:
        """An initialisation is requested, until it is done or cancelled. A refused snapshot is tried
        again."""
        return replace(self, requested=LoadRequest(consumer, now, self.occupant), refused=None)

    def initialisation_cancelled(self) -> Self:
        """The requested initialisation is cancelled; the content stays as it is."""
        return replace(self, requested=None)

    def load_begun(self) -> Self:
        """A load has begun beside the live content."""
        return replace(self, loading=True)

    def load_abandoned(self) -> Self:
        """The load was abandoned; the live content is unchanged."""
        return replace(self, loading=False)

    def content_gone(self) -> Self:
        """The store does not hold the content that the state names: another program has removed it."""
        return replace(self, offset=0, content=False, range_to=None)

    def initialised(self, snapshot: Snapshot, consumer: Consumer, now: datetime) -> Self:
        """The content is the snapshot's. A failed change above its offset stays stored, which prevents a
        loop."""
        failed = self._failed_above(snapshot.offset)
        if failed is not None:
            failed = replace(failed, snapshot_link=snapshot.link, reinitialised=True, blocked=False)
        return replace(
            self,
            offset=snapshot.offset,
            snapshot_offset=snapshot.offset,
            content=True,
            loading=False,
            range_to=None,
            owed=self._owe(snapshot.offset),
            failed=failed,
            useless_snapshot=self.useless_snapshot if self.useless_snapshot == snapshot.link else None,
            refused=None,
            stored_for=consumer,
            updated_at=now,
            requested=None,
            occupant=None,
            last_change=None,
            identity=self.identity if self.offset == 0 else None,
        )

    def advanced(self, to: int, now: datetime, last: ChangeMark | None = None) -> Self:
        """The content contains every change up to `to`, and a command is owed. `last`: the last change of the
        range, if it has one."""
        if to <= self.offset or not self.content:
            raise ValueError(f"cannot advance from {self.offset} to {to}")
        failed, owed, last = self._failed_above(to), self._owe(to), last or self.last_change
        return replace(
            self, offset=to, range_to=None, owed=owed, failed=failed, updated_at=now, last_change=last
        )

    def interrupted(self, failed: FailedChange, now: datetime) -> Self:
        """A change cannot be applied: offset 0, so that the content is initialised again."""
        failed = replace(failed, reinitialised=True, blocked=False)
        return replace(self, offset=0, range_to=None, failed=failed, reinitialised_at=now)

    def blocked(self, failed: FailedChange, *, initialised_now: bool = False) -> Self:
        """The content stays as it is until the feed offers another change or another snapshot.

        `initialised_now`: the content comes from the offered snapshot, which therefore need not be tried
        again.
        """
        tried = initialised_now or self.has_tried(failed)
        return replace(
            self,
            failed=replace(failed, blocked=True, reinitialised=tried),
            useless_snapshot=failed.snapshot_link if tried else self.useless_snapshot,
        )

    def snapshot_refused(self, refused: RefusedSnapshot) -> Self:
        return replace(self, refused=refused)

    def command_accepted(self, offset: int, now: datetime) -> Self:
        return replace(self, owed=None, accepted=Accepted(offset, now))

    def command_needless(self) -> Self:
        """No Command Manager is configured."""
        return replace(self, owed=None)

    def command_refused(self) -> Self:
        if self.owed is None:
            raise ValueError("no command is owed")
        return replace(self, owed=replace(self.owed, attempts=self.owed.attempts + 1))

    def _owe(self, offset: int) -> Owed:
        return Owed(offset, self.owed.attempts if self.owed else 0)

    def _failed_above(self, offset: int) -> FailedChange | None:
        return self.failed if self.failed is not None and self.failed.offset > offset else None


class Moved(msgspec.Struct, frozen=True):
    """Readers find generation `to`; the state names generation `was`."""

    to: str
    was: str | None


class Summary(msgspec.Struct, frozen=True):
    """The content as readers find it. `records`: how many, None without a content; those that a role hides
    (`hidden` says which) do not count. `moved`: set if readers find another content than the state's.
    `facts_offset`: the offset up to which the facts index has this content, 0 if that is still to be built;
    None if the settings want none."""

    state: ConsumerState
    records: int | None
    hidden: str | None = None
    moved: Moved | None = None
    facts_offset: int | None = None


STALE: Final = timedelta(hours=24)
"""The default: a content that was last known to be in step longer ago than this is stale."""


def in_step_at(behind: int | None, checked_at: _Time, updated_at: _Time, was_in_step_at: _Time) -> _Time:
    """See `ConsumerState.in_step_at`. A load that leaves the content behind does not make it younger. Without
    `was_in_step_at`, a content that is behind was in step, at best, when it last changed."""
    if behind is None or checked_at is None:
        return None
    if not behind:
        return checked_at
    if was_in_step_at is not None:
        return was_in_step_at
    return None if updated_at is None else min(checked_at, updated_at)


def next_range(state: ConsumerState, last_offset: int, most: int) -> OffsetRange:
    """The next range to apply: the one whose writes had begun, or the next `most` offsets."""
    to = state.range_to if state.range_to is not None else min(state.offset + most, last_offset)
    return OffsetRange(after=state.offset, to=to)
