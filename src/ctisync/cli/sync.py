"""`ctisync sync`: bring the content in step with the feed."""

from typing import Annotated

import typer

from ctisync.cli.app import app
from ctisync.cli.call import (
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
        return foretell(context, call, "sync", now, tolerate_cooldown, metrics, keep=keep)
    return run(call, "sync", now, tolerate_cooldown, metrics, keep=keep)
