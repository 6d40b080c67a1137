"""Update: fetch a range of changes, fold it, write it and advance the offset; or report the failed change.

While a range is written, the next one is folded and the one after that is requested (ADR 32).
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from ctisync.core.fold import CannotApply, Folded, TooLarge, fold, touched
from ctisync.core.model import Change, ChangeMark, OffsetRange
from ctisync.core.state import ConsumerState, FailedChange
from ctisync.core.steps import ApplyRange, Situation, SoFar, may_interrupt, range_ahead
from ctisync.errors import CtisyncError, ReplyTooLarge
from ctisync.ports import Progress, Writer
from ctisync.sync.parts import Parts

_CHECK_EVERY: Final = 1.0
"""Seconds of work in memory between two checks of the time of the pass and of the lease."""


@dataclass(slots=True)
class _Fetched:
    """A requested range: the `error` of the request, or its changes, which are kept until they are folded,
    their number, and the last one. `folded`: the result, if the range was folded ahead."""

    range: OffsetRange
    error: CtisyncError | None = None
    changes: list[Change] = field(default_factory=list)
    number: int = 0
    last: ChangeMark | None = None
    folded: Folded | None = None


class Updates:
    """The updates of one pass, with one progress bar, which `resources` closes at the end of the pass."""

    def __init__(self, parts: Parts, resources: ExitStack) -> None:
        self._parts = parts
        self._ahead: _Fetched | None = None
        self._bars = resources.enter_context(ExitStack())
        self._bar: Progress | None = None
        self._bar_start = 0

    def discard(self) -> None:
        """Drop what was folded ahead, and close the bar, because a load replaces the content."""
        self._ahead = None
        self._bars.close()
        self._bar = None

    def update(self, writer: Writer, step: ApplyRange, at: Situation) -> SoFar:
        """Apply the range and advance the offset to its end; if the range is too large, only its first half,
        or half of that. Returns `at.so_far` with what was done.

        A change that cannot be applied sets the offset to 0, so that the pass initialises again. If that has
        not helped before, or must wait, it blocks the content just before that change.
        """
        if self._bar is None:
            self._open_bar(writer.state)
        ahead, self._ahead = self._ahead, None
        fetched = ahead if ahead is not None and ahead.range == step.range else self._fetch(step.range)
        result: Folded | FailedChange | None = fetched.folded
        while result is None:
            try:
                result = self._fold(writer, fetched, writer.keep_alive)
            except ReplyTooLarge as error:
                fetched = self._fetch(self._first_half(writer, fetched.range, error))
            except CannotApply as error:
                result = error.failed
        if isinstance(result, FailedChange):
            return self._fail(writer, fetched, result, at)
        self._write(writer, step, fetched, result)
        return at.so_far.after(advanced=True)

    def _write(self, writer: Writer, step: ApplyRange, fetched: _Fetched, folded: Folded) -> None:
        """Write the range, and meanwhile prefetch and fold the next one."""
        parts = self._parts
        fetched.changes = []  # frees memory for the next ones, which come while these are written
        after = writer.state.advanced(fetched.range.to, parts.clock.now(), fetched.last)
        upcoming = range_ahead(step, after)
        if upcoming is None:
            writer.apply(folded.writes, after)
        else:
            if fetched.folded is None:  # else it was requested then
                parts.feed.prefetch(upcoming)
            holds = writer.apply(folded.writes, after, lambda: self._fold_ahead(writer, upcoming, after))
            if not holds and self._ahead is not None and self._ahead.folded is not None:
                self._ahead = None  # it was folded with records that have changed since
        self._report_applied(fetched.range, fetched.number, folded)

    def _open_bar(self, state: ConsumerState) -> None:
        self._bar_start = state.offset
        self._bar = self._bars.enter_context(self._parts.log.progress("update", state.behind, "offsets"))

    def _fetch(self, offsets: OffsetRange) -> _Fetched:
        try:
            changes = self._parts.feed.changes(offsets)
        except CtisyncError as error:
            return _Fetched(offsets, error=error)
        last = changes[-1].mark if changes else None
        return _Fetched(offsets, changes=changes, number=len(changes), last=last)

    def _first_half(self, writer: Writer, whole: OffsetRange, error: ReplyTooLarge) -> OffsetRange:
        """The first half of a range that is too large. Raises the error if the range cannot be divided: it
        has one offset, or its writes may have begun."""
        half = whole.first_half
        if writer.state.range_to is not None or half == whole:
            raise error
        self._parts.event("info", "range-halved", range=str(half), why=error.message)
        return half

    def _fold_ahead(self, writer: Writer, offsets: OffsetRange, before: ConsumerState) -> int | None:
        """Fetch and fold the next range, and request the one after it. Returns its end, None if that failed:
        the step of this range then reports it."""
        ahead = self._ahead = self._fetch(offsets)
        try:
            ahead.folded = self._fold(writer, ahead)  # `apply` keeps the lease meanwhile
        except CannotApply:
            return None
        except CtisyncError as error:
            self._ahead = _Fetched(offsets, error=error)
            return None
        ahead.changes = []
        after = before.advanced(offsets.to, self._parts.clock.now())
        if (upcoming := range_ahead(ApplyRange(offsets), after)) is not None:
            self._parts.feed.prefetch(upcoming)
        return offsets.to

    def _fold(
        self, writer: Writer, fetched: _Fetched, keep_alive: Callable[[], None] = lambda: None
    ) -> Folded:
        """Raises the error of the request, CannotApply, ReplyTooLarge, and FeedUnreachable once the time of
        the pass is over."""
        if fetched.error is not None:
            raise fetched.error
        parts = self._parts
        due = parts.clock.monotonic() + _CHECK_EVERY

        def check() -> None:
            nonlocal due
            if (now := parts.clock.monotonic()) >= due:
                due = now + _CHECK_EVERY
                parts.check_time()
                keep_alive()

        per_resource = touched(fetched.changes, parts.consumer)
        try:
            return fold(per_resource, writer.read_in_parts(list(per_resource)), parts.policy.limits, check)
        except TooLarge as error:
            hint = "if this is expected, raise limits.reply_bytes"
            raise ReplyTooLarge(str(error), hint=hint) from None

    def _fail(self, writer: Writer, fetched: _Fetched, failed: FailedChange, at: Situation) -> SoFar:
        """Start again from the snapshot, or block the content before the change that cannot be applied."""
        failed = failed.while_offered(None if at.snapshot is None else at.snapshot.link)
        interrupts = may_interrupt(at, failed)
        self._parts.event(
            # A pass that initialises resolves it, or ends with an error: nothing for cron to mail.
            "info" if interrupts else "warning",
            "change-failed",
            offset=failed.offset,
            resource=failed.resource,
            operation=failed.operation,
            why=failed.reason,
        )
        if interrupts:
            writer.save(writer.state.interrupted(failed, self._parts.clock.now()))
            return at.so_far.after(interrupted=True)
        return self._block(writer, fetched, failed, at.so_far)

    def _block(self, writer: Writer, fetched: _Fetched, failed: FailedChange, so_far: SoFar) -> SoFar:
        """Apply the changes before the failed one, and stay there.

        If writes of this range may have begun before, nothing more is written: the feed has changed its past,
        and only the stored content is known to be consistent.
        """
        state = writer.state
        tried = so_far.initialised or state.has_tried(failed)
        last_good = failed.offset - 1 if state.range_to is None else state.offset
        while last_good > state.offset:
            good = _Fetched(OffsetRange(state.offset, last_good))
            good.changes = [change for change in fetched.changes if change.offset <= last_good]
            try:
                folded = self._fold(writer, good, writer.keep_alive)
            except CannotApply as error:  # a later create or delete had made this one unimportant
                last_good = error.failed.offset - 1
                continue
            last = good.changes[-1].mark if good.changes else None
            after = state.advanced(last_good, self._parts.clock.now(), last)
            writer.apply(folded.writes, after.blocked(failed, initialised_now=tried))
            self._report_applied(good.range, len(good.changes), folded)
            return so_far.after(blocked=True, advanced=True)
        if state != (after := state.blocked(failed, initialised_now=tried)):
            writer.save(after)
        return so_far.after(blocked=True)

    def _report_applied(self, applied: OffsetRange, changes: int, folded: Folded) -> None:
        if self._bar is not None:
            self._bar.reached(applied.to - self._bar_start)
        self._parts.event(
            "info",
            "range-applied",
            range=str(applied),
            offset=applied.to,
            changes=changes,
            records=len(folded.writes),
            skipped=folded.skipped,
        )
        for each in self._parts.report.add_range(changes, folded):
            self._parts.event(
                "debug", "record-changed", offset=each.offset, resource=each.resource, how=each.how
            )
