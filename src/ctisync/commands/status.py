"""`status`: what is stored, and the document of it for programs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from ctisync.console import Console, rfc3339
from ctisync.core.health import CLOCKS_APART
from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState, Phase, believed, looked
from ctisync.errors import CtisyncError, StoreUnavailable
from ctisync.harmless import quoted
from ctisync.ports import Clock, Store
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

    @property
    def gone(self) -> bool:
        """Whether somebody has removed the content of which the state speaks."""
        here = self.state.index_elsewhere(self.consumer) is None
        return self.state.content and self.records is None and here

    @property
    def phase(self) -> Phase:
        return "empty" if self.gone else self.state.phase


class Unseen(msgspec.Struct, frozen=True):
    """One consumer that cannot be looked at, which `error` explains: another index under its alias, say."""

    consumer: Consumer
    error: CtisyncError


class Status(msgspec.Struct, frozen=True):
    """All consumers, in the order of the settings. `unnamed`: those with a content that no setting names."""

    store: str
    found: tuple[Seen | Unseen, ...]
    unnamed: tuple[Consumer, ...] = ()

    @property
    def seen(self) -> list[Seen]:
        return [one for one in self.found if isinstance(one, Seen)]

    @property
    def unseen(self) -> list[Unseen]:
        return [one for one in self.found if isinstance(one, Unseen)]


def look(
    settings: Settings, consumers: Sequence[Consumer], clock: Clock, console: Console, *, remote: bool
) -> Status:
    """Read the state of these consumers; `remote` asks the feed too. Nothing is written anywhere.

    One of several that cannot be looked at hides none of the others. Raises what keeps the only one from it,
    and StoreUnavailable when that keeps two from it, one after the other.
    """
    found: list[Seen | Unseen] = []
    with opened_store(settings, clock) as store:
        for each in consumers:
            try:
                found.append(_seen(store, each, settings, clock, console, remote=remote))
            except CtisyncError as error:
                if len(consumers) == 1 or _is_the_stores(error, found):
                    raise
                found.append(Unseen(each, error))
        named = {str(each) for each in settings.followed}
        unnamed = tuple(each for each in store.consumers() if str(each) not in named)
        return Status(store.name, tuple(found), unnamed)


def _seen(
    store: Store, consumer: Consumer, settings: Settings, clock: Clock, console: Console, *, remote: bool
) -> Seen:
    one = Seen(consumer, store.look(consumer), store.count(consumer))
    if not remote:
        return one
    with opened_feed(settings, consumer, clock, console) as feed:
        info = feed.consumer_info()
    return msgspec.structs.replace(one, state=looked(one.state, info, clock.now()))


def _is_the_stores(error: CtisyncError, found: Sequence[Seen | Unseen]) -> bool:
    """Whether the store has failed the consumer before as well: the next ones need not wait for it."""
    last = found[-1] if found else None
    return (
        isinstance(error, StoreUnavailable)
        and isinstance(last, Unseen)
        and last.error.message == error.message
    )


def as_document(status: Status) -> dict[str, Any]:
    """The contract of `status --json`."""
    return {
        "store": status.store,
        "consumers": [
            _consumer_document(one) if isinstance(one, Seen) else _unseen_document(one)
            for one in status.found
        ],
        "not_configured": [{"context": each.context, "consumer": each.name} for each in status.unnamed],
    }


def _unseen_document(one: Unseen) -> dict[str, Any]:
    """All that a consumer has, as not known, and why."""
    names = _consumer_document(Seen(one.consumer, ConsumerState(), None))
    return {
        **dict.fromkeys(names),
        "context": one.consumer.context,
        "consumer": one.consumer.name,
        "error": {"message": one.error.message, "to_do": one.error.hint},
    }


def _consumer_document(one: Seen) -> dict[str, Any]:
    state = one.state
    owed = state.owed
    failed = state.failed if state.phase == "blocked" else None
    return {
        "context": one.consumer.context,
        "consumer": one.consumer.name,
        "phase": one.phase,
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
        "error": None,
    }


def ago(then: datetime | None, now: datetime) -> str:
    """How long ago, in the words of people."""
    if then is None:
        return "never"
    seconds = int((now - then).total_seconds())
    if then - now > CLOCKS_APART:
        return "in the future (a clock is wrong)"
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size or (seconds >= size and unit != "day"):
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def how_to_forget(consumer: Consumer) -> str:
    """What a person types about a content that no setting names."""
    return f"ctisync forget --consumer {quoted(consumer)}"


def ahead(state: ConsumerState, now: datetime) -> bool:
    """Whether a time lies in the future, so that nobody knows how old the content is."""
    return (believed(state.checked_at, now), believed(state.updated_at, now)) != (
        state.checked_at,
        state.updated_at,
    )


def what_to_type(one: Seen, now: datetime) -> str | None:
    """What a person does next, if anything."""
    state = one.state
    if one.settings_differ:
        return "the settings differ from those of the stored content: ctisync init-snapshot"
    if one.gone:
        return "ctisync sync (it loads the content anew)"
    if one.records == 0:
        return "ctisync init-snapshot"
    if state.phase == "blocked":
        return "ctisync sync, once the feed offers another change or a new snapshot"
    if state.last_offset is not None and state.offset > state.last_offset:
        return "ctisync init-snapshot"
    if state.phase != "ready" or state.owed is not None or state.behind or ahead(state, now):
        return "ctisync sync"
    return None
