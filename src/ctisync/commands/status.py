"""`status`: what is stored, as the table for people, the document for programs, the line for monitoring."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from ctisync.console import Console, rfc3339
from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState, looked
from ctisync.errors import CtisyncError
from ctisync.ports import Clock
from ctisync.settings import Settings
from ctisync.wiring import opened_feed, opened_store

STALE: Final = timedelta(hours=24)
"""A content that is behind, or a feed that nobody has asked, for longer than this is worth a warning."""

STANDSTILL: Final = timedelta(days=14)
"""The feed changes every day; one that does not for so long is worth a warning, though we have all of it."""

OK: Final = 0
WARNING: Final = 1
CRITICAL: Final = 2
UNKNOWN: Final = 3
_NAMES: Final = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_WORST_FIRST: Final = (CRITICAL, UNKNOWN, WARNING, OK)


class Seen(msgspec.Struct, frozen=True):
    """One consumer as it stands in the store; `records` is None when there is no content."""

    consumer: Consumer
    state: ConsumerState
    records: int | None

    @property
    def settings_differ(self) -> bool:
        """Whether the content was made with other settings: the next pass refuses to go on from it."""
        return self.state.stored_for not in (None, self.consumer)


class Status(msgspec.Struct, frozen=True):
    store: str
    seen: tuple[Seen, ...]


def look(
    settings: Settings, consumers: Sequence[Consumer], clock: Clock, console: Console, *, remote: bool
) -> Status:
    """Read the state of these consumers; `remote` asks the feed too. Nothing is written anywhere."""
    with opened_store(settings, clock, host_lock_held=False) as store:
        seen = [Seen(each, store.look(each), store.count(each)) for each in consumers]
        name = store.name
    if remote:
        seen = [_asked(one, settings, clock, console) for one in seen]
    return Status(name, tuple(seen))


def _asked(one: Seen, settings: Settings, clock: Clock, console: Console) -> Seen:
    with opened_feed(settings, one.consumer, clock, console) as feed:
        info = feed.consumer_info()
    return msgspec.structs.replace(one, state=looked(one.state, info, clock.now()))


def as_document(status: Status) -> dict[str, Any]:
    """The contract of `status --json`."""
    return {"store": status.store, "consumers": [_consumer_document(one) for one in status.seen]}


def _consumer_document(one: Seen) -> dict[str, Any]:
    state = one.state
    owed = state.owed
    failed = state.failed if state.phase == "blocked" else None
    return {
        "context": one.consumer.context,
        "consumer": one.consumer.name,
        "phase": state.phase,
        "offset": state.offset,
        "last_offset": state.last_offset,
        "behind": state.behind,
        "last_snapshot_link": state.last_snapshot_link,
        "snapshot_offset": state.snapshot_offset,
        "records": one.records,
        "pending_command": owed and {"offset": str(owed.offset), "attempts": owed.attempts},
        "checked_at": state.checked_at and rfc3339(state.checked_at),
        "updated_at": state.updated_at and rfc3339(state.updated_at),
        "blocked_by": failed
        and {
            "offset": failed.offset,
            "resource": failed.resource,
            "operation": failed.operation,
            "reason": failed.reason,
        },
    }


def check(status: Status, now: datetime) -> tuple[str, int]:
    """The line and the exit code of `status --check`, by the convention of the monitoring plugins."""
    judged = [(one, *_judge(one, now)) for one in status.seen]
    codes = {code for _, code, _ in judged}
    worst = next(code for code in _WORST_FIRST if code in codes)
    words = "; ".join(f"{one.consumer}: {why}" for one, _, why in judged)
    figures = " ".join(_figures(one, now) for one in status.seen)
    return f"CTISYNC {_NAMES[worst]} - {words} | {figures}", worst


def check_failed(error: CtisyncError) -> tuple[str, int]:
    """The same when nothing could be read."""
    return f"CTISYNC UNKNOWN - {' '.join(error.message.split())}", UNKNOWN


def _judge(one: Seen, now: datetime) -> tuple[int, str]:
    state = one.state
    if state.phase == "blocked" and state.failed is not None:
        return CRITICAL, f"blocked by change {state.failed.offset} of {state.failed.resource}"
    if not state.content:
        return CRITICAL, "no content yet"
    if one.settings_differ:
        return WARNING, "the settings differ from those of the stored content"
    if state.offset == 0 or state.loading:
        return WARNING, "waits to be initialised again; readers have the old content"
    if state.last_offset is None or state.checked_at is None:
        return UNKNOWN, f"offset {state.offset}, the feed was never asked"
    if state.offset > state.last_offset:
        return WARNING, f"the feed went back to {state.last_offset}, the content stands at {state.offset}"
    if state.owed is not None:
        return WARNING, f"the command for offset {state.owed.offset} is not accepted yet"
    return _judge_age(state, state.checked_at, now)


def _judge_age(state: ConsumerState, checked_at: datetime, now: datetime) -> tuple[int, str]:
    if now - checked_at > STALE:
        return WARNING, f"offset {state.offset}, the feed was last asked {ago(checked_at, now)}"
    if state.behind and (state.updated_at is None or now - state.updated_at > STALE):
        return WARNING, f"{state.behind} offsets behind, last changed {ago(state.updated_at, now)}"
    if state.updated_at is not None and now - state.updated_at > STANDSTILL:
        return WARNING, f"the feed stands still at {state.offset}, last changed {ago(state.updated_at, now)}"
    return OK, f"offset {state.offset}, {state.behind or 'none'} behind"


def _figures(one: Seen, now: datetime) -> str:
    state = one.state
    age = None if state.checked_at is None else int((now - state.checked_at).total_seconds())
    values = {"behind": state.behind, "records": one.records, "checked_age": age}
    units = {"checked_age": "s"}
    return " ".join(
        f"'{one.consumer} {name}'=" + ("U" if value is None else f"{value}{units.get(name, '')}")
        for name, value in values.items()
    )


def ago(then: datetime | None, now: datetime) -> str:
    """How long ago, in the words of people."""
    if then is None:
        return "never"
    seconds = int((now - then).total_seconds())
    if seconds < 0:
        return "in the future (a clock is wrong)"
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size or (seconds >= size and unit != "day"):
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
