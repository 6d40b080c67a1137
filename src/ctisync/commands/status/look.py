"""`status`: reads the stored content and state, and makes the JSON document."""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

import msgspec

from ctisync.commands.hidden import warn_of_hidden
from ctisync.commands.invocation import Invocation
from ctisync.console import rfc3339
from ctisync.core.health import CLOCKS_APART, CheckResult
from ctisync.core.model import Consumer
from ctisync.core.pass_report import PassReport, Work
from ctisync.core.state import ConsumerState, Moved, Owed, Phase, believed, feed_answered
from ctisync.core.steps import contradiction
from ctisync.core.words import counted
from ctisync.errors import DONE, LOAD_ANEW, CtisyncError, StoreUnavailable, replace_command
from ctisync.escaping import quoted
from ctisync.ports import HistoryStore, Store
from ctisync.system.locks import LockState, last_locked, read_lock
from ctisync.system.threads import run_within
from ctisync.wiring import as_it_holds, lock_path, opened_feed, opened_store

_SOON: Final = timedelta(minutes=1)
"""A pass releases its lock before its history entry is written; file systems may also use another clock."""

USUAL_TIMEOUT: Final = 60.0
CHECK_TIMEOUT: Final = 10.0
"""Seconds. A monitoring server waits no longer for a plugin."""

_PASS: Final = re.compile(r"ctisync (?:sync|init-snapshot)\b")

_LOOKS_PART: Final = 0.9
"""Of the time of `status`: the rest is for the start and the end of the process."""

_STORES_PART: Final = 0.7
"""Of the same time: after it the store's own error says more than a missing answer."""

_FEEDS_PART: Final = 0.25
"""Of the time for the store: retries of a request to the feed."""

_LONGER: Final = 6
"""Times the time that was too short, in the hint."""


class ConsumerStatus(msgspec.Struct, frozen=True):
    """One consumer in the store; `records` is None if there is no content.

    `tells`: whether ctisync sends update commands; `work`: the running pass; `failure`: the last pass in the
    history, if it failed; `forgotten_at`: end of a later pass that is not in the history; `moved`: readers
    have another content than the one that the state names.
    """

    consumer: Consumer
    state: ConsumerState
    records: int | None
    tells: bool = True
    work: Work | None = None
    failure: PassReport | None = None
    forgotten_at: datetime | None = None
    moved: Moved | None = None

    @property
    def owed(self) -> Owed | None:
        """The update command that the Command Manager has not accepted yet."""
        return self.state.owed if self.tells else None

    @property
    def why_failed(self) -> str:
        """Why the last pass failed, without the name of the consumer, which is shown anyway."""
        return "" if self.failure is None else self.failure.why.removeprefix(f"{self.consumer}: ")

    @property
    def settings_differ(self) -> bool:
        """Whether the content was loaded with other settings: the next pass refuses to update it."""
        return self.state.stored_for not in (None, self.consumer)

    @property
    def gone(self) -> bool:
        """Whether the content that the state names was removed."""
        here = self.state.index_elsewhere(self.consumer) is None and self.state.occupant is None
        return self.state.content and self.records is None and here

    @property
    def phase(self) -> Phase:
        return "empty" if self.gone else self.state.phase


class FailedStatus(msgspec.Struct, frozen=True):
    """One consumer that cannot be read; `error` says why, for example an index under its alias."""

    consumer: Consumer
    error: CtisyncError


class Unnamed(msgspec.Struct, frozen=True):
    """A stored consumer that is not configured. `replaced_by`: the consumer whose content readers find under
    its index now."""

    consumer: Consumer
    replaced_by: str | None = None


class Status(msgspec.Struct, frozen=True):
    """All consumers, in the order of the settings. `unnamed`: stored consumers that are not configured;
    `refusals`: what prevents passes from writing to the store; `ends`: the checked certificates, and when
    they expire."""

    store: str
    found: tuple[ConsumerStatus | FailedStatus, ...]
    unnamed: tuple[Unnamed, ...] = ()
    refusals: tuple[CheckResult, ...] = ()
    ends: tuple[tuple[str, datetime], ...] = ()

    @property
    def seen(self) -> list[ConsumerStatus]:
        return [one for one in self.found if isinstance(one, ConsumerStatus)]

    @property
    def unseen(self) -> list[FailedStatus]:
        return [one for one in self.found if isinstance(one, FailedStatus)]


