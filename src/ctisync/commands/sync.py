"""`sync`, `init-snapshot` and `update`: a pass for each consumer in turn, under its own lock."""

from collections.abc import Sequence
from pathlib import Path

from ctisync.commands.afterwards import passes_told
from ctisync.console import Console
from ctisync.core.model import Consumer
from ctisync.core.steps import Mode
from ctisync.ports import Clock, Log
from ctisync.settings import Settings
from ctisync.wiring import command_manager, consumer_lock, opened_feed, opened_store, policy


def run_passes(
    settings: Settings,
    consumers: Sequence[Consumer],
    mode: Mode,
    clock: Clock,
    console: Console,
    *,
    metrics: Path | None = None,
    tolerate_cooldown: bool = False,
    now: bool = False,
    keep: bool = False,
) -> int:
    """The exit code of `afterwards.passes_told`."""
    allowed = policy(settings, mode, tolerate_cooldown=tolerate_cooldown, now=now, keep=keep)

    def one(consumer: Consumer, log: Log) -> None:
        from ctisync.sync.run_pass import run_pass

        with (
            consumer_lock(settings, consumer, clock, f"ctisync {mode}") as host_lock,
            opened_store(settings, clock, host_lock=host_lock) as store,
            opened_feed(settings, consumer, clock, log) as feed,
        ):
            run_pass(
                consumer,
                feed=feed,
                store=store,
                commands=command_manager(settings, clock),
                clock=clock,
                log=log,
                policy=allowed,
            )

    return passes_told(settings, consumers, mode, clock, console, metrics, one)
