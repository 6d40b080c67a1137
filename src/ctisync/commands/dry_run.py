"""`--dry-run`: what a pass would do now, from the stored state and the reply of the feed. Writes nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial

from ctisync.commands.init_snapshot import file_here, named_refusals, offset_of
from ctisync.commands.invocation import Invocation
from ctisync.commands.package import SnapshotSource
from ctisync.commands.printing import bytes_as_text
from ctisync.core.model import Consumer, ConsumerInfo, OffsetRange, Snapshot
from ctisync.core.pass_plan import PlannedStep, plan_pass
from ctisync.core.state import ConsumerState, FailedChange
from ctisync.core.steps import ApplyRange, AskFeed, End, Initialise, RecordRequest, SendCommand, Settle
from ctisync.core.words import counted
from ctisync.errors import Blocked, CtisyncError, UsageError, worst
from ctisync.escaping import escape
from ctisync.feed.snapshot.file import LocalSnapshot
from ctisync.sync.run_pass import bad_end
from ctisync.system.locks import read_lock
from ctisync.wiring import lock_path, opened_feed, opened_store

_SizeOf = Callable[[Snapshot], int | None]


def plan_passes(invocation: Invocation, write: Callable[[str], None]) -> int:
    """Pass a description of the next pass of each consumer to `write`; returns the worst exit code. An error
    of one consumer is printed, and does not stop the next."""

    def description(consumer: Consumer) -> str:
        with opened_feed(invocation.settings, consumer, invocation.clock, invocation.console) as feed:
            state = _stored(invocation, consumer)
            steps = plan_pass(state, consumer, invocation.policy, invocation.clock.now(), feed.consumer_info)
            return _text(_lines(invocation, consumer, state, steps, feed.snapshot_bytes))

    return _each(
        invocation, {consumer: partial(description, consumer) for consumer in invocation.consumers}, write
    )


def plan_loads(
    invocation: Invocation,
    sources: Sequence[SnapshotSource],
    offset: int | None,
    write: Callable[[str], None],
) -> int:
    """The same for local snapshots. Raises UsageError for one that needs a download."""
    descriptions = {}
    for source in sources:
        here = file_here(source.location, invocation.settings, invocation.clock)
        if here is None:
            raise UsageError(
                "--dry-run downloads nothing: pass a file, not an address",
                hint="ctisync init-snapshot --from FILE --dry-run",
            )
        descriptions[source.consumer] = partial(_load, invocation, source, here, offset)
    return _each(invocation, descriptions, write)


def _each(
    invocation: Invocation, descriptions: Mapping[Consumer, Callable[[], str]], write: Callable[[str], None]
) -> int:
    codes = []
    for consumer, description in descriptions.items():
        try:
            write(description())
        except CtisyncError as error:
            error.message = error.about(consumer)
            invocation.console.error(error)
            codes.append(error.exit_code)
    return worst(codes)


def _load(invocation: Invocation, source: SnapshotSource, here: LocalSnapshot, offset: int | None) -> str:
    consumer, location = source.consumer, source.location
    with closing(here) as file, named_refusals(location, "--from"):
        snapshot = Snapshot(
            location, offset_of(file, source, invocation.console) if offset is None else offset
        )
        state = _stored(invocation, consumer)
        offered = ConsumerInfo(last_offset=None, snapshot=snapshot)
        steps = plan_pass(
            state, consumer, invocation.policy, invocation.clock.now(), lambda: offered, offered
        )
        return _text(_lines(invocation, consumer, state, steps, lambda _: file.size))


def _text(lines: Iterator[str]) -> str:
    return "\n".join(map(escape, lines))


def _stored(invocation: Invocation, consumer: Consumer) -> ConsumerState:
    with opened_store(invocation.settings, invocation.clock, untouched=True) as store:
        return store.read_state(consumer)


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
