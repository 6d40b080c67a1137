"""Update: fetch a range of changes, fold it, write it and advance the offset; or report the failed change.

While a range is written, the next one is folded and the one after that is requested (ADR 32).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ctisync.core.fold import CannotApply, Folded, TooLarge, fold, touched
from ctisync.core.model import Change, OffsetRange, Snapshot
from ctisync.core.state import ConsumerState, FailedChange, advanced, blocked, interrupted
from ctisync.core.steps import ApplyRange, SoFar, may_interrupt, range_ahead
from ctisync.errors import CtisyncError, ReplyTooLarge
from ctisync.ports import Level, Writer
from ctisync.sync.parts import Parts

_CHECK_EVERY: Final = 1.0
"""Seconds of work in memory between two looks at the time of the pass and at the lease."""


@dataclass(slots=True)
class _Ahead:
    """What is known of the next range before its step: the `error` that stood in its way; or the number of
    its changes, and what they were `folded` to. The `changes` themselves are kept until they are folded."""

    range: OffsetRange
    error: CtisyncError | None = None
    changes: list[Change] = field(default_factory=list)
    number: int = 0
    folded: Folded | None = None


class Updates:
    """The updates of one pass. `forget` what was folded ahead whenever the content is replaced."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._ahead: _Ahead | None = None

    def forget(self) -> None:
        self._ahead = None

    def update(self, writer: Writer, step: ApplyRange, so_far: SoFar, snapshot: Snapshot | None) -> SoFar:
        """Apply the range and advance the offset to its end. Returns the updated `so_far`.

        A change that cannot be applied sets the offset to 0, so that the pass initialises again. If that has
        not helped before, or must wait, it blocks the content just before that change.
        """
        parts = self._parts
        ahead = self._fetched(writer, step.range)
        folded = ahead.folded
        try:
            while folded is None:
                try:
                    folded = _fold(parts, writer, ahead.changes, writer.keep_alive)
                except ReplyTooLarge as error:
                    ahead = self._fetched(writer, self._halved(writer, ahead.range, error))
        except CannotApply as error:
            failed = error.failed.while_offered(None if snapshot is None else snapshot.link)
            now = parts.clock.now()
            interrupts = may_interrupt(writer.state, failed, snapshot, so_far, parts.policy, now)
            # A pass that initialises heals it, or ends with an error: nothing for cron to mail.
            _say_failed(parts, failed, "info" if interrupts else "warning")
            if interrupts:
                writer.save(interrupted(writer.state, failed, now))
                return so_far.after(interrupted=True)
            return _block(parts, writer, ahead.changes, failed, so_far)
        ahead.changes = []  # frees memory for the next ones, which come while these are written
        after = advanced(writer.state, ahead.range.to, parts.clock.now())
        upcoming = range_ahead(step, after)
        if upcoming is None:
            writer.apply(folded.writes, after)
        else:
            if ahead.folded is None:  # else it was requested then
                parts.feed.prefetch(upcoming)
            if not writer.apply(folded.writes, after, lambda: self._fold_ahead(writer, upcoming, after)):
                self._doubt_ahead()
        _say_applied(parts, ahead.range, ahead.number, folded)
        return so_far.after(advanced=True)

    def _fetched(self, writer: Writer, wanted: OffsetRange) -> _Ahead:
        """The changes of the range; if the reply is too large, of its first half, or half of that.

        A range whose writes may have begun is not divided.
        """
        ahead, self._ahead = self._ahead, None
        if ahead is None or ahead.range != wanted:
            ahead = self._fetch(wanted)
        while ahead.error is not None:
            ahead = self._fetch(self._halved(writer, ahead.range, ahead.error))
        return ahead

    def _halved(self, writer: Writer, whole: OffsetRange, error: CtisyncError) -> OffsetRange:
        """The first half of a range that is too large. Raises the error if it is another one, or if the range
        cannot be divided."""
        half = whole.first_half
        if not isinstance(error, ReplyTooLarge) or writer.state.range_to is not None or half == whole:
            raise error
        self._parts.log.event(
            "info", "range-halved", consumer=str(self._parts.consumer), range=str(half), why=error.message
        )
        return half

    def _fetch(self, wanted: OffsetRange) -> _Ahead:
        try:
            changes = self._parts.feed.changes(wanted)
        except CtisyncError as error:
            return _Ahead(wanted, error=error)
        return _Ahead(wanted, changes=changes, number=len(changes))

    def _fold_ahead(self, writer: Writer, wanted: OffsetRange, before: ConsumerState) -> int | None:
        """Fetch and fold the next range, and request the one after it. Returns its end, None if that failed:
        the step of this range then reports it."""
        ahead = self._ahead = self._fetch(wanted)
        if ahead.error is not None:
            return None
        try:
            ahead.folded = _fold(self._parts, writer, ahead.changes)  # `apply` keeps the lease meanwhile
        except CannotApply:
            return None
        except CtisyncError as error:
            self._ahead = _Ahead(wanted, error=error)
            return None
        ahead.changes = []
        after = advanced(before, wanted.to, self._parts.clock.now())
        if (upcoming := range_ahead(ApplyRange(wanted), after)) is not None:
            self._parts.feed.prefetch(upcoming)
        return wanted.to

    def _doubt_ahead(self) -> None:
        """What was folded ahead may not fit what stands now."""
        if self._ahead is not None and self._ahead.folded is not None:
            self._ahead = None


def _fold(
    parts: Parts, writer: Writer, changes: Sequence[Change], keep_alive: Callable[[], None] = lambda: None
) -> Folded:
    """Raises CannotApply, ReplyTooLarge, and FeedUnreachable once the time of the pass is over."""
    due = parts.clock.monotonic() + _CHECK_EVERY

    def check() -> None:
        nonlocal due
        if (now := parts.clock.monotonic()) >= due:
            due = now + _CHECK_EVERY
            parts.check_time()
            keep_alive()

    per_resource = touched(changes, parts.consumer)
    try:
        return fold(per_resource, writer.read_in_parts(list(per_resource)), parts.policy.limits, check)
    except TooLarge as error:
        raise ReplyTooLarge(
            f"the records of a range have more than {error.most} bytes (4 times limits.reply_bytes)",
            hint="if this is expected, raise limits.reply_bytes",
        ) from None


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
            folded = _fold(parts, writer, good, writer.keep_alive)
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


def _say_failed(parts: Parts, failed: FailedChange, level: Level) -> None:
    parts.log.event(
        level,
        "change-failed",
        consumer=str(parts.consumer),
        offset=failed.offset,
        resource=failed.resource,
        operation=failed.operation,
        why=failed.reason,
    )
