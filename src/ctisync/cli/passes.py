"""What `sync`, `update` and `init-snapshot` share: a pass for each consumer, or its dry run."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ctisync.cli.call import CLOCK, Call
from ctisync.errors import DONE, UsageError
from ctisync.process import print_result

if TYPE_CHECKING:
    from ctisync.commands.passes import Run
    from ctisync.core.steps import Policy


def run_of(call: Call, policy: "Policy", metrics: Path | None, command: str) -> "Run":
    """What the passes of this call have in common. `command`: the name that other passes and `status`
    show."""
    from ctisync.commands.passes import Run

    return Run(
        settings=call.settings,
        command=f"ctisync {command}",
        policy=policy,
        clock=CLOCK,
        console=call.console,
        metrics=metrics,
    )


def sync_or_foretell(
    context: typer.Context, call: Call, policy: "Policy", metrics: Path | None, *, dry_run: bool
) -> int:
    """A pass for each consumer as `policy` allows it, or its dry run; returns the exit code."""
    if dry_run:
        refuse_metrics(context, metrics)
        from ctisync.commands import dry_run as foretelling

        return foretelling.dry_run(call.settings, call.consumers, policy, CLOCK, call.console, print_result)
    from ctisync.commands.sync import sync

    return sync(run_of(call, policy, metrics, policy.mode), call.consumers)


def load_or_foretell(
    context: typer.Context,
    call: Call,
    source: str,
    offset: int | None,
    metrics: Path | None,
    *,
    dry_run: bool,
) -> int:
    """The same for a given snapshot (`--from`)."""
    one = call.only_consumer("--from loads")
    if dry_run:
        refuse_metrics(context, metrics)
        from ctisync.commands import dry_run as foretelling

        print_result(foretelling.dry_load(call.settings, one, source, offset, CLOCK, call.console))
        return DONE
    from ctisync.commands.init_snapshot import load_from
    from ctisync.core.steps import Policy

    policy = Policy(mode="init-snapshot")
    return load_from(run_of(call, policy, metrics, "init-snapshot --from"), one, source, offset)


def refuse_metrics(context: typer.Context, metrics: Path | None) -> None:
    if metrics is not None:
        raise UsageError(
            "--dry-run and --metrics cannot be combined", hint=f"{context.command_path} --dry-run"
        )
