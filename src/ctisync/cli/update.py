"""`ctisync update`: apply the changes of the feed."""

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
def update(
    options: CommonOptions,
    now: NowOption = False,
    tolerate_cooldown: TolerateCooldownOption = False,
    metrics: MetricsOption = None,
    dry_run: DryRunOption = False,
) -> int:
    """Apply the changes of the feed; never initialise."""
    from ctisync.wiring import policy

    invocation = options.invocation()
    allowed = policy(invocation.settings, "update", tolerate_cooldown=tolerate_cooldown, now=now)
    return run_or_plan(invocation, allowed, metrics, dry_run=dry_run)
