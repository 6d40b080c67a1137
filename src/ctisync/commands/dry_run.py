"""`--dry-run`: what a pass would do now, from the stored state and the reply of the feed. Writes nothing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial

from ctisync.cli.invocation import Invocation
from ctisync.commands.snapshot_sources import (
    SnapshotSource,
    file_here,
    named_refusals,
    offset_of,
    sources_to_load,
)
from ctisync.core.model import Consumer, ConsumerInfo, OffsetRange, Snapshot
from ctisync.core.pass_plan import PlannedStep, plan_pass
from ctisync.core.state import ConsumerState, FailedChange
from ctisync.core.steps import ApplyRange, AskFeed, End, Initialise, RecordRequest, SendCommand, Settle
from ctisync.core.words import bytes_as_text, counted
from ctisync.errors import Blocked, CtisyncError, UsageError, worst
from ctisync.escaping import escape
from ctisync.ports import SnapshotFile
from ctisync.sync.run_pass import bad_end
from ctisync.system.locks import read_lock
from ctisync.system.process import print_result
from ctisync.wiring import lock_path, opened_feed, opened_store

_SizeOf = Callable[[Snapshot], int | None]


def plan_passes(invocation: Invocation) -> int:
    """Print what the next pass of each consumer would do; returns the worst exit code. An error of one
    consumer is printed, and does not stop the next. Raises UsageError with `--metrics`."""

    def plan(consumer: Consumer) -> str:
        with opened_feed(invocation.settings, consumer, invocation.clock, invocation.console) as feed:
            return _plan(invocation, consumer, feed.consumer_info, None, feed.snapshot_bytes)

    _refuse_metrics(invocation)
    return _print_each(invocation, {each: partial(plan, each) for each in invocation.consumers})


def plan_loads(invocation: Invocation, location: str, offset: int | None) -> int:
    """The same for local snapshots. Raises UsageError for one that needs a download."""

    def plan(source: SnapshotSource, local: SnapshotFile) -> str:
        with closing(local) as file, named_refusals(source.location, "--from"):
            at = offset_of(file, source, invocation.console) if offset is None else offset
            info = ConsumerInfo(last_offset=None, snapshot=Snapshot(source.location, at))
            return _plan(invocation, source.consumer, lambda: info, info, lambda _: file.size)

    _refuse_metrics(invocation)
    plans = {}
    for source in sources_to_load(invocation, location, offset):
        local = file_here(source, invocation.settings, invocation.clock)
        if local is None:
            raise UsageError(
                "--dry-run downloads nothing: pass a file, not an address",
                hint="ctisync init-snapshot --from FILE --dry-run",
            )
        plans[source.consumer] = partial(plan, source, local)
    return _print_each(invocation, plans)


def _refuse_metrics(invocation: Invocation) -> None:
    if invocation.metrics is not None:
        command = f"ctisync {invocation.policy.mode}"
        raise UsageError("--dry-run and --metrics cannot be combined", hint=f"{command} --dry-run")


def _print_each(invocation: Invocation, plans: Mapping[Consumer, Callable[[], str]]) -> int:
    codes = []
    for consumer, plan in plans.items():
        try:
            print_result(plan())
        except CtisyncError as error:
            error.message = error.about(consumer)
            invocation.console.error(error)
            codes.append(error.exit_code)
    return worst(codes)


def _plan(
    invocation: Invocation,
    consumer: Consumer,
    consumer_info: Callable[[], ConsumerInfo],
    offered: ConsumerInfo | None,
    size_of: _SizeOf,
) -> str:
    with opened_store(invocation.settings, invocation.clock, read_only=True) as store:
        state = store.read_state(consumer)
    now = invocation.clock.now()
    steps = plan_pass(state, consumer, invocation.policy, now, consumer_info, offered)
    return "\n".join(map(escape, _lines(invocation, consumer, state, steps, size_of)))


def _lines(
    invocation: Invocation,
    consumer: Consumer,
    state: ConsumerState,
    steps: Iterator[PlannedStep],
    size_of: _SizeOf,
) -> Iterator[str]:
    yield f"{consumer}: the content is at offset {state.offset:,}; a pass would now"
    if (who := read_lock(lock_path(invocation.settings, consumer)).who) is not None:
        yield f"  end at once with exit code 4 while this pass is running: {who}; after that,"
    for each in steps:
        yield from _step(invocation, consumer, each, size_of)


def _step(
    invocation: Invocation, consumer: Consumer, planned: PlannedStep, size_of: _SizeOf
) -> Iterator[str]:
    match planned.step:
        case AskFeed():
            last = planned.state.last_offset
            answer = "does not report its last offset" if last is None else f"is at offset {last:,}"
            yield f"  ask the feed, which {answer}"
        case Settle():
            yield "  clean up after a dead pass, which may change the next steps"
        case RecordRequest(cancel):
            yield (
                "  cancel the requested initialisation"
                if cancel
                else "  store the request for an initialisation"
            )
        case SendCommand(offset):
            if invocation.settings.command_manager_urls:
                yield f"  send the update command for offset {offset:,}"
        case Initialise(snapshot, why):
            size = size_of(snapshot)
            bytes_ = "of unknown size" if size is None else f"of {bytes_as_text(size)}"
            yield f"  load the snapshot of offset {snapshot.offset:,}, {bytes_}: {why}"
            if invocation.policy.mode == "sync" and (refused := planned.refusal) is not None:
                yield f"    refused before; retried only if it has changed: {refused.reason}"
        case ApplyRange(of):
            yield from _applying(of, planned.failure)
        case End():
            yield from _ending(planned.step, consumer, invocation, planned.state)


def _applying(of: OffsetRange, failed: FailedChange | None) -> Iterator[str]:
    offsets = counted(of.to - of.after, "offset")
    yield f"  apply the changes of {offsets}, {of.after + 1:,} to {of.to:,}"
    if failed is not None:
        yield (
            f"    change {failed.offset} of {failed.resource} could not be applied before; if the feed still "
            f"has the same one, the pass ends before it, with exit code {Blocked.exit_code}"
        )


def _ending(end: End, consumer: Consumer, invocation: Invocation, state: ConsumerState) -> Iterator[str]:
    error = bad_end(end, consumer, invocation.policy, state, invocation.clock.now())
    yield f"  end with exit code {0 if error is None else error.exit_code}: {end.why}"
    if error is not None and error.hint is not None:
        yield f"    try: {error.hint}"
