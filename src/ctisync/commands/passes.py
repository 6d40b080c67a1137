"""A pass for each consumer in turn, then its history entry, hooks, metrics and ping."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from ctisync.cli.invocation import Invocation
from ctisync.commands.alerts import Alerts
from ctisync.console import Console
from ctisync.console.closing import closing
from ctisync.core.incidents import Incident
from ctisync.core.model import Consumer
from ctisync.core.pass_report import Draft, Ended, PassReport, Reason
from ctisync.errors import (
    DONE,
    AnotherPass,
    CtisyncError,
    HookFailed,
    Stopped,
    StoreUnavailable,
    UsageError,
    worst,
)
from ctisync.escaping import quoted
from ctisync.sync.parts import Parts
from ctisync.sync.run_pass import run_pass
from ctisync.system import memory
from ctisync.system.files import STDOUT, absolute
from ctisync.system.folders import foreign_link, network_disk_risk
from ctisync.system.process import StopRequested, only_ctisync_errors
from ctisync.wiring import command_manager, consumer_lock, opened_feed, opened_store, spool_folder

if TYPE_CHECKING:
    from ctisync.ports import Feed, Store

_HISTORY_SECONDS: Final = 10.0
_HURRIED_SECONDS: Final = 1.0
"""Seconds for writing the history; the second value after a signal or an error of the store."""

_QUICK: Final = 0.5
"""Seconds: if the stop took longer, the store did not answer, and ctisync does not ask it again."""


OnePass = Callable[[Parts, "Feed"], Ended]
"""A pass with the lock held and the store and the feed open. The feed is the same as in the parts, for a
command that needs more of it than a pass does."""


def run_passes(invocation: Invocation, one_pass: OnePass | None = None) -> int:
    """One pass per consumer: from the feed, or `one_pass`. A failed pass is reported and does not stop the
    next; the worst exit code wins.

    If another pass is running, there is no history entry, hook, metric or ping.
    """
    memory.use_one_arena()
    if invocation.metrics is not None and invocation.metrics != STDOUT:
        _check_folder(absolute(invocation.metrics, "--metrics", UsageError).parent)
    if (doubt := network_disk_risk(spool_folder(invocation.settings))) is not None:
        invocation.console.event("warning", "network-disk", why=doubt.text, hint=doubt.hint)
    _ping(invocation, "start", invocation.policy.mode)
    ended = [_one(invocation, consumer, one_pass) for consumer in invocation.consumers]
    alerted = [alerts for _, alerts in ended if alerts is not None]
    reports = [each.report for each in alerted]
    if reports and invocation.metrics is not None:
        _write_metrics(invocation, reports, invocation.metrics)
    bad = [report.why for report in reports if report.exit_code != DONE]
    if reports and not bad:
        _ping(invocation, "success", reports[0].why)
    elif any(each.sent.alerts for each in alerted):
        _ping(invocation, "fail", "; ".join(bad))
    for each in alerted:
        each.remember()
    return worst([code for code, _ in ended])


def _one(invocation: Invocation, consumer: Consumer, one_pass: OnePass | None) -> tuple[int, Alerts | None]:
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
                ended = _with_store(invocation, consumer, draft, store, one_pass)
        except CtisyncError as error:  # the lock, or the store, before there was a pass
            ended = _shown(draft.ended(error, clock.monotonic()), console)
        if isinstance(ended.error, AnotherPass):
            return ended.error.exit_code, None
        report = ended.report
        alerts = Alerts(invocation.settings, consumer, clock, console, report, draft.incidents)
        hooks_are_good = not report.updated or _run_hook(invocation, report, "update")
        hooks_are_good &= alerts.send(partial(_run_hook, invocation, report))
    if report.exit_code == DONE and not hooks_are_good:
        return HookFailed.exit_code, alerts
    return report.exit_code, alerts


def _with_store(
    invocation: Invocation, consumer: Consumer, draft: Draft, store: "Store", one_pass: OnePass | None
) -> Ended:
    """Run the pass, print how it ended, and add it to the history while the store is open."""
    clock, console, keep = invocation.clock, invocation.console, invocation.settings.history
    try:
        with only_ctisync_errors(), opened_feed(invocation.settings, consumer, clock, console) as feed:
            draft.set_traffic(feed)
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
            )
            ended = run_pass(parts) if one_pass is None else one_pass(parts, feed)
    except CtisyncError as error:
        ended = draft.ended(error, clock.monotonic())
    except StopRequested as stop:
        if clock.monotonic() - stop.at < _QUICK:
            stopped = Stopped(stop.signal_number, draft.after_stop)
            ended = _public(draft.ended(stopped, clock.monotonic()), console)
            _remember(store, ended.report, keep, console, _HURRIED_SECONDS)
        raise
    ended = _shown(ended, console)
    if not isinstance(ended.error, AnotherPass):
        _remember(store, ended.report, keep, console, _HISTORY_SECONDS)
    return ended


def _shown(ended: Ended, console: Console) -> Ended:
    """Prints how the pass ended; returns it as `_public` does."""
    if ended.error is not None:
        ended.error.message = ended.report.why  # this names the consumer
        console.error(ended.error)
    elif (line := closing(ended.report)) is not None:
        console.close_pass(line)
    return _public(ended, console)


def _public(ended: Ended, console: Console) -> Ended:
    """With a report for others: without secrets, on one line."""
    why = console.public(ended.report.why)
    return ended._replace(report=msgspec.structs.replace(ended.report, why=why))


def _remember(store: "Store", report: PassReport, keep: int, console: Console, within: float) -> None:
    """Add the report to the history, which keeps the `keep` newest of the consumer; none if `keep` is 0.

    An error is logged and has no other effect. If the pass could not read the store at all, ctisync does not
    try; if the store failed later, it tries once, for a short time.
    """
    if not keep or report.phase is None:
        return
    store_failed = report.exit_code == StoreUnavailable.exit_code
    try:
        with only_ctisync_errors():
            store.remember(report, keep, _HURRIED_SECONDS if store_failed else within)
    except CtisyncError as error:
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
    except CtisyncError as error:
        invocation.console.error(error)
        return False
    invocation.console.event("info", "hook-done", consumer=report.consumer, hook=f"on_{reason}")
    return True


def _check_folder(folder: Path) -> None:
    if (fault := foreign_link(folder)) is not None:
        raise UsageError(f"--metrics: {fault.text}", hint=f"ls -ld {quoted(folder)}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"--metrics: cannot write to the folder {folder}", hint=f"ls -ld {quoted(folder)}")


def _write_metrics(invocation: Invocation, reports: Sequence[PassReport], path: Path) -> None:
    from ctisync.notifications.metrics import write

    with _warning_only(
        lambda why: invocation.console.event("warning", "metrics-not-written", file=path, why=why)
    ):
        write(reports, path)


def _ping(invocation: Invocation, what: Literal["start", "success", "fail"], text: str) -> None:
    if invocation.settings.ping_url is None:
        return
    from ctisync.notifications.hooks import ping

    def failed(why: str) -> None:
        invocation.console.event("warning", "ping-failed", ping=what, why=why)

    with _warning_only(failed):
        why = ping(invocation.settings.ping_url.reveal(), what, text)
        if why is not None:
            failed(why)


@contextmanager
def _warning_only(failed: Callable[[str], None]) -> Iterator[None]:
    """Passes the message of an error in the block to `failed`; the error has no other effect."""
    try:
        with only_ctisync_errors():
            yield
    except CtisyncError as error:
        cause = error.__cause__
        failed(cause.strerror if isinstance(cause, OSError) and cause.strerror else error.message)
