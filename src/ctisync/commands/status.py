"""`status`: what is stored, and the document of it for programs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from ctisync.console import Console, rfc3339
from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState, looked
from ctisync.ports import Clock
from ctisync.settings import Settings
from ctisync.wiring import opened_feed, opened_store


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
    with opened_store(settings, clock) as store:
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


def what_to_type(one: Seen) -> str | None:
    """What a person does next, if anything."""
    state = one.state
    if one.settings_differ:
        return "the settings differ from those of the stored content: ctisync init-snapshot"
    if state.phase == "blocked":
        return "ctisync sync, once the feed offers another change or a new snapshot"
    if state.last_offset is not None and state.offset > state.last_offset:
        return "ctisync init-snapshot"
    if state.phase != "ready" or state.owed is not None or state.behind:
        return "ctisync sync"
    return None
