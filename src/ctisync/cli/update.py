"""`ctisync update`: apply the changes of the feed."""

from ctisync.cli.app import app
from ctisync.cli.call import DryRunOption, Given, MetricsOption, NowOption, TolerateCooldownOption, common
from ctisync.cli.passes import sync_or_foretell


@app.command()
@common()
def update(
    given: Given,
    now: NowOption = False,
    tolerate_cooldown: TolerateCooldownOption = False,
    metrics: MetricsOption = None,
    dry_run: DryRunOption = False,
) -> int:
    """Apply the changes of the feed; never initialise."""
    from ctisync.wiring import policy

    call = given.call()
    allowed = policy(call.settings, "update", tolerate_cooldown=tolerate_cooldown, now=now)
    return sync_or_foretell(call, allowed, metrics, dry_run=dry_run)
