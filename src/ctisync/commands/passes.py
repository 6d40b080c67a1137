"""A pass for each consumer in turn, then its history entry, hooks, alerts, metrics and ping."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from ctisync import errors
from ctisync.cli.invocation import Invocation
from ctisync.console import Console
from ctisync.console.sentences import closing
from ctisync.core.incidents import Incident, Incidents, News, after, merged, news
from ctisync.core.json_text import UNDECODABLE, decode_as
from ctisync.core.model import Consumer
from ctisync.core.pass_report import Draft, Ended, PassReport, Reason
from ctisync.escaping import quoted
from ctisync.host_files import consumer_lock, lock_path
from ctisync.ports import Feed, Store
from ctisync.sync.parts import Parts
from ctisync.sync.run_pass import run_pass
from ctisync.system import process
from ctisync.system.files import STDOUT, absolute, atomic_write, open_own
from ctisync.system.folders import foreign_link, network_disk_risk
from ctisync.system.process import StopRequested, only_ctisync_errors
from ctisync.wiring import command_manager, opened_feed, opened_store

if TYPE_CHECKING:  # only passes with watches need it
    from ctisync.core.watches import Watch

_HISTORY_SECONDS: Final = 10.0
_HURRIED_SECONDS: Final = 1.0
"""Seconds for writing the history; the second value after a signal or an error of the store."""

_LARGEST_FILE: Final = 1 << 16
"""Bytes that are read of the file with the alerts."""

_decoder: Final = msgspec.json.Decoder(Incidents)

_QUICK: Final = 0.5
"""Seconds: if the stop took longer, the store did not answer, and ctisync does not ask it again."""


OnePass = Callable[[Parts, Feed], Ended]
"""A pass with the lock held and the store and the feed open. The feed is the same as in the parts, for a
command that needs more of it than a pass does."""


def run_passes(invocation: Invocation, one_pass: OnePass | None = None) -> int:
    """One pass per consumer: from the feed, or `one_pass`. A failed pass is reported and does not stop the
    next; the worst exit code wins.

    If another pass is running, there is no history entry, hook, metric or ping.
    """
    process.use_one_arena()
    if invocation.metrics is not None and invocation.metrics != STDOUT:
        _check_folder(absolute(invocation.metrics, "--metrics", errors.UsageError).parent)
    if (risk := network_disk_risk(invocation.settings.spool_folder)) is not None:
        invocation.console.event("warning", "network-disk", why=risk.text, hint=risk.hint)
    _ping(invocation, "start", invocation.policy.mode)
    ended = [_pass_and_hooks(invocation, consumer, one_pass) for consumer in invocation.consumers]
    alerted = [alerts for _, alerts in ended if alerts is not None]
    reports = [each.report for each in alerted]
    if reports and invocation.metrics is not None:
        _write_metrics(invocation, reports, invocation.metrics)
    bad = [report.why for report in reports if report.exit_code != errors.DONE]
    if reports and not bad:
        _ping(invocation, "success", reports[0].why)
    elif any(each.sent.alerts for each in alerted):
        _ping(invocation, "fail", "; ".join(bad))
    for each in alerted:
        each.remember()
        if invocation.settings.search.eager and each.report.updated:
            _update_index(invocation, each.consumer)
    return errors.worst([code for code, _ in ended])


def _pass_and_hooks(
    invocation: Invocation, consumer: Consumer, one_pass: OnePass | None
) -> tuple[int, "Alerts | None"]:
    """The exit code of the pass and of its hooks, and its alerts; None if another pass is running."""
    clock, console = invocation.clock, invocation.console
    draft = Draft(
        consumer,
        invocation.policy.mode,
        pass_id=os.urandom(6).hex(),
        began_at=clock.now(),
        began=clock.monotonic(),
    )
    with console.in_pass(draft.pass_id, lambda: draft.after_stop):
        try:
            with (
                only_ctisync_errors(),
                consumer_lock(invocation.settings, consumer, clock, invocation.command) as host_lock,
                opened_store(invocation.settings, clock, host_lock=host_lock) as store,
            ):
                ended = _pass(invocation, consumer, draft, store, one_pass)
        except errors.CtisyncError as error:  # the lock, or the store, before there was a pass
            ended = _print_end(draft.ended(error, clock.monotonic()), console)
        if isinstance(ended.error, errors.AnotherPass):
            return ended.error.exit_code, None
        report = ended.report
        alerts = Alerts(invocation, consumer, report, draft.incidents)
        hooks_are_good = not report.updated or _run_hook(invocation, report, "update")
        hooks_are_good &= alerts.send()
        hooks_are_good &= not report.watches_failed
    if report.exit_code == errors.DONE and not hooks_are_good:
        return errors.HookFailed.exit_code, alerts
    return report.exit_code, alerts


def _pass(
    invocation: Invocation, consumer: Consumer, draft: Draft, store: Store, one_pass: OnePass | None
) -> Ended:
    """Run the pass, print how it ended, and add it to the history while the store is open."""
    clock, console, keep = invocation.clock, invocation.console, invocation.settings.history
    try:
        with only_ctisync_errors(), opened_feed(invocation.settings, consumer, clock, console) as feed:
            draft.traffic = feed
            parts = Parts(
                consumer=consumer,
                feed=feed,
                store=store,
                commands=command_manager(invocation.settings, clock),
                clock=clock,
                log=console,
                policy=invocation.policy,
                check_time=feed.check_time,
                report=draft,
                watches=_watches(invocation),
                run_match_hook=partial(_run_match_hook, invocation, consumer),
            )
            ended = run_pass(parts) if one_pass is None else one_pass(parts, feed)
    except errors.CtisyncError as error:
        ended = draft.ended(error, clock.monotonic())
    except StopRequested as stop:
        if clock.monotonic() - stop.at < _QUICK:
            stopped = errors.Stopped(stop.signal_number, draft.after_stop)
            ended = _masked(draft.ended(stopped, clock.monotonic()), console)
            _remember(store, ended.report, keep, console, _HURRIED_SECONDS)
        raise
    ended = _print_end(ended, console)
    if not isinstance(ended.error, errors.AnotherPass):
        _remember(store, ended.report, keep, console, _HISTORY_SECONDS)
    return ended


def _print_end(ended: Ended, console: Console) -> Ended:
    """Prints how the pass ended; returns it as `_masked` does."""
    if ended.error is not None:
        ended.error.message = ended.report.why  # this names the consumer
        console.error(ended.error)
    elif (line := closing(ended.report)) is not None:
        console.close_pass(line)
    return _masked(ended, console)


def _masked(ended: Ended, console: Console) -> Ended:
    """With a report for others: without secrets, on one line."""
    why = console.public(ended.report.why)
    return ended._replace(report=msgspec.structs.replace(ended.report, why=why))


def _remember(store: Store, report: PassReport, keep: int, console: Console, within: float) -> None:
    """Add the report to the history, which keeps the `keep` newest of the consumer; none if `keep` is 0.

    An error is logged and has no other effect. If the pass could not read the store at all, ctisync does not
    try; if the store failed later, it tries once, for a short time.
    """
    if not keep or report.phase is None:
        return
    store_failed = report.exit_code == errors.StoreUnavailable.exit_code
    try:
        with only_ctisync_errors():
            store.remember(report, keep, _HURRIED_SECONDS if store_failed else within)
    except errors.CtisyncError as error:
        if not store_failed:  # otherwise the error of the pass says it
            console.event("warning", "history-not-written", consumer=report.consumer, why=error.message)


def _run_hook(
    invocation: Invocation, report: PassReport, reason: Reason, incident: Incident | None = None
) -> bool:
    """Run the hook of this reason, if there is one. Returns whether it succeeded."""
    argv = getattr(invocation.settings.hooks, f"on_{reason}")
    if not argv:
        return True
    from ctisync.notifications.hooks import run_hook

    try:
        with only_ctisync_errors():
            run_hook(argv, reason, report, invocation.settings.hooks.timeout, incident)
    except errors.CtisyncError as error:
        invocation.console.error(error)
        return False
    invocation.console.event("info", "hook-done", consumer=report.consumer, hook=f"on_{reason}")
    return True


def _watches(invocation: Invocation) -> "list[Watch]":
    if not (watches := invocation.settings.watch):
        return []
    from ctisync.settings.watches import watches_of

    return watches_of(watches, "watch", invocation.clock.now())


def _run_match_hook(
    invocation: Invocation, consumer: Consumer, watch: str, notices: bytes, meanwhile: Callable[[], None]
) -> bool:
    """Run the hook for the notices of a watch, if there is one. Returns whether it succeeded."""
    hooks = invocation.settings.hooks
    if not hooks.on_match:
        return True
    from ctisync.notifications.hooks import run_match_hook

    try:
        run_match_hook(hooks.on_match, watch, consumer, notices, hooks.timeout, meanwhile)
    except errors.HookFailed as error:
        invocation.console.error(error)
        return False
    invocation.console.event("info", "hook-done", consumer=str(consumer), hook="on_match")
    return True


def _check_folder(folder: Path) -> None:
    fault = foreign_link(folder)
    if fault is not None or not os.access(folder, os.W_OK | os.X_OK):
        why = f"cannot write to the folder {folder}" if fault is None else fault.text
        raise errors.UsageError(f"--metrics: {why}", hint=f"ls -ld {quoted(folder)}")


def _write_metrics(invocation: Invocation, reports: Sequence[PassReport], path: Path) -> None:
    from ctisync.notifications.metrics import write

    if (why := _failure(lambda: write(reports, path))) is not None:
        invocation.console.event("warning", "metrics-not-written", file=path, why=why)


def _ping(invocation: Invocation, what: Literal["start", "success", "fail"], text: str) -> None:
    if (url := invocation.settings.ping_url) is None:
        return
    from ctisync.notifications.hooks import ping

    if (why := _failure(lambda: ping(url.reveal(), what, text))) is not None:
        invocation.console.event("warning", "ping-failed", ping=what, why=why)


def _update_index(invocation: Invocation, consumer: Consumer) -> None:
    """Bring the search index up to the content. An error is logged and has no other effect."""

    def update() -> None:
        with (
            opened_store(invocation.settings, invocation.clock) as store,
            store.inspect(consumer) as content,
        ):
            invocation.index_of(consumer, content).ask(lambda _: None)

    if (why := _failure(update)) is not None:
        invocation.console.event("warning", "index-not-updated", consumer=str(consumer), why=why)


def _failure(work: Callable[[], str | None]) -> str | None:
    """Why `work` failed: what it returns, or the message of its error, which has no other effect."""
    try:
        with only_ctisync_errors():
            return work()
    except errors.CtisyncError as error:
        cause = error.__cause__ if isinstance(error, errors.Unexpected) else None
        return cause.strerror if isinstance(cause, OSError) and cause.strerror else error.message


class Alerts:
    """The alerts after one pass: each incident once, again after `hooks.again_after`, and once when it is
    over. Call `send`, then `remember`.

    The stored state remembers what was alerted, for all hosts. While the store cannot, a file beside the lock
    does, for this host.
    """

    def __init__(
        self, invocation: Invocation, consumer: Consumer, report: PassReport, stored: Incidents
    ) -> None:
        """`stored`: the alerted incidents in the state that the pass last read."""
        self.report = report
        self._invocation = invocation
        self.consumer = consumer
        self._opened_store = partial(opened_store, invocation.settings, invocation.clock)
        self._file = lock_path(invocation.settings, consumer).with_suffix(".alerts")
        self._store_fails = report.phase is None or report.exit_code == errors.StoreUnavailable.exit_code
        hooks, pings = invocation.settings.hooks, invocation.settings.ping_url is not None
        incidents, self._over = report.incidents(timedelta(seconds=hooks.stale_after))
        alerting = {"error": hooks.on_error, "stale": hooks.on_stale}
        self._incidents = [each for each in incidents if alerting[each.reason] or pings]
        self._alerted = merged(stored, self._in_file())
        self.sent = News((), ())
        """What was reported. An alert whose hook failed is not: the next pass sends it again."""

    def send(self) -> bool:
        """Run the hooks. Returns whether all succeeded."""
        if not (self._incidents or self._alerted):
            return True
        self._alerted = self._read()
        again_after = timedelta(seconds=self._invocation.settings.hooks.again_after)
        due = news(self._alerted, self._incidents, self._over, again_after, self.report.ended_at)
        hook = partial(_run_hook, self._invocation, self.report)
        alerts = tuple(each for each in due.alerts if hook(each.reason, each))
        over = tuple(each for each in due.over if hook("recovered", each))
        self.sent = News(alerts, over)
        return self.sent == due

    def remember(self) -> None:
        """Store what was sent. Best effort: if neither the store nor the file can, the next pass alerts
        again."""
        incidents = after(self._alerted, self.sent)
        if incidents != self._alerted and (why := _failure(lambda: self._save(incidents))) is not None:
            console, consumer = self._invocation.console, str(self.consumer)
            console.event("warning", "alerts-not-remembered", consumer=consumer, why=why)

    def _read(self) -> Incidents:
        """As they are now: a pass on another host may have alerted since this one began."""
        if not self._store_fails:
            try:
                with only_ctisync_errors(), self._opened_store() as store:
                    return merged(store.read_state(self.consumer).incidents, self._in_file())
            except errors.CtisyncError:
                self._store_fails = True
        return self._alerted

    def _save(self, incidents: Incidents) -> None:
        if not self._store_fails:
            with suppress(errors.CtisyncError), only_ctisync_errors(), self._opened_store() as store:
                state = store.read_state(self.consumer)
                store.record_check(self.consumer, msgspec.structs.replace(state, incidents=incidents))
                self._file.unlink(missing_ok=True)
                return
        with atomic_write(self._file, mode=0o600) as file:
            file.write(msgspec.json.encode(incidents))

    def _in_file(self) -> Incidents:
        try:
            with open_own(self._file) as file:
                return decode_as(file.read(_LARGEST_FILE), _decoder)
        except (OSError, *UNDECODABLE):
            return ()
