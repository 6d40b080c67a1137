"""What `sync`, `update` and `init-snapshot` share: a pass for each consumer, or what it would do."""

from pathlib import Path

import typer

from ctisync.cli.call import (
    CLOCK,
    Call,
)
from ctisync.core.steps import Mode
from ctisync.errors import DONE, UsageError
from ctisync.process import print_result


def run(
    call: Call, mode: Mode, now: bool, tolerate_cooldown: bool, metrics: Path | None, *, keep: bool = False
) -> int:
    from ctisync.commands.sync import run_passes

    return run_passes(
        call.settings,
        call.consumers,
        mode,
        CLOCK,
        call.console,
        metrics=metrics,
        tolerate_cooldown=tolerate_cooldown,
        now=now,
        keep=keep,
    )


def foretell(
    context: typer.Context,
    call: Call,
    mode: Mode,
    now: bool,
    tolerate_cooldown: bool,
    metrics: Path | None,
    source: str | None = None,
    offset: int | None = None,
    *,
    keep: bool = False,
) -> int:
    from ctisync.commands import dry_run as command

    if metrics is not None:
        raise UsageError(
            "--dry-run writes nothing, and --metrics a file", hint=f"{context.command_path} --dry-run"
        )
    if source is None:
        policy = command.policy(call.settings, mode, tolerate_cooldown=tolerate_cooldown, now=now, keep=keep)
        return command.dry_run(call.settings, call.consumers, policy, CLOCK, call.console, print_result)
    one = call.only_consumer("--from loads")
    print_result(command.dry_load(call.settings, one, source, offset, CLOCK, call.console))
    return DONE
