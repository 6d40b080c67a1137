"""`sync`, `init-snapshot` and `update`: a pass for each consumer in turn, under its own lock."""

from collections.abc import Callable, Sequence

from ctisync.console import Console
from ctisync.core.model import Consumer
from ctisync.core.steps import Mode
from ctisync.errors import DONE, CtisyncError, worst
from ctisync.ports import Clock
from ctisync.settings import Settings
from ctisync.wiring import command_manager, consumer_lock, opened_feed, opened_store, policy


def run_passes(
    settings: Settings,
    consumers: Sequence[Consumer],
    mode: Mode,
    clock: Clock,
    console: Console,
    *,
    tolerate_cooldown: bool = False,
) -> int:
    """One pass a consumer. One that fails is told and does not stop the next; the worst exit code wins."""

    def one(consumer: Consumer) -> None:
        from ctisync.sync.run_pass import run_pass

        with (
            consumer_lock(settings, consumer, clock, f"ctisync {mode}"),
            opened_store(settings, clock, host_lock_held=True) as store,
            opened_feed(settings, consumer, clock, console) as feed,
        ):
            run_pass(
                consumer,
                feed=feed,
                store=store,
                commands=command_manager(settings, clock),
                clock=clock,
                report=console,
                policy=policy(settings, mode, tolerate_cooldown=tolerate_cooldown),
            )

    return worst([_exit_code(one, consumer, console) for consumer in consumers])


def _exit_code(one: Callable[[Consumer], None], consumer: Consumer, console: Console) -> int:
    try:
        one(consumer)
    except CtisyncError as error:
        console.error(_naming(consumer, error))
        return error.exit_code
    return DONE


def _naming(consumer: Consumer, error: CtisyncError) -> CtisyncError:
    """The error with its consumer, so that nobody has to guess which of several it was."""
    if str(consumer) not in error.message:
        error.message = f"{consumer}: {error.message}"
    return error
