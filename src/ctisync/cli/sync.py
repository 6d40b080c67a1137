"""`ctisync sync`: bring the content in step with the feed."""

from typing import Annotated

import typer

from ctisync.cli.app import app
from ctisync.cli.options import (
    CommonOptions,
    DryRunOption,
    MetricsOption,
    NowOption,
    TolerateCooldownOption,
    common,
)
from ctisync.cli.passes import run_or_plan


@app.command()
@common()
def sync(
    options: CommonOptions,
    keep: Annotated[
        bool, typer.Option("--keep", help="Cancel an unfinished init-snapshot and keep the content.")
    ] = False,
    now: NowOption = False,
    tolerate_cooldown: TolerateCooldownOption = False,
    metrics: MetricsOption = None,
    dry_run: DryRunOption = False,
) -> int:
    """Bring the content in step with the feed: initialise or update as needed."""
    from ctisync.wiring import policy

    invocation = options.invocation()
    allowed = policy(invocation.settings, "sync", tolerate_cooldown=tolerate_cooldown, now=now, keep=keep)
    return run_or_plan(invocation, allowed, metrics, dry_run=dry_run)
