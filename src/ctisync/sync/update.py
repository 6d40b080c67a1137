"""Update: fetch a range of changes, fold it, write it and advance the offset; or report the failed change."""

from collections.abc import Sequence

from ctisync.core.fold import CannotApply, Folded, fold, touched
from ctisync.core.model import Change, OffsetRange
from ctisync.core.state import FailedChange, advanced, blocked, interrupted
from ctisync.core.steps import ApplyRange, SoFar, may_interrupt, range_ahead
from ctisync.errors import ReplyTooLarge
from ctisync.ports import Writer
from ctisync.sync.parts import Parts


def update(parts: Parts, writer: Writer, step: ApplyRange, so_far: SoFar, snapshot_link: str | None) -> SoFar:
    """Apply the range and advance the offset to its end. Returns the updated `so_far`.

    A change that cannot be applied sets the offset to 0, so that the pass initialises again. If that has not
    helped before, or must wait, it blocks the content just before that change.
    """
    wanted, changes = _fetched(parts, writer, step.range)
    try:
        folded = _fold(parts, writer, changes)
    except CannotApply as error:
        failed = error.failed.while_offered(snapshot_link)
        _say_failed(parts, failed)
        if may_interrupt(writer.state, failed, so_far, parts.policy, parts.clock.now()):
            writer.save(interrupted(writer.state, failed, parts.clock.now()))
            return so_far.after(interrupted=True)
        return _block(parts, writer, changes, failed, so_far)
    number = len(changes)
    del changes  # frees memory for the next ones, which are prefetched while these are written
    after = advanced(writer.state, wanted.to, parts.clock.now())
    if (ahead := range_ahead(step, after)) is not None:
        parts.feed.ask_ahead(ahead)
    writer.apply(folded.writes, after)
    _say_applied(parts, wanted, number, folded)
    return so_far.after(advanced=True)


def _fetched(parts: Parts, writer: Writer, wanted: OffsetRange) -> tuple[OffsetRange, list[Change]]:
    """The changes of the range; if the reply is too large, of its first half, or half of that.

    A range whose writes may have begun is not divided.
    """
    while True:
        try:
            return wanted, parts.feed.changes(wanted)
        except ReplyTooLarge as error:
            if writer.state.range_to is not None or wanted == wanted.first_half:
                raise
            wanted = wanted.first_half
            parts.log.event(
                "info", "range-halved", consumer=str(parts.consumer), range=str(wanted), why=error.message
            )


def _fold(parts: Parts, writer: Writer, changes: Sequence[Change]) -> Folded:
    per_resource = touched(changes, parts.consumer)
    return fold(per_resource, writer.read(per_resource.keys()), parts.policy.limits)


def _block(
    parts: Parts, writer: Writer, changes: Sequence[Change], failed: FailedChange, so_far: SoFar
) -> SoFar:
    """Apply the changes before the failed one, and stay there.

    If writes of this range may have begun before, nothing more is written: the feed has changed its past, and
    only the stored content is known to be consistent.
    """
    state = writer.state
    tried = so_far.initialised or state.has_tried(failed)
    last_good = failed.offset - 1 if state.range_to is None else state.offset
    while last_good > state.offset:
        try:
            good = [change for change in changes if change.offset <= last_good]
            folded = _fold(parts, writer, good)
        except CannotApply as error:  # a later create or delete had made this one unimportant
            last_good = error.failed.offset - 1
            continue
        after = advanced(state, last_good, parts.clock.now())
        writer.apply(folded.writes, blocked(after, failed, initialised_now=tried))
        _say_applied(parts, OffsetRange(state.offset, last_good), len(good), folded)
        return so_far.after(blocked=True, advanced=True)
    if state != (after := blocked(state, failed, initialised_now=tried)):
        writer.save(after)
    return so_far.after(blocked=True)


def _say_applied(parts: Parts, applied: OffsetRange, changes: int, folded: Folded) -> None:
    said = str(parts.consumer)
    parts.log.event(
        "info",
        "range-applied",
        consumer=said,
        range=str(applied),
        offset=applied.to,
        changes=changes,
        records=len(folded.writes),
        skipped=folded.skipped,
    )
    for each in parts.report.applied(changes, folded):
        parts.log.event(
            "debug",
            "record-changed",
            consumer=said,
            offset=each.offset,
            resource=each.resource,
            how=each.how,
        )


def _say_failed(parts: Parts, failed: FailedChange) -> None:
    parts.log.event(
        "warning",
        "change-failed",
        consumer=str(parts.consumer),
        offset=failed.offset,
        resource=failed.resource,
        operation=failed.operation,
        why=failed.reason,
    )
