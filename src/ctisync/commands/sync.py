"""`sync` and `update`: bring the content in step with the feed."""

from typing import Annotated

import typer

from ctisync.cli.app import app
from ctisync.cli.invocation import (
    CommonOptions,
    DryRunOption,
    MetricsOption,
    NowOption,
    TolerateCooldownOption,
    common,
)
from ctisync.commands.dry_run import plan_passes
from ctisync.commands.passes import run_passes


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
    invocation = options.invocation().for_passes(
        "sync", metrics, tolerate_cooldown=tolerate_cooldown, now=now, keep=keep
    )
    return plan_passes(invocation) if dry_run else run_passes(invocation)


@app.command()
@common()
def update(
    options: CommonOptions,
    now: NowOption = False,
    tolerate_cooldown: TolerateCooldownOption = False,
    metrics: MetricsOption = None,
    dry_run: DryRunOption = False,
) -> int:
    """Apply the changes of the feed; never initialise."""
    invocation = options.invocation().for_passes(
        "update", metrics, tolerate_cooldown=tolerate_cooldown, now=now
    )
    return plan_passes(invocation) if dry_run else run_passes(invocation)
