"""The report of a pass: its steps fill it, and history, metrics, hooks and ping are made from it.

`log_entries` makes the log of records from the reports of the history.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from ctisync.core.health import believed
from ctisync.core.incidents import Incident, Incidents, Trouble
from ctisync.core.model import Consumer, Delete, Moment
from ctisync.core.state import STALE, ConsumerState, Phase, in_step_at
from ctisync.core.steps import End, Mode
from ctisync.errors import AFTER_STOP, DONE, CtisyncError, after_request

if TYPE_CHECKING:  # it brings the JSON libraries along, which reading a history does not need
    from ctisync.core.fold import Folded

Reason = Literal["update", "error", "stale", "recovered"]
How = Literal["created", "updated", "deleted", "loaded"]

MOST_TOUCHED: Final = 10_000
"""Touched records in a report: at most about 1 MB. Of more, the last ones are kept."""


class Touched(msgspec.Struct, frozen=True, array_like=True):
    """What a pass did to a record, and the record's offset after that.

    `loaded`: a snapshot of that offset replaced all records; `resource` is empty.
    """

    offset: int
    how: How
    resource: str


class FactsFill(msgspec.Struct, frozen=True):
    """What a pass did to the facts index: the number of documents that it wrote, or that it removed the
    index."""

    written: int = 0
    is_removed: bool = False


class PassReport(msgspec.Struct, frozen=True, kw_only=True):
    """One pass over one consumer (`context/name`), which began at `began_at` (UTC) and took `seconds`.

    `outcome`: one of `core.steps.End`, or the kind of error that ended the pass, in kebab-case; `why`: one
    line. `from_offset` and `offset`: the content's offset before and after; None if the store could not be
    read, as are `phase` and the times. `records`: number written. `changes`: number applied. `received`:
    bytes from the feed. `touched`: the changed records in order, or the last of them; `unlisted`: the
    number of those left out. `tried_at`: when the feed was last asked; `checked_at`: when it last answered;
    `was_in_step_at`: as in the state. `notices`: number of records that were reported to watches.
    `watches_failed`: number of watches whose hook failed.
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
    tried_at: Moment | None = None
    was_in_step_at: Moment | None = None
    notices: int = 0
    watches_failed: int = 0
    unlisted: int = msgspec.field(default=0, name="untold")
    touched: tuple[Touched, ...] = ()

    @property
    def ended_at(self) -> datetime:
        return self.began_at + timedelta(seconds=self.seconds)

    @property
    def behind(self) -> int | None:
        """The number of offsets between the content and the feed's last known offset."""
        if self.last_offset is None or self.offset is None:
            return None
        return max(0, self.last_offset - self.offset)

    @property
    def in_step_at(self) -> datetime | None:
        """When the content was last known to be in step with the feed. None: never, or unknown."""
        times = (self.checked_at, self.updated_at, self.was_in_step_at)
        return in_step_at(self.behind, *(believed(time, self.ended_at) for time in times))

    @property
    def updated(self) -> bool:
        """Whether the pass changed the content."""
        return self.initialisations > 0 or self.changes > 0

    def reasons(self, stale_after: timedelta = STALE) -> list[Reason]:
        """The reasons to run a hook, in this order."""
        in_step_at = self.in_step_at
        reasons: dict[Reason, bool] = {
            "update": self.updated,
            "error": self.exit_code != DONE,
            "stale": in_step_at is None or self.ended_at - in_step_at > stale_after,
        }
        return [reason for reason, applies in reasons.items() if applies]

    def incidents(self, stale_after: timedelta = STALE) -> tuple[list[Incident], set[Trouble]]:
        """Those that the pass met, and the kinds that it ended.

        A pass that could not read the store says nothing of the content's age. One that a cool-down ended has
        not shown that an error is over.
        """
        now, reasons = self.ended_at, self.reasons(stale_after)
        met, ended = list[Incident](), set[Trouble]()
        if "error" in reasons:
            met.append(Incident("error", self.exit_code, self.why, now, now))
        elif self.outcome != "cooldown":
            ended.add("error")
        if "stale" not in reasons:
            ended.add("stale")
        elif self.phase is not None:
            met.append(Incident("stale", DONE, self.why, now, now))
        return met, ended


class Work(msgspec.Struct, frozen=True):
    """A running pass; what is unknown is None. `who`: the user, host and process. `since`: its begin.
    `records`: loaded so far, if any. `lock`: the id of the lock file under which it took its lease. `until`:
    the end of its lease. `process_missing`: its process should be on this host, and is not; it may be in a
    container.
    """

    who: str | None = None
    since: datetime | None = None
    records: int | None = None
    lock: str | None = None
    until: datetime | None = None
    process_missing: bool = False


class Traffic(Protocol):
    """The traffic with the feed in this pass so far."""

    @property
    def received(self) -> int:
        """Received bytes of all bodies."""

    @property
    def retries(self) -> int:
        """The number of retried requests."""


class Ended(NamedTuple):
    """The end of a pass: its report, and the error that ended it early, which the caller shows."""

    report: PassReport
    error: CtisyncError | None


