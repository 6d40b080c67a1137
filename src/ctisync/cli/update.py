"""`ctisync update`: apply the changes of the feed."""

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
    """Apply the changes of the feed; never initialise."""
    call = call_of(context, config, consumer, verbose, quiet, log_format)
    from ctisync.wiring import policy

    allowed = policy(call.settings, "update", tolerate_cooldown=tolerate_cooldown, now=now)
    return sync_or_foretell(context, call, allowed, metrics, dry_run=dry_run)
