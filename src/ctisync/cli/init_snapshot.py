"""`ctisync init-snapshot`: load a snapshot, from the feed or from a file."""

from typing import Annotated

import typer

from ctisync.cli.app import app
from ctisync.cli.call import (
    CLOCK,
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
from ctisync.cli.passes import foretell, run
from ctisync.core.model import MAX_OFFSET
from ctisync.errors import UsageError


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
            return foretell(context, call, "init-snapshot", now, tolerate_cooldown, metrics)
        return run(call, "init-snapshot", now, tolerate_cooldown, metrics)
    if dry_run:
        return foretell(context, call, "init-snapshot", now, tolerate_cooldown, metrics, source, offset)
    from ctisync.commands.init_snapshot import load_from

    one = call.only_consumer("--from loads")
    return load_from(call.settings, one, source, offset, CLOCK, call.console, metrics)