class Draft:
    """The report of a running pass. The caller creates it, the steps fill it.

    `state`: as stored, None until it was read. `traffic`: counted at the end. `end`: the one that the state
    machine decided on.
    """

    def __init__(
        self, consumer: Consumer, command: Mode, *, pass_id: str, began_at: datetime, began: float
    ) -> None:
        """`began`: the same moment as `began_at`, in seconds of a clock that never goes back."""
        self.pass_id = pass_id
        self.state: ConsumerState | None = None
        self.traffic: Traffic | None = None
        self.end: End | None = None
        self._consumer = consumer
        self._began = began
        self._touched: deque[Touched] = deque(maxlen=MOST_TOUCHED)
        self._all_touched = 0
        self._report = PassReport(
            pass_id=pass_id,
            command=command,
            consumer=str(consumer),
            index=consumer.index,
            began_at=began_at,
            seconds=0.0,
            exit_code=DONE,
            outcome="",
            why="",
        )

    def set_state(self, state: ConsumerState, *, commands: bool) -> None:
        """Set the stored state. `commands`: whether a Command Manager is configured."""
        first = state.offset if self.state is None else self._report.from_offset
        self.state = state
        self._report = replace(
            self._report, from_offset=first, command_owed=commands and state.owed is not None
        )

    def add_load(self, offset: int, records: int) -> None:
        """Add a load: a snapshot of this offset, with so many records, is live."""
        self._add([Touched(offset, "loaded", "")], initialisations=1, records=records)

    def add_range(self, changes: int, folded: "Folded") -> list[Touched]:
        """Add a range of so many changes. Returns what it did to each record, in order."""
        touched: list[Touched] = []
        for write in folded.writes:
            is_new = write.name in folded.created
            how: How = "deleted" if isinstance(write, Delete) else "created" if is_new else "updated"
            touched.append(Touched(write.offset, how, write.name))
        self._add(touched, changes=changes, records=len(touched))
        return touched

    def add_notices(self, delivered: int = 0, failed: int = 0) -> None:
        """Add what was reported to watches, and the watches whose hook failed."""
        self._add([], notices=delivered, watches_failed=failed)

    def _add(self, touched: list[Touched], **numbers: int) -> None:
        sums = {name: getattr(self._report, name) + number for name, number in numbers.items()}
        self._report = replace(self._report, **sums)
        self._touched.extend(touched)
        self._all_touched += len(touched)

    @property
    def incidents(self) -> Incidents:
        """Those of the stored state; none if the pass could not read it."""
        return () if self.state is None else self.state.incidents

    @property
    def after_stop(self) -> str:
        """The hint if a signal ends the pass now."""
        if self.state is not None and self.state.requested is not None:
            return after_request(self._consumer)
        return AFTER_STOP["sync" if self._report.initialisations else self._report.command]

    def ended(self, error: CtisyncError | None, now: float) -> Ended:
        """The finished report. `error`: what ended the pass early; without one, `end` is set. `now`: seconds
        of the clock of `began`."""
        if error is not None:
            outcome, why = error.kind, error.about(self._consumer)
        else:
            assert self.end is not None
            outcome, why = self.end.outcome, self.end.why
        state, traffic = self.state, self.traffic
        report = replace(
            self._report,
            seconds=now - self._began,
            exit_code=DONE if error is None else error.exit_code,
            outcome=outcome,
            why=why,
            received=0 if traffic is None else traffic.received,
            retries=0 if traffic is None else traffic.retries,
            unlisted=self._all_touched - len(self._touched),
            touched=tuple(self._touched),
            **({} if state is None else {name: getattr(state, name) for name in _OF_STATE}),
        )
        return Ended(report, error)


_OF_STATE: Final = (
    "offset", "last_offset", "phase", "checked_at", "updated_at", "tried_at", "was_in_step_at",
)  # fmt: skip
"""The fields of a report that are those of the state when the pass ended."""


class LogEntry(msgspec.Struct, frozen=True):
    """One line of the log: what a pass did to a record, or to all records if `resource` is empty.

    `how` is `untold` for offsets up to `offset` without a report: of a pass that was killed, or that touched
    more records than a report lists.
    """

    at: datetime
    offset: int
    how: How | Literal["untold"]
    resource: str = ""
    pass_id: str | None = None
    from_offset: int | None = None


def log_entries(passes: Iterable[PassReport], resource: str | None = None) -> Iterator[LogEntry]:
    """What the passes have touched, newest first; only of `resource`, if it is given.

    Loads, and offsets without a report, may concern any record: they are always included.
    """
    newer: PassReport | None = None
    for report in passes:
        if report.offset is None:
            continue  # it could not read the store
        if newer is not None:
            yield from _between(report, newer)
        for touched in reversed(report.touched):
            if resource is None or touched.resource in ("", resource):
                yield LogEntry(report.ended_at, touched.offset, touched.how, touched.resource, report.pass_id)
        if report.unlisted:
            to = report.touched[0].offset if report.touched else report.offset
            yield LogEntry(report.ended_at, to, "untold", "", report.pass_id, report.from_offset)
        newer = report


def _between(older: PassReport, newer: PassReport) -> Iterator[LogEntry]:
    """An entry if the content changed between two consecutive passes of the history."""
    is_now = newer.from_offset
    if is_now is not None and is_now != older.offset:
        yield LogEntry(newer.began_at, is_now, "untold", from_offset=older.offset)
