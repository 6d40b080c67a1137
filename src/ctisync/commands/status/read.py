"""Reads the status: what the store has of each consumer, and what may be wrong with the store itself."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

import msgspec

from ctisync import hints
from ctisync.cli.invocation import Invocation
from ctisync.core.health import CheckResult
from ctisync.core.model import Consumer
from ctisync.core.pass_report import PassReport, Work
from ctisync.core.state import ConsumerState, Moved, Owed, Phase, Summary
from ctisync.errors import DONE, CtisyncError, StoreUnavailable
from ctisync.host_files import lock_path
from ctisync.ports import Clock, Store
from ctisync.settings import Settings
from ctisync.system.locks import LockState, read_lock
from ctisync.system.threads import run_within
from ctisync.wiring import effective_state, feed_certificates, opened_feed, opened_store

USUAL_TIMEOUT: Final = 60.0
CHECK_TIMEOUT: Final = 10.0
"""Seconds. A monitoring server waits no longer for a plugin."""

_READING_PART: Final = 0.9
"""Of the time of `status`: the rest is for the start and the end of the process."""

_STORE_PART: Final = 0.7
"""Of the same time: after it the store's own error says more than a missing answer."""

_FEED_PART: Final = 0.25
"""Of the time for the store: retries of a request to the feed."""

_LONGER: Final = 6
"""Times the time that was too short, in the hint."""

_CLOSING_TIME: Final = timedelta(minutes=1)
"""A pass releases its lock before its history entry is written; file systems may also use another clock."""


class ConsumerStatus(msgspec.Struct, frozen=True):
    """One consumer in the store; `records` is None if there is no content.

    `sends_commands`: whether ctisync sends update commands; `work`: the running pass; `failure`: the last
    pass in the history, if it failed; `unrecorded_at`: end of a later pass that is not in the history;
    `moved`: readers have another content than the one that the state names.
    """

    consumer: Consumer
    state: ConsumerState
    records: int | None
    sends_commands: bool = True
    work: Work | None = None
    failure: PassReport | None = None
    unrecorded_at: datetime | None = None
    moved: Moved | None = None
    facts_offset: int | None = None

    @property
    def facts_behind(self) -> bool:
        """Whether dashboards find older facts than the content has."""
        return self.facts_offset is not None and self.facts_offset < self.state.offset

    @property
    def owed(self) -> Owed | None:
        """The update command that the Command Manager has not accepted yet."""
        return self.state.owed if self.sends_commands else None

    @property
    def failure_reason(self) -> str:
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


class UnreadableConsumer(msgspec.Struct, frozen=True):
    """A consumer that cannot be read; `error` says why, for example an index under its alias."""

    consumer: Consumer
    error: CtisyncError


class UnconfiguredConsumer(msgspec.Struct, frozen=True):
    """A stored consumer that is not in the settings. `replaced_by`: the consumer whose content readers find
    under its index now."""

    consumer: Consumer
    replaced_by: str | None = None


class Status(msgspec.Struct, frozen=True):
    """All consumers, in the order of the settings. `store`: its name, without secrets; `unconfigured`: stored
    consumers that are not in the settings; `refusals`: what prevents passes from writing to the store;
    `certificates`: those that were checked, and when they expire."""

    store: str
    consumers: tuple[ConsumerStatus | UnreadableConsumer, ...]
    unconfigured: tuple[UnconfiguredConsumer, ...] = ()
    refusals: tuple[CheckResult, ...] = ()
    certificates: tuple[tuple[str, datetime], ...] = ()

    @property
    def readable(self) -> list[ConsumerStatus]:
        return [one for one in self.consumers if isinstance(one, ConsumerStatus)]

    @property
    def unreadable(self) -> list[UnreadableConsumer]:
        return [one for one in self.consumers if isinstance(one, UnreadableConsumer)]


def read_status(
    invocation: Invocation, *, remote: bool, certificates: bool = False, within: float = USUAL_TIMEOUT
) -> Status:
    """Read the state of the consumers; `remote` asks the feed too; `certificates` checks those of the store
    and of the feed, if asked. Writes nothing. `within`: seconds for everything.

    An error of one of several consumers does not hide the others. Raises the error of a single consumer, and
    StoreUnavailable if two in a row have it, or if the time is over.
    """

    def work() -> Status:
        return _read(invocation, remote=remote, certificates=certificates, within=_STORE_PART * within)

    try:
        return run_within(_READING_PART * within, work, "status")
    except TimeoutError:  # a server that sends a byte now and then, or a name that is looked up for ever
        servers = invocation.settings.store.url + (f" or {invocation.settings.cti.url}" if remote else "")
        raise StoreUnavailable(
            f"no answer from {servers} within {within:g} s",
            hint=f"{hints.command('doctor')} (shows what does not answer); to wait longer: "
            + hints.command("status", f"--timeout {_LONGER * within:g}"),
        ) from None