def look(
    invocation: Invocation, *, remote: bool, certificates: bool = False, within: float = USUAL_TIMEOUT
) -> Status:
    """Read the state of the consumers; `remote` asks the feed too; `certificates` checks those of the store
    and of the feed, if asked. Writes nothing. `within`: seconds for everything.

    An error of one of several consumers does not hide the others. Raises the error of a single consumer, and
    StoreUnavailable if two in a row have it, or if the time is over.
    """

    def work() -> Status:
        return _look(invocation, remote=remote, certificates=certificates, within=_STORES_PART * within)

    try:
        return run_within(_LOOKS_PART * within, work, "status")
    except TimeoutError:  # a server that sends a byte now and then, or a name that is looked up for ever
        asked = invocation.settings.store.url + (f" or {invocation.settings.cti.url}" if remote else "")
        raise StoreUnavailable(
            f"no answer from {asked} within {within:g} s",
            hint="ctisync doctor (shows what does not answer); to wait longer: "
            f"ctisync status --timeout {_LONGER * within:g}",
        ) from None


def _look(invocation: Invocation, *, remote: bool, certificates: bool, within: float) -> Status:
    consumers = invocation.consumers
    cti = invocation.settings.cti
    cti = msgspec.structs.replace(cti, retry_budget=min(cti.retry_budget, _FEEDS_PART * within))
    settings = msgspec.structs.replace(invocation.settings, cti=cti)
    invocation = msgspec.structs.replace(invocation, settings=settings)
    found: list[ConsumerStatus | FailedStatus] = []
    with opened_store(settings, invocation.clock, within=within) as store:
        for each in consumers:
            try:
                found.append(_seen(invocation, each, store, remote=remote))
            except CtisyncError as error:
                if len(consumers) == 1 or _is_the_stores(error, found):
                    raise
                found.append(FailedStatus(each, error))
        named = {str(each) for each in settings.followed}
        unnamed = tuple(
            Unnamed(each, _replaced_by(store, each)) for each in store.consumers() if str(each) not in named
        )
        refusals: list[CheckResult] = []
        with suppress(CtisyncError):
            refusals += store.refusals(consumers)
        ends = list(store.certificates()) if certificates else []
        if remote and certificates:
            from ctisync import tls

            ends += tls.ends([settings.cti.url])
        return Status(store.name, tuple(found), unnamed, tuple(refusals), tuple(ends))


def _replaced_by(store: Store, consumer: Consumer) -> str | None:
    """See `Unnamed.replaced_by`. The state has the index; None if it cannot be read."""
    with suppress(CtisyncError):
        stored_for = store.read_state(consumer).stored_for
        return None if stored_for is None else store.read_state(stored_for).occupant
    return None


def _seen(invocation: Invocation, consumer: Consumer, store: Store, *, remote: bool) -> ConsumerStatus:
    settings, clock = invocation.settings, invocation.clock
    path = lock_path(settings, consumer)
    held = last_locked(path)
    # Before the state: a pass that ends in between then counts as running, not as dead.
    work = _at_work(read_lock(path), store.work(consumer), held)
    standing = store.summary(consumer)
    warn_of_hidden(standing.hidden, consumer, invocation.console)
    last = _last_pass(store, consumer)
    one = ConsumerStatus(
        consumer,
        as_it_holds(standing.state, settings, clock),
        standing.records,
        tells=settings.command_manager.enabled is not False,
        work=work,
        failure=last if last is not None and last.exit_code != DONE else None,
        forgotten_at=_forgotten_at(last, held, clock.now()) if settings.history and work is None else None,
        moved=standing.moved,
    )
    if not remote:
        return one
    with opened_feed(settings, consumer, clock, invocation.console) as feed:
        info = feed.consumer_info()
    return msgspec.structs.replace(one, state=feed_answered(one.state, info, clock.now()))


