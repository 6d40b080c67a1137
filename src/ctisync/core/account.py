"""What one pass came to, for those who are told of it afterwards: metrics, hooks, the history."""

from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import msgspec

from ctisync.core.model import Moment
from ctisync.core.state import STALE, Phase, believed, in_step_at
from ctisync.core.steps import Mode
from ctisync.errors import DONE, CtisyncError

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


class Account(msgspec.Struct, frozen=True, kw_only=True):
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
        """What somebody may want to be told of it, in this order."""
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


class Accounting:
    """Takes the events of a pass, as `ports.Log` has them, and makes its account of them."""

    def __init__(self) -> None:
        self._begun: Mapping[str, Any] = {}
        self._stands: Mapping[str, Any] = {}
        self._ended: Mapping[str, Any] = {}
        self._sums = dict.fromkeys(("initialisations", "changes", "records", "received", "retries"), 0)
        self._touched: deque[Touched] = deque(maxlen=MOST_TOUCHED)
        self._all_touched = 0

    def event(self, event: str, fields: Mapping[str, Any]) -> None:
        match event:
            case "pass-begun":
                self._begun = self._stands = fields
            case "pass-stands":
                self._stands = fields
            case "pass-ended":
                self._ended = fields
            case "initialised":
                self._add(initialisations=1, records=fields["records"])
                self._touch(fields["offset"], "loaded", "")
            case "range-applied":
                self._add(changes=fields["changes"], records=fields["records"])
            case "record-changed":
                self._touch(fields["offset"], fields["how"], fields["resource"])
            case "feed-left":
                self._add(received=fields["received"])
            case "retry":
                self._add(retries=1)

    def _add(self, **amounts: int) -> None:
        for name, amount in amounts.items():
            self._sums[name] += amount

    def _touch(self, offset: int, how: How, resource: str) -> None:
        self._touched.append(Touched(offset, how, resource))
        self._all_touched += 1

    def account(self, error: CtisyncError | None, **known: Any) -> Account:
        """The account of the pass, which `error` ended; `known` are the fields that no event tells."""
        stands = self._stands
        facts = {**self._sums, **known}
        return Account(
            exit_code=DONE if error is None else error.exit_code,
            outcome=_kebab(type(error).__name__) if error is not None else self._ended["outcome"],
            why=error.message if error is not None else self._ended["why"],
            from_offset=self._begun.get("offset"),
            offset=stands.get("offset"),
            last_offset=stands.get("last_offset"),
            phase=stands.get("phase"),
            command_owed=stands.get("owed") is not None,
            checked_at=stands.get("checked_at"),
            updated_at=stands.get("updated_at"),
            untold=self._all_touched - len(self._touched),
            touched=tuple(self._touched),
            **facts,
        )


def _kebab(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")
