"""`--dry-run`: what a pass would do now, from the stored state and the reply of the feed. Writes nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial

from ctisync.commands.init_snapshot import file_here, named_refusals, offset_of
from ctisync.commands.package import Given
from ctisync.commands.passes import Run
from ctisync.commands.printing import bytes_as_text
from ctisync.core.model import Consumer, ConsumerInfo, OffsetRange, Snapshot
from ctisync.core.pass_plan import PlannedStep, plan_pass
from ctisync.core.state import ConsumerState, FailedChange
from ctisync.core.steps import ApplyRange, AskFeed, End, Initialise, RecordRequest, SendCommand, Settle
from ctisync.core.words import counted
from ctisync.errors import Blocked, CtisyncError, UsageError, worst
from ctisync.escaping import harmless
from ctisync.feed.snapshot.file import LocalSnapshot
from ctisync.sync.run_pass import bad_end
from ctisync.system.locks import watched
from ctisync.wiring import lock_path, opened_feed, opened_store

_SizeOf = Callable[[Snapshot], int | None]


def dry_run(run: Run, consumers: Sequence[Consumer], tell: Callable[[str], None]) -> int:
    """Describe the next pass of each consumer to `tell`; returns the worst exit code. An error of one
    consumer is printed, and does not stop the next."""

    def one(consumer: Consumer) -> str:
        with opened_feed(run.settings, consumer, run.clock, run.console) as feed:
            state = _stored(run, consumer)
            steps = plan_pass(state, consumer, run.policy, run.clock.now(), feed.consumer_info)
            return _told(_lines(run, consumer, state, steps, feed.snapshot_bytes))

    return _each(run, {consumer: partial(one, consumer) for consumer in consumers}, tell)


def dry_load(run: Run, loads: Sequence[Given], offset: int | None, tell: Callable[[str], None]) -> int:
    """The same for local snapshots. Raises UsageError for one that needs a download."""
    told = {}
    for one in loads:
        here = file_here(one.source, run.settings, run.clock)
        if here is None:
            raise UsageError(
                "--dry-run downloads nothing: pass a file, not an address",
                hint="ctisync init-snapshot --from FILE --dry-run",
            )
        told[one.consumer] = partial(_load, run, one, here, offset)
    return _each(run, told, tell)


def _each(run: Run, told: Mapping[Consumer, Callable[[], str]], tell: Callable[[str], None]) -> int:
    codes = []
    for consumer, text in told.items():
        try:
            tell(text())
        except CtisyncError as error:
            error.message = error.about(consumer)
            run.console.error(error)
            codes.append(error.exit_code)
    return worst(codes)


def _load(run: Run, given: Given, here: LocalSnapshot, offset: int | None) -> str:
    consumer, source = given.consumer, given.source
    with closing(here) as file, named_refusals(source, "--from"):
        snapshot = Snapshot(source, offset_of(file, given, run.console) if offset is None else offset)
        state = _stored(run, consumer)
        offered = ConsumerInfo(last_offset=None, snapshot=snapshot)
        steps = plan_pass(state, consumer, run.policy, run.clock.now(), lambda: offered, offered)
        return _told(_lines(run, consumer, state, steps, lambda _: file.size))


def _told(lines: Iterator[str]) -> str:
    return "\n".join(map(harmless, lines))


def _stored(run: Run, consumer: Consumer) -> ConsumerState:
    with opened_store(run.settings, run.clock, untouched=True) as store:
        return store.read_state(consumer)


def _lines(
    run: Run, consumer: Consumer, state: ConsumerState, steps: Iterator[PlannedStep], size_of: _SizeOf
) -> Iterator[str]:
    yield f"{consumer}: the content is at offset {state.offset:,}; a pass would now"
    if (who := watched(lock_path(run.settings, consumer)).who) is not None:
        yield f"  end at once with exit code 4 while this pass is running: {who}; after that,"
    for each in steps:
        yield from _step(run, consumer, each, size_of)


def _step(run: Run, consumer: Consumer, foreseen: PlannedStep, size_of: _SizeOf) -> Iterator[str]:
    match foreseen.step:
        case AskFeed():
            last = foreseen.state.last_offset
            told = "does not report its last offset" if last is None else f"is at offset {last:,}"
            yield f"  ask the feed, which {told}"
        case Settle():
            yield "  clean up after a dead pass, which may change the next steps"
        case RecordRequest(asked_for):
            yield (
                "  store the request for an initialisation"
                if asked_for
                else "  cancel the requested initialisation"
            )
        case SendCommand(offset):
            if run.settings.command_manager_urls:
                yield f"  send the update command for offset {offset:,}"
        case Initialise(snapshot, why):
            size = size_of(snapshot)
            bytes_ = "of unknown size" if size is None else f"of {bytes_as_text(size)}"
            yield f"  load the snapshot of offset {snapshot.offset:,}, {bytes_}: {why}"
            if run.policy.mode == "sync" and (refused := foreseen.refused_before) is not None:
                yield f"    refused before; retried only if it has changed: {refused.reason}"
        case ApplyRange(of):
            yield from _applying(of, foreseen.failed_before)
        case End():
            yield from _ending(foreseen.step, consumer, run, foreseen.state)


def _applying(of: OffsetRange, failed: FailedChange | None) -> Iterator[str]:
    offsets = counted(of.to - of.after, "offset")
    yield f"  apply the changes of {offsets}, {of.after + 1:,} to {of.to:,}"
    if failed is not None:
        yield (
            f"    change {failed.offset} of {failed.resource} could not be applied before; if the feed still "
            f"has the same one, the pass ends before it, with exit code {Blocked.exit_code}"
        )


def _ending(end: End, consumer: Consumer, run: Run, state: ConsumerState) -> Iterator[str]:
    error = bad_end(end, consumer, run.policy, state, run.clock.now())
    yield f"  end with exit code {0 if error is None else error.exit_code}: {end.why}"
    if error is not None and error.hint is not None:
        yield f"    try: {error.hint}"
