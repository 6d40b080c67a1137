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
from ctisync.cli.passes import sync_or_foretell


@app.command()
def sync(
    context: typer.Context,
    keep: Annotated[
        bool, typer.Option("--keep", help="Cancel an unfinished init-snapshot and keep the content.")
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
    """Bring the content in step with the feed: initialise or update as needed."""
    call = call_of(context, config, consumer, verbose, quiet, log_format)
    from ctisync.wiring import policy

    allowed = policy(call.settings, "sync", tolerate_cooldown=tolerate_cooldown, now=now, keep=keep)
    return sync_or_foretell(context, call, allowed, metrics, dry_run=dry_run)
