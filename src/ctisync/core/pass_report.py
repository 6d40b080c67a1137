"""What one pass comes to: filled by its steps, and what history, metrics, hooks and ping are made of."""

from collections import deque
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

import msgspec

from ctisync.core.model import Consumer, Delete, Moment
from ctisync.core.state import STALE, ConsumerState, Phase, believed, in_step_at
from ctisync.core.steps import End, Mode
from ctisync.errors import AFTER_STOP, DONE, CtisyncError, after_asked

if TYPE_CHECKING:  # it brings the JSON libraries along, which reading a history does not need
    from ctisync.core.fold import Folded

Reason = Literal["update", "error", "stale"]
How = Literal["created", "updated", "deleted", "loaded"]

MOST_TOUCHED: Final = 10_000
"""Of a pass, for the history: a MB at most. Of more, the last ones are kept."""


class Touched(msgspec.Struct, frozen=True, array_like=True):
    """What a pass has done to a record, and the offset that it then stood at.

    `loaded`: all records are those of a snapshot of that offset; `resource` is empty.
    """

    offset: int
    how: How
    resource: str


class PassReport(msgspec.Struct, frozen=True, kw_only=True):
    """One pass over one consumer (`context/name`), from `began_at` (UTC) on, for `seconds`.

    `outcome` is one of `core.steps.End`, or the kind of error that ended the pass, in kebab-case; `why` says
    it in a line. `offset` is where the content stood when it began (`from_offset`) and when it ended; None
    when the store could not be looked at, as are `phase` and the times. `records` were written, `changes`
    applied, `received` bytes came from the feed. `touched`, in this order: the records that were changed, or
    the last of them; `untold` is how many were left out.
    """

    pass_id: str
    command: Mode
    consumer: str
    index: str
    began_at: Moment
    seconds: float
    exit_code: int
    outcome: str
    why: str
    from_offset: int | None = None
    offset: int | None = None
    last_offset: int | None = None
    phase: Phase | None = None
    command_owed: bool = False
    initialisations: int = 0
    changes: int = 0
    records: int = 0
    received: int = 0
    retries: int = 0
    checked_at: Moment | None = None
    updated_at: Moment | None = None
    untold: int = 0
    touched: tuple[Touched, ...] = ()

    @property
    def ended_at(self) -> datetime:
        return self.began_at + timedelta(seconds=self.seconds)

    @property
    def behind(self) -> int | None:
        """How many offsets the content is behind the feed as last seen."""
        if self.last_offset is None or self.offset is None:
            return None
        return max(0, self.last_offset - self.offset)

    @property
    def in_step_at(self) -> datetime | None:
        """When the content was last known to be all that the feed has. None: never, or not known."""
        end = self.ended_at
        return in_step_at(self.behind, believed(self.checked_at, end), believed(self.updated_at, end))

    @property
    def updated(self) -> bool:
        """Whether readers have another content than before the pass."""
        return self.initialisations > 0 or self.changes > 0

    def reasons(self, stale_after: timedelta = STALE) -> list[Reason]:
        """What hooks may be run for, in this order."""
        found: list[Reason] = ["update"] if self.updated else []
        if self.exit_code != DONE:
            found.append("error")
        return [*found, "stale"] if self._is_stale(stale_after) else found

    def _is_stale(self, after: timedelta) -> bool:
        return self.in_step_at is None or self.ended_at - self.in_step_at > after


class Work(msgspec.Struct, frozen=True):
    """A pass that is at work now: `who` it is, for people, `since` when, and how many `records` its load has
    taken in so far, as far as that is known. `lock`: the id of the lock file under which it has its lease."""

    who: str | None = None
    since: datetime | None = None
    records: int | None = None
    lock: str | None = None


class Traffic(Protocol):
    """What a feed has cost this pass so far."""

    @property
    def received(self) -> int:
        """Bytes of the bodies that came."""

    @property
    def retries(self) -> int:
        """Requests that were sent again."""