def _read(invocation: Invocation, *, remote: bool, certificates: bool, within: float) -> Status:
    cti = invocation.settings.cti
    cti = msgspec.structs.replace(cti, retry_budget=min(cti.retry_budget, _FEED_PART * within))
    settings = msgspec.structs.replace(invocation.settings, cti=cti)
    invocation = msgspec.structs.replace(invocation, settings=settings)
    consumers: list[ConsumerStatus | UnreadableConsumer] = []
    with opened_store(settings, invocation.clock, within=within) as store:
        for each in invocation.consumers:
            try:
                consumers.append(_read_consumer(invocation, each, store, remote=remote))
            except CtisyncError as error:
                if len(invocation.consumers) == 1 or _is_of_store(error, consumers):
                    raise
                consumers.append(UnreadableConsumer(each, error))
        configured = {str(each) for each in settings.followed}
        unconfigured = [each for each in store.consumers() if str(each) not in configured]
        refusals: list[CheckResult] = []
        with suppress(CtisyncError):
            refusals += store.refusals(invocation.consumers)
        checked = list(store.certificates()) if certificates else []
        if remote and certificates:
            checked += feed_certificates(settings)
        return Status(
            store.name,
            tuple(consumers),
            tuple(UnconfiguredConsumer(each, _replaced_by(store, each)) for each in unconfigured),
            tuple(refusals),
            tuple(checked),
        )


def _replaced_by(store: Store, consumer: Consumer) -> str | None:
    """See `UnconfiguredConsumer.replaced_by`. The state has the index; None if it cannot be read."""
    with suppress(CtisyncError):
        stored_for = store.read_state(consumer).stored_for
        return None if stored_for is None else store.read_state(stored_for).occupant
    return None


def _read_consumer(
    invocation: Invocation, consumer: Consumer, store: Store, *, remote: bool
) -> ConsumerStatus:
    settings, clock = invocation.settings, invocation.clock
    path = lock_path(settings, consumer)
    lock = read_lock(path)
    # Before the state: a pass that ends in between then counts as running, not as dead.
    work = _running_pass(lock, store.work(consumer))
    summary = store.summary(consumer)
    invocation.warn_of_hidden(summary.hidden, consumer)
    last = None
    with suppress(CtisyncError):  # the history cannot be read
        last = next(iter(store.passes(consumer, 1)), None)
    record_expected = settings.history and work is None
    one = msgspec.structs.replace(
        consumer_status(consumer, summary, settings, clock),
        work=work,
        failure=last if last is not None and last.exit_code != DONE else None,
        unrecorded_at=_unrecorded_at(last, lock.last, clock.now()) if record_expected else None,
    )
    if not remote:
        return one
    with opened_feed(settings, consumer, clock, invocation.console) as feed:
        info = feed.consumer_info()
    return msgspec.structs.replace(one, state=one.state.feed_answered(info, clock.now()))


def consumer_status(consumer: Consumer, summary: Summary, settings: Settings, clock: Clock) -> ConsumerStatus:
    """The status from the store's summary alone, without passes."""
    return ConsumerStatus(
        consumer,
        effective_state(summary.state, settings, clock),
        summary.records,
        sends_commands=settings.command_manager.enabled is not False,
        moved=summary.moved,
        facts_offset=summary.facts_offset,
    )


def _running_pass(lock: LockState, stored: Work | None) -> Work | None:
    """The running pass, from the lock of this host and from the store. If the lock of a lease is free, its
    pass is dead; if the lock cannot be read, only the store counts."""
    if lock.work is not None:
        return lock.work if stored is None else msgspec.structs.replace(lock.work, records=stored.records)
    if lock.unread is not None:
        return stored
    is_dead = stored is None or stored.who is None or (lock.last is not None and stored.lock == lock.last[0])
    return None if is_dead else stored


def _unrecorded_at(
    last: PassReport | None, last_lock: tuple[str, datetime] | None, now: datetime
) -> datetime | None:
    """When a pass of this host last held the lock, if that is after the last entry of the history: the pass
    was killed, or the store refused its entry, for example because the disk is full."""
    released_at = now if last_lock is None else last_lock[1]
    is_recorded = last is not None and released_at - last.ended_at < _CLOSING_TIME
    return None if is_recorded or now - released_at < _CLOSING_TIME else released_at


def _is_of_store(error: CtisyncError, before: Sequence[ConsumerStatus | UnreadableConsumer]) -> bool:
    """Whether the store failed in the same way for the previous consumer: then the next ones do not wait."""
    last = before[-1] if before else None
    return (
        isinstance(error, StoreUnavailable)
        and isinstance(last, UnreadableConsumer)
        and last.error.message == error.message
    )
