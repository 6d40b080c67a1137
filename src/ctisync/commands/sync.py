"""The commands with passes: `sync` and `update` follow the feed, `init-snapshot` loads a snapshot, from the
feed or one that you pass. With `--dry-run`, they print what a pass would do now.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Annotated

import msgspec
import typer

from ctisync import hints
from ctisync.cli.invocation import (
    CommonOptions,
    DryRunOption,
    Invocation,
    MetricsOption,
    NowOption,
    TolerateCooldownOption,
    command,
)
from ctisync.commands.passes import run_passes
from ctisync.commands.snapshot_sources import SnapshotSource, named_refusals, offset_to_load, sources_to_load
from ctisync.core import steps
from ctisync.core.model import MAX_OFFSET, Consumer, ConsumerInfo, Snapshot
from ctisync.core.pass_plan import PlannedStep, plan_pass
from ctisync.core.pass_report import Ended
from ctisync.core.state import ConsumerState
from ctisync.core.words import bytes_as_text, counted
from ctisync.errors import Blocked, CtisyncError, FeedRefused, UsageError, worst
from ctisync.escaping import escape
from ctisync.host_files import lock_path
from ctisync.ports import Feed, SnapshotFile
from ctisync.settings import Settings
from ctisync.sync.parts import Parts
from ctisync.sync.run_pass import bad_end, run_pass
from ctisync.system.locks import read_lock
from ctisync.system.process import print_result
from ctisync.wiring import opened_feed, opened_store


@command()
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


@command()
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


SourceOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="FILE_OR_URL",
        help="Snapshot to load, compressed or not, or the folder of a package with its manifest.json (-: "
        "standard input); the feed is not asked.",
    ),
]
OffsetOption = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, max=MAX_OFFSET, help="With --from: the offset of the snapshot."),
]
ReplaceOption = Annotated[
    bool,
    typer.Option(
        "--replace",
        help="If another consumer's content is live under this index: replace it. It stays live until "
        "this one is loaded.",
    ),
]


@command("init-snapshot")
def init_snapshot(
    options: CommonOptions,
    source: SourceOption = None,
    offset: OffsetOption = None,
    replace: ReplaceOption = False,
    now: NowOption = False,
    tolerate_cooldown: TolerateCooldownOption = False,
    metrics: MetricsOption = None,
    dry_run: DryRunOption = False,
) -> int:
    """Replace the content with a snapshot, from the feed or from a file; apply no changes."""
    invocation = options.invocation().for_passes(
        "init-snapshot", metrics, tolerate_cooldown=tolerate_cooldown, now=now, replace=replace
    )
    if source is not None:
        invocation = msgspec.structs.replace(invocation, option="--from")
        return _load_snapshots(invocation, source, offset, dry_run=dry_run)
    if offset is not None:
        raise UsageError(
            "--offset needs --from", hint=hints.command("init-snapshot", "--from FILE --offset N")
        )
    return plan_passes(invocation) if dry_run else run_passes(invocation)


def _load_snapshots(invocation: Invocation, location: str, offset: int | None, *, dry_run: bool) -> int:
    """Make the records of the snapshots at `location` the live content of their consumers; returns the exit
    code of the passes.

    `offset` is the offset of the snapshot; None: the one in its manifest, or in the name of the file or its
    member, else the highest offset of its lines. Raises UsageError for a file that cannot be read.
    """
    if dry_run:
        _refuse_metrics(invocation)
    sources = {
        source.consumer: (source, source.open_file(invocation))
        for source in sources_to_load(invocation, location, offset)
    }
    invocation = msgspec.structs.replace(invocation, consumers=tuple(sources))
    if dry_run:
        return _plan_loads(invocation, sources)

    def one_pass(parts: Parts, feed: Feed) -> Ended:
        source, here = sources[parts.consumer]
        link = source.location
        with named_refusals(link, "--from", offset):
            file = here or source.download(feed)
            file.check_disk_space()
            at = offset_to_load(source, file, parts.log)
            _check_offset(at, parts.store.read_state(parts.consumer).last_offset, invocation.settings)
            snapshot = Snapshot.announced(link, at) if here is None else Snapshot(link, at)
            ended = run_pass(parts, msgspec.structs.replace(snapshot, exact=offset is not None), file)
            if ended.error is not None:
                raise ended.error
        return ended

    return run_passes(invocation, one_pass)


def _check_offset(offset: int, last_offset: int | None, settings: Settings) -> None:
    """Raises FeedRefused for an implausible offset: later passes would miss the changes up to it."""
    most = settings.limits.offsets_ahead
    if last_offset is not None and offset > last_offset + most:
        raise FeedRefused(
            f"offset {offset} of the snapshot is more than {most} above the last known offset of the feed, "
            f"{last_offset} (limits.offsets_ahead)",
            hint=f"pass the correct offset: {hints.command('init-snapshot', '--from FILE --offset N')}; "
            "if it is correct, raise limits.offsets_ahead",
        )


def plan_passes(invocation: Invocation) -> int:
    """Print what the next pass of each consumer would do; returns the worst exit code. Raises UsageError with
    `--metrics`."""
    _refuse_metrics(invocation)

    def plan(consumer: Consumer) -> str:
        with opened_feed(invocation.settings, consumer, invocation.clock, invocation.console) as feed:
            return _plan(invocation, consumer, feed.consumer_info, feed.snapshot_bytes)

    return _print_plans(invocation, plan)


def _plan_loads(
    invocation: Invocation, sources: dict[Consumer, tuple[SnapshotSource, SnapshotFile | None]]
) -> int:
    """The same for local snapshots. Raises UsageError for one that needs a download."""
    files = {consumer: here for consumer, (_, here) in sources.items() if here is not None}
    if len(files) < len(sources):
        raise UsageError(
            "--dry-run downloads nothing: pass a file, not an address",
            hint=hints.command("init-snapshot", "--from FILE --dry-run"),
        )

    def plan(consumer: Consumer) -> str:
        source, _ = sources[consumer]
        with closing(files[consumer]) as file, named_refusals(source.location, "--from"):
            at = offset_to_load(source, file, invocation.console)
            info = ConsumerInfo(last_offset=None, snapshot=Snapshot(source.location, at))
            return _plan(invocation, consumer, lambda: info, lambda _: file.size, info)

    return _print_plans(invocation, plan)


def _refuse_metrics(invocation: Invocation) -> None:
    policy = invocation.policy
    if invocation.metrics is not None:
        raise UsageError(
            "--dry-run and --metrics cannot be combined", hint=hints.command(policy.mode, "--dry-run")
        )


def _print_plans(invocation: Invocation, plan: Callable[[Consumer], str]) -> int:
    """An error of one consumer is printed, and does not stop the next."""
    codes = []
    for consumer in invocation.consumers:
        try:
            print_result(plan(consumer))
        except CtisyncError as error:
            error.message = error.about(consumer)
            invocation.console.error(error)
            codes.append(error.exit_code)
    return worst(codes)


def _plan(
    invocation: Invocation,
    consumer: Consumer,
    ask: Callable[[], ConsumerInfo],
    size_of: Callable[[Snapshot], int | None],
    offered: ConsumerInfo | None = None,
) -> str:
    """The steps of a pass, one per line; `ask` and `offered`: as for `plan_pass`."""
    with opened_store(invocation.settings, invocation.clock, read_only=True) as store:
        state = store.read_state(consumer)
    lines = [f"{consumer}: the content is at offset {state.offset:,}; a pass would now"]
    if (who := read_lock(lock_path(invocation.settings, consumer)).who) is not None:
        lines.append(f"  end at once with exit code 4 while this pass is running: {who}; after that,")
    for planned in plan_pass(state, consumer, invocation.policy, invocation.clock.now(), ask, offered):
        lines += _step(invocation, consumer, planned, size_of)
    return "\n".join(map(escape, lines))


def _step(
    invocation: Invocation,
    consumer: Consumer,
    planned: PlannedStep,
    size_of: Callable[[Snapshot], int | None],
) -> Iterator[str]:
    match planned.step:
        case steps.AskFeed():
            last = planned.state.last_offset
            answer = "does not report its last offset" if last is None else f"is at offset {last:,}"
            yield f"  ask the feed, which {answer}"
        case steps.Settle():
            yield "  clean up after a dead pass, which may change the next steps"
        case steps.RecordRequest(cancel):
            yield f"  {'cancel the requested' if cancel else 'store the request for an'} initialisation"
        case steps.SendCommand(offset):
            if invocation.settings.command_manager_urls:
                yield f"  send the update command for offset {offset:,}"
        case steps.Initialise(snapshot, why):
            size = size_of(snapshot)
            bytes_ = "of unknown size" if size is None else f"of {bytes_as_text(size)}"
            yield f"  load the snapshot of offset {snapshot.offset:,}, {bytes_}: {why}"
            if invocation.policy.mode == "sync" and (refused := planned.refusal) is not None:
                yield f"    refused before; retried only if it has changed: {refused.reason}"
        case steps.ApplyRange():
            yield from _applying(planned.step, planned)
        case steps.End():
            yield from _ending(planned.step, planned.state, invocation, consumer)


def _applying(step: steps.ApplyRange, planned: PlannedStep) -> Iterator[str]:
    after, to = step.range.after, step.range.to
    yield f"  apply the changes of {counted(to - after, 'offset')}, {after + 1:,} to {to:,}"
    if (failed := planned.failure) is not None:
        yield (
            f"    change {failed.offset} of {failed.resource} could not be applied before; if the feed still "
            f"has the same one, the pass ends before it, with exit code {Blocked.exit_code}"
        )


def _ending(
    end: steps.End, state: ConsumerState, invocation: Invocation, consumer: Consumer
) -> Iterator[str]:
    error = bad_end(end, consumer, invocation.policy, state, invocation.clock.now())
    yield f"  end with exit code {0 if error is None else error.exit_code}: {end.why}"
    if error is not None and error.hint is not None:
        yield f"    try: {error.hint}"
