"""Update: fetch a range of changes, fold it, write it, advance; or say which change stands in the way."""

from collections.abc import Sequence

from ctisync.core.fold import CannotApply, Folded, fold, touched
from ctisync.core.model import Change, Consumer, Delete, OffsetRange
from ctisync.core.state import FailedChange, advanced, blocked, interrupted
from ctisync.core.steps import ApplyRange, Policy, SoFar, may_interrupt, range_ahead
from ctisync.errors import ReplyTooLarge
from ctisync.ports import Clock, Feed, Log, Writer


def update(
    step: ApplyRange,
    consumer: Consumer,
    writer: Writer,
    feed: Feed,
    clock: Clock,
    log: Log,
    so_far: SoFar,
    policy: Policy,
    snapshot_link: str | None,
) -> SoFar:
    """Apply the range and advance the offset to its end; what the pass has been through then.

    A change that cannot be applied sets the offset to 0, so that the pass initialises again, or
    blocks the content just before that change when initialising has not helped or must wait.
    """
    wanted, changes = _fetched(step.range, consumer, writer, feed, log)
    try:
        folded = _fold(changes, consumer, writer, policy)
    except CannotApply as error:
        failed = error.failed.while_offered(snapshot_link)
        _say_failed(failed, consumer, log)
        if may_interrupt(writer.state, failed, so_far, policy, clock.now()):
            writer.save(interrupted(writer.state, failed, clock.now()))
            return so_far.after(interrupted=True)
        return _block(failed, changes, consumer, writer, clock, log, so_far, policy)
    number = len(changes)
    del changes  # makes room for the next ones, which come in while these are written
    after = advanced(writer.state, wanted.to, clock.now())
    if (ahead := range_ahead(step, after)) is not None:
        feed.ask_ahead(ahead)
    writer.apply(folded.writes, after)
    _say_applied(wanted, number, folded, consumer, log)
    return so_far.after(advanced=True)


def _fetched(
    wanted: OffsetRange, consumer: Consumer, writer: Writer, feed: Feed, log: Log
) -> tuple[OffsetRange, list[Change]]:
    """The changes of the range; when they are too large to be had at once, of its first half, or half of
    that.

    A range whose writes may have begun stays what it is.
    """
    while True:
        try:
            return wanted, feed.changes(wanted)
        except ReplyTooLarge as error:
            if writer.state.range_to is not None or wanted == wanted.first_half:
                raise
            wanted = wanted.first_half
            log.event("info", "range-halved", consumer=str(consumer), range=str(wanted), why=error.message)


def _fold(changes: Sequence[Change], consumer: Consumer, writer: Writer, policy: Policy) -> Folded:
    per_resource = touched(changes, consumer)
    return fold(per_resource, writer.read(per_resource.keys()), policy.limits)


def _block(
    failed: FailedChange,
    changes: Sequence[Change],
    consumer: Consumer,
    writer: Writer,
    clock: Clock,
    log: Log,
    so_far: SoFar,
    policy: Policy,
) -> SoFar:
    """Keep what lies before the failed change and stay there.

    When writes of this range may have begun already, nothing more is written: the feed has altered
    its past, and what stands is the only thing known to be consistent.
    """
    state = writer.state
    tried = so_far.initialised or state.has_tried(failed)
    last_good = failed.offset - 1 if state.range_to is None else state.offset
    while last_good > state.offset:
        try:
            good = [change for change in changes if change.offset <= last_good]
            folded = _fold(good, consumer, writer, policy)
        except CannotApply as error:  # a later create or delete had made this one unimportant
            last_good = error.failed.offset - 1
            continue
        after = advanced(state, last_good, clock.now())
        writer.apply(folded.writes, blocked(after, failed, initialised_now=tried))
        _say_applied(OffsetRange(state.offset, last_good), len(good), folded, consumer, log)
        return so_far.after(blocked=True, advanced=True)
    if state != (after := blocked(state, failed, initialised_now=tried)):
        writer.save(after)
    return so_far.after(blocked=True)


def _say_applied(applied: OffsetRange, changes: int, folded: Folded, consumer: Consumer, log: Log) -> None:
    log.event(
        "info",
        "range-applied",
        consumer=str(consumer),
        range=str(applied),
        offset=applied.to,
        changes=changes,
        records=len(folded.writes),
        skipped=folded.skipped,
    )
    said = str(consumer)
    for write in folded.writes:
        is_new = write.name in folded.created
        how = "deleted" if isinstance(write, Delete) else "created" if is_new else "updated"
        log.event("debug", "record-changed", consumer=said, offset=write.offset, resource=write.name, how=how)


def _say_failed(failed: FailedChange, consumer: Consumer, log: Log) -> None:
    log.event(
        "warning",
        "change-failed",
        consumer=str(consumer),
        offset=failed.offset,
        resource=failed.resource,
        operation=failed.operation,
        why=failed.reason,
    )
