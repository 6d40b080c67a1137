"""The commands that write: each is one pass a consumer."""

from pathlib import Path
from typing import Annotated

import typer

from ctisync.cli.app import app
from ctisync.cli.call import (
    CLOCK,
    Call,
    ConfigOption,
    ConsumerOption,
    DryRunOption,
    LogFormatOption,
    MetricsOption,
    NowOption,
    QuietOption,
    TolerateCooldownOption,
    VerboseOption,
    call_of,
)
from ctisync.core.model import MAX_OFFSET
from ctisync.core.steps import Mode
from ctisync.errors import DONE, UsageError
from ctisync.process import print_result


@app.command()
def sync(
    context: typer.Context,
    keep: Annotated[
        bool, typer.Option("--keep", help="Give up an init-snapshot that is not done yet.")
    ] = False,
    now: NowOption = False,
    tolerate_cooldown: TolerateCooldownOption = False,
    metrics: MetricsOption = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    consumer: ConsumerOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Bring the content in step with the feed: initialise, update, or nothing to do."""
    call = call_of(context, config, consumer, verbose, quiet, log_format)
    if dry_run:
        return _dry_run(context, call, "sync", now, tolerate_cooldown, metrics, keep=keep)
    return _passes(call, "sync", now, tolerate_cooldown, metrics, keep=keep)


@app.command()
def update(
    context: typer.Context,
    now: NowOption = False,
    tolerate_cooldown: TolerateCooldownOption = False,
    metrics: MetricsOption = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    consumer: ConsumerOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Apply the feed's changes; never initialises."""
    call = call_of(context, config, consumer, verbose, quiet, log_format)
    if dry_run:
        return _dry_run(context, call, "update", now, tolerate_cooldown, metrics)
    return _passes(call, "update", now, tolerate_cooldown, metrics)


@app.command("init-snapshot")
def init_snapshot(
    context: typer.Context,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE_OR_URL",
            help="A snapshot that is here, packed or not (-: standard input); the feed is not asked.",
        ),
    ] = None,
    offset: Annotated[
        int | None,
        typer.Option(
            "--offset",
            metavar="N",
            min=1,
            max=MAX_OFFSET,
            help="With --from: the offset that the snapshot stands for.",
        ),
    ] = None,
    now: NowOption = False,
    tolerate_cooldown: TolerateCooldownOption = False,
    metrics: MetricsOption = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    consumer: ConsumerOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Load a snapshot, whatever is stored, and stop there."""
    call = call_of(context, config, consumer, verbose, quiet, log_format)
    if source is None:
        if offset is not None:
            raise UsageError("--offset goes with --from", hint="ctisync init-snapshot --from FILE --offset N")
        if dry_run:
            return _dry_run(context, call, "init-snapshot", now, tolerate_cooldown, metrics)
        return _passes(call, "init-snapshot", now, tolerate_cooldown, metrics)
    if dry_run:
        return _dry_run(context, call, "init-snapshot", now, tolerate_cooldown, metrics, source, offset)
    from ctisync.commands.given import load_from

    one = call.only_consumer("--from loads")
    return load_from(call.settings, one, source, offset, CLOCK, call.console, metrics)


def _passes(
    call: Call, mode: Mode, now: bool, tolerate_cooldown: bool, metrics: Path | None, *, keep: bool = False
) -> int:
    from ctisync.commands.passes import run_passes

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


def _dry_run(
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
