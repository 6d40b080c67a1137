"""A pass for each consumer in turn, and who is told of it afterwards: the history, hooks, metrics, a ping."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from ctisync.commands.closing import closing
from ctisync.console import Console
from ctisync.core.account import Account, Accounting
from ctisync.core.model import Consumer
from ctisync.core.steps import Mode
from ctisync.errors import (
    AFTER_STOP,
    DONE,
    AnotherPass,
    CtisyncError,
    HookFailed,
    Stopped,
    StoreUnavailable,
    UsageError,
    after_asked,
    worst,
)
from ctisync.harmless import quoted
from ctisync.own_files import network_fault_of
from ctisync.ports import Clock, Level, Log, Progress
from ctisync.process import StopAsked, no_other_errors
from ctisync.settings import Settings
from ctisync.whole_file import STDOUT
from ctisync.wiring import opened_store, spool_folder

Pass = Callable[[Consumer, Log], None]

PATIENCE: Final = 10.0
HURRIED: Final = 1.0
"""Seconds that the history may take; the second when a signal or the store itself has ended the pass."""

_QUICK: Final = 0.5
"""Seconds: a way out that took longer has met a store that does not answer. It is not asked again."""


def passes_told(
    settings: Settings,
    consumers: Sequence[Consumer],
    mode: Mode,
    clock: Clock,
    console: Console,
    metrics: Path | None,
    one_pass: Pass,
) -> int:
    """One pass a consumer. One that fails is told and does not stop the next; the worst exit code wins.

    `metrics`: where their figures go. A pass that finds another one at work is none: nobody is told of it.
    """
    if metrics is not None and metrics != STDOUT:
        _check_folder(metrics.absolute().parent)
    if (doubt := network_fault_of(spool_folder(settings))) is not None:
        console.event("warning", "network-disk", why=doubt.said, hint=doubt.hint)
    _ping(settings, "start", mode, console)
    ended = [_ended(settings, consumer, mode, clock, console, one_pass) for consumer in consumers]
    accounts = [account for _, account in ended if account is not None]
    if accounts and metrics is not None:
        _write_metrics(accounts, metrics, console)
    if accounts:
        bad = [account.why for account in accounts if account.exit_code != DONE]
        _ping(settings, "fail" if bad else "success", "; ".join(bad) or accounts[0].why, console)
    return worst([code for code, _ in ended])


def _ended(
    settings: Settings, consumer: Consumer, mode: Mode, clock: Clock, console: Console, one_pass: Pass
) -> tuple[int, Account | None]:
    """The exit code of the pass and of its hooks, and what it came to."""
    pass_id = os.urandom(6).hex()
    accounting = Accounting()
    error: CtisyncError | None = None
    began_at, began = clock.now(), clock.monotonic()

    def account_of(error: CtisyncError | None) -> Account:
        account = accounting.account(
            error,
            pass_id=pass_id,
            command=mode,
            consumer=str(consumer),
            index=consumer.index,
            began_at=began_at,
            seconds=clock.monotonic() - began,
        )
        return msgspec.structs.replace(account, why=console.public(account.why))

    with console.in_pass(pass_id):
        try:
            with no_other_errors():
                one_pass(consumer, _Counted(console, accounting))
        except AnotherPass as another:
            console.error(_naming(consumer, another))
            return another.exit_code, None
        except CtisyncError as caught:
            error = _naming(consumer, caught)
            console.error(error)
        except StopAsked as stop:
            if clock.monotonic() - stop.at < _QUICK:
                _remember(
                    settings,
                    account_of(Stopped(stop.signal_number, console.after_stop)),
                    clock,
                    console,
                    HURRIED,
                )
            raise
        account = account_of(error)
        if (said := closing(account)) is not None:
            console.close_pass(said)
        _remember(settings, account, clock, console, PATIENCE)
        hooks_are_good = _run_hooks(settings, account, console)
    if account.exit_code == DONE and not hooks_are_good:
        return HookFailed.exit_code, account
    return account.exit_code, account


def _remember(settings: Settings, account: Account, clock: Clock, console: Console, within: float) -> None:
    """Add the pass to the history. What goes wrong with that is told, and has no other effect. A store that
    the pass has not got to look at is not asked again; one that has failed it is, once and briefly."""
    if not settings.history or account.phase is None:
        return
    store_failed = account.exit_code == StoreUnavailable.exit_code
    try:
        with no_other_errors(), opened_store(settings, clock) as store:
            store.remember(account, settings.history, HURRIED if store_failed else within)
    except CtisyncError as error:
        if not store_failed:  # else it was told already
            console.event("warning", "history-not-written", consumer=account.consumer, why=error.message)


def _run_hooks(settings: Settings, account: Account, console: Console) -> bool:
    """Each that has a reason, whatever became of the others. Whether all went well."""
    hooks = settings.hooks
    wanted = {"update": hooks.on_update, "error": hooks.on_error, "stale": hooks.on_stale}
    good = True
    for reason in account.reasons(timedelta(seconds=hooks.stale_after)):
        if not wanted[reason]:
            continue
        from ctisync.notifications.hooks import run_hook

        try:
            with no_other_errors():
                run_hook(wanted[reason], reason, account, hooks.timeout)
        except CtisyncError as error:
            console.error(error)
            good = False
        else:
            console.event("info", "hook-done", consumer=account.consumer, hook=f"on_{reason}")
    return good


def _check_folder(folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(
            f"--metrics: the folder {folder} cannot be written to", hint=f"ls -ld {quoted(folder)}"
        )


def _write_metrics(accounts: Sequence[Account], path: Path, console: Console) -> None:
    from ctisync.notifications.metrics import write

    with _telling(lambda why: console.event("warning", "metrics-not-written", file=path, why=why)):
        write(accounts, path)


def _ping(settings: Settings, what: Literal["start", "success", "fail"], said: str, console: Console) -> None:
    if settings.ping_url is None:
        return
    from ctisync.notifications.ping import ping

    def failed(why: str) -> None:
        console.event("warning", "ping-failed", ping=what, why=why)

    with _telling(failed):
        why = ping(settings.ping_url.reveal(), what, said)
        if why is not None:
            failed(why)


@contextmanager
def _telling(failed: Callable[[str], None]) -> Iterator[None]:
    """What goes wrong in the block is told, in words, and has no other effect."""
    try:
        with no_other_errors():
            yield
    except CtisyncError as error:
        cause = error.__cause__
        failed(cause.strerror if isinstance(cause, OSError) and cause.strerror else error.message)


class _Counted:
    """A `Log` that goes to the console and into the account."""

    def __init__(self, console: Console, accounting: Accounting) -> None:
        self._console = console
        self._accounting = accounting

    def event(self, level: Level, event: str, **fields: Any) -> None:
        self._accounting.event(event, fields)
        if self._console.after_stop and event in ("initialise-asked", "initialised"):
            asked = event == "initialise-asked"
            self._console.after_stop = after_asked(fields["consumer"]) if asked else AFTER_STOP["sync"]
        self._console.event(level, event, **fields)

    def progress(
        self, step: str, total: int | None, unit: Literal["bytes", "records", "offsets"]
    ) -> AbstractContextManager[Progress]:
        return self._console.progress(step, total, unit)


def _naming(consumer: Consumer, error: CtisyncError) -> CtisyncError:
    """The error with its consumer, so that nobody has to guess which of several it was."""
    if str(consumer) not in error.message:
        error.message = f"{consumer}: {error.message}"
    return error
