"""`init-snapshot`: load a snapshot from the feed, or one that you pass."""

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from ctisync.cli.app import app
from ctisync.cli.invocation import (
    CommonOptions,
    DryRunOption,
    Invocation,
    MetricsOption,
    NowOption,
    TolerateCooldownOption,
    common,
)
from ctisync.commands.dry_run import plan_loads, plan_passes
from ctisync.commands.passes import run_passes
from ctisync.commands.snapshot_sources import (
    fetched,
    file_here,
    named_refusals,
    offset_of,
    sources_to_load,
)
from ctisync.core.model import MAX_OFFSET, Snapshot
from ctisync.core.pass_report import Ended
from ctisync.core.steps import Policy
from ctisync.errors import FeedRefused, UsageError
from ctisync.settings import Settings
from ctisync.sync.parts import Parts
from ctisync.sync.run_pass import run_pass

if TYPE_CHECKING:
    from ctisync.ports import Feed


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
    """Replace the content with a snapshot, from the feed or from a file; apply no changes."""
    invocation = options.invocation()
    if source is not None:
        invocation = msgspec.structs.replace(
            invocation,
            policy=Policy("init-snapshot", replace=replace),
            metrics=metrics,
            option="--from",
        )
        return (plan_loads if dry_run else _load)(invocation, source, offset)
    if offset is not None:
        raise UsageError("--offset needs --from", hint="ctisync init-snapshot --from FILE --offset N")
    invocation = invocation.for_passes(
        "init-snapshot", metrics, tolerate_cooldown=tolerate_cooldown, now=now, replace=replace
    )
    return plan_passes(invocation) if dry_run else run_passes(invocation)


def _load(invocation: Invocation, location: str, offset: int | None) -> int:
    """Make the records of the snapshots at `location` the live content of their consumers; returns the exit
    code of the passes.

    `offset` is the offset of the snapshot; None: the one in its manifest, or in the name of the file or its
    member, else the highest offset of its lines. Raises UsageError for a file that cannot be read.
    """
    settings = invocation.settings
    sources = {
        source.consumer: (source, file_here(source, settings, invocation.clock))
        for source in sources_to_load(invocation, location, offset)
    }

    def one_pass(parts: Parts, feed: "Feed") -> Ended:
        source, here = sources[parts.consumer]
        link = source.location
        with named_refusals(link, "--from", offset):
            file = here or fetched(feed, link)
            file.check_disk_space()
            at = offset_of(file, source, parts.log) if offset is None else offset
            _check_offset(at, parts.store.read_state(parts.consumer).last_offset, settings)
            snapshot = Snapshot.announced(link, at) if here is None else Snapshot(link, at)
            ended = run_pass(parts, msgspec.structs.replace(snapshot, exact=offset is not None), file)
            if ended.error is not None:
                raise ended.error
        return ended

    return run_passes(msgspec.structs.replace(invocation, consumers=tuple(sources)), one_pass)


def _check_offset(offset: int, last_offset: int | None, settings: Settings) -> None:
    """Raises FeedRefused for an implausible offset: later passes would miss the changes up to it."""
    most = settings.limits.offsets_ahead
    if last_offset is not None and offset > last_offset + most:
        raise FeedRefused(
            f"offset {offset} of the snapshot is more than {most} above the last known offset of the feed, "
            f"{last_offset} (limits.offsets_ahead)",
            hint="pass the correct offset: ctisync init-snapshot --from FILE --offset N; if it is correct, "
            "raise limits.offsets_ahead",
        )