class Ended(NamedTuple):
    """How a pass ended: its report, and the error that ended it, which its caller shows."""

    report: PassReport
    error: CtisyncError | None


class Draft:
    """The report of a pass that is still at work: its caller makes it, its steps fill it."""

    def __init__(
        self, consumer: Consumer, command: Mode, *, pass_id: str, began_at: datetime, began: float
    ) -> None:
        """`began`: the same moment as `began_at`, in seconds of a clock that never goes back."""
        self._consumer = consumer
        self._command = command
        self.pass_id = pass_id
        self._began_at = began_at
        self._began = began
        self._state: ConsumerState | None = None
        self._from_offset: int | None = None
        self._command_owed = False
        self._end: End | None = None
        self._initialisations = self._changes = self._records = 0
        self._touched: deque[Touched] = deque(maxlen=MOST_TOUCHED)
        self._all_touched = 0
        self._traffic: Traffic | None = None

    def stands(self, state: ConsumerState, *, commands: bool) -> None:
        """The stored state is this one now. `commands`: there is a Command Manager to send to."""
        if self._state is None:
            self._from_offset = state.offset
        self._state = state
        self._command_owed = commands and state.owed is not None

    def counts(self, traffic: Traffic) -> None:
        """What `traffic` comes to in the end is this pass's."""
        self._traffic = traffic

    def initialised(self, offset: int, records: int) -> None:
        """A snapshot of this offset, with so many records, is the live content."""
        self._initialisations += 1
        self._records += records
        self._touch(Touched(offset, "loaded", ""))

    def applied(self, changes: int, folded: "Folded") -> list[Touched]:
        """A range of so many changes is in the content. Returns what it did to each record, in order."""
        self._changes += changes
        self._records += len(folded.writes)
        touched: list[Touched] = []
        for write in folded.writes:
            is_new = write.name in folded.created
            how: How = "deleted" if isinstance(write, Delete) else "created" if is_new else "updated"
            touched.append(Touched(write.offset, how, write.name))
        self._touch(*touched)
        return touched

    def came_to(self, end: End) -> None:
        """The state machine has ended the pass so."""
        self._end = end

    @property
    def after_stop(self) -> str:
        """How it goes on when a signal ends the pass now."""
        if self._state is not None and self._state.asked is not None:
            return after_asked(self._consumer)
        return AFTER_STOP["sync" if self._initialisations else self._command]

    def ended(self, error: CtisyncError | None, now: float) -> Ended:
        """`error` has ended the pass, if any; without one, `came_to` was called before. `now`: seconds of the
        clock that gave `began`."""
        if error is not None:
            outcome, why = error.kind, error.about(self._consumer)
        else:
            assert self._end is not None
            outcome, why = self._end.outcome, self._end.why
        state, traffic = self._state, self._traffic
        report = PassReport(
            pass_id=self.pass_id,
            command=self._command,
            consumer=str(self._consumer),
            index=self._consumer.index,
            began_at=self._began_at,
            seconds=now - self._began,
            exit_code=DONE if error is None else error.exit_code,
            outcome=outcome,
            why=why,
            from_offset=self._from_offset,
            offset=None if state is None else state.offset,
            last_offset=None if state is None else state.last_offset,
            phase=None if state is None else state.phase,
            command_owed=self._command_owed,
            initialisations=self._initialisations,
            changes=self._changes,
            records=self._records,
            received=0 if traffic is None else traffic.received,
            retries=0 if traffic is None else traffic.retries,
            checked_at=None if state is None else state.checked_at,
            updated_at=None if state is None else state.updated_at,
            untold=self._all_touched - len(self._touched),
            touched=tuple(self._touched),
        )
        return Ended(report, error)

    def _touch(self, *touched: Touched) -> None:
        self._touched.extend(touched)
        self._all_touched += len(touched)