def _at_work(lock: LockState, stored: Work | None, held: tuple[str, datetime] | None) -> Work | None:
    """The running pass, from the lock of this host and from the store. If the lock of a lease is free, its
    pass is dead; if the lock cannot be read, only the store counts."""
    if lock.work is not None:
        return lock.work if stored is None else msgspec.structs.replace(lock.work, records=stored.records)
    if lock.unread is not None:
        return stored
    is_dead = stored is None or stored.who is None or (held is not None and stored.lock == held[0])
    return None if is_dead else stored


def _last_pass(store: HistoryStore, consumer: Consumer) -> PassReport | None:
    """The last entry of the history; None if the history cannot be read."""
    try:
        return next(iter(store.passes(consumer, 1)), None)
    except CtisyncError:
        return None


def _forgotten_at(
    last: PassReport | None, held: tuple[str, datetime] | None, now: datetime
) -> datetime | None:
    """When a pass of this host last held the lock, if that is after the last entry of the history: the pass
    was killed, or the store refused its entry, for example because the disk is full."""
    if held is None or now - held[1] < _SOON or (last is not None and held[1] - last.ended_at < _SOON):
        return None
    return held[1]


def _is_the_stores(error: CtisyncError, found: Sequence[ConsumerStatus | FailedStatus]) -> bool:
    """Whether the store failed in the same way for the previous consumer: then the next ones do not wait."""
    last = found[-1] if found else None
    return (
        isinstance(error, StoreUnavailable)
        and isinstance(last, FailedStatus)
        and last.error.message == error.message
    )


def at_work(work: Work, now: datetime) -> str:
    """The running pass, on one line."""
    words = work.who or "a pass"
    if work.since is not None:
        words += f", since {ago(work.since, now).removesuffix(' ago')}"
    if work.records is not None:
        words += f", {counted(work.records, 'record')} loaded so far"
    if work.missing and work.until is not None:
        words += "; this host has no such process: it was probably killed, "
        words += f"and its lease ends at {rfc3339(work.until)}"
    return words


def ago(then: datetime | None, now: datetime) -> str:
    """How long ago, in words."""
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
    """The command that removes a stored consumer that is not configured."""
    return f"ctisync forget --consumer {quoted(consumer)}"


def ahead(state: ConsumerState, now: datetime) -> bool:
    """Whether a time is in the future, so that the age of the content is unknown."""
    return (believed(state.checked_at, now), believed(state.updated_at, now)) != (
        state.checked_at,
        state.updated_at,
    )


def what_to_type(one: ConsumerStatus, now: datetime) -> str | None:
    """What you type next, if anything."""
    todo = _what_to_type(one, now) if one.state.may_replace else replace_command(one.consumer)
    return None if todo is None else despite_cooldown(todo, one.state, now)


def despite_cooldown(words: str, state: ConsumerState, now: datetime) -> str:
    """The words, in which each pass gets `--now` during a cool-down: without it, it would end with 5."""
    if state.cooldown_at(now) is None:
        return words
    return _PASS.sub(r"\g<0> --now", words)


def _what_to_type(one: ConsumerStatus, now: datetime) -> str | None:
    state = one.state
    if one.work is not None and not one.settings_differ:
        end = one.work.until if one.work.missing else None
        return None if end is None else f"after {rfc3339(end)}: ctisync sync"
    if state.content and state.is_requested_with(one.consumer):
        return "ctisync sync (does the requested initialisation; ctisync sync --keep cancels it)"
    if one.settings_differ:
        return f"the settings differ from those of the stored content: {LOAD_ANEW}"
    if one.gone or one.moved is not None:
        return "ctisync sync (loads the content again)"
    if one.records == 0 or contradiction(state) is not None:
        return LOAD_ANEW
    if state.phase == "blocked":
        return "ctisync sync, once the feed offers another change or a new snapshot"
    if state.last_offset is not None and state.offset > state.last_offset:
        return LOAD_ANEW
    if state.phase != "ready" or one.owed is not None or state.behind or ahead(state, now):
        return "ctisync sync"
    if one.forgotten_at is not None:
        return "check the log of that pass, then: ctisync sync"
    return None
