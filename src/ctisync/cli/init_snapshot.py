"""`ctisync init-snapshot`: load a snapshot, from the feed or from a file."""

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
from ctisync.cli.passes import load_or_plan, run_or_plan
from ctisync.core.model import MAX_OFFSET
from ctisync.errors import UsageError


@app.command("init-snapshot")
@common()
def init_snapshot(
    options: CommonOptions,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE_OR_URL",
            help="Snapshot to load, compressed or not, or the folder of a package with its manifest.json (-: "
            "standard input); the feed is not asked.",
        ),
    ] = None,
    offset: Annotated[
        int | None,
        typer.Option(
            "--offset",
            metavar="N",
            min=1,
            max=MAX_OFFSET,
            help="With --from: the offset of the snapshot.",
        ),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="If another consumer's content is live under this index: replace it. It stays live until "
            "this one is loaded.",
        ),
    ] = False,
    now: NowOption = False,
    tolerate_cooldown: TolerateCooldownOption = False,
    metrics: MetricsOption = None,
    dry_run: DryRunOption = False,
) -> int:
    """Load a snapshot, replace the content, and stop."""
    invocation = options.invocation()
    if source is not None:
        return load_or_plan(invocation, source, offset, metrics, replace=replace, dry_run=dry_run)
    if offset is not None:
        raise UsageError("--offset needs --from", hint="ctisync init-snapshot --from FILE --offset N")
    from ctisync.wiring import policy

    allowed = policy(
        invocation.settings, "init-snapshot", tolerate_cooldown=tolerate_cooldown, now=now, replace=replace
    )
    return run_or_plan(invocation, allowed, metrics, dry_run=dry_run)
