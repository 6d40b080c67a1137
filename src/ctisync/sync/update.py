"""Update: fetch a range of changes, fold it, write it and advance the offset; or report the failed change.

While a range is written, the next one is folded and the one after that is requested (ADR 32).
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from ctisync.core.fold import CannotApply, Folded, TooLarge, fold, touched
from ctisync.core.model import Change, OffsetRange
from ctisync.core.state import ConsumerState, FailedChange, advanced, blocked, interrupted
from ctisync.core.steps import ApplyRange, Situation, SoFar, may_interrupt, range_ahead
from ctisync.errors import CtisyncError, ReplyTooLarge
from ctisync.ports import Progress, Writer
from ctisync.sync.parts import Parts

_CHECK_EVERY: Final = 1.0
"""Seconds of work in memory between two checks of the time of the pass and of the lease."""


@dataclass(slots=True)
class _Fetched:
    """A requested range: the `error` of the request, or the number of its changes. `folded`: the result, if
    the range was folded ahead. The `changes` themselves are kept until they are folded."""

    range: OffsetRange
    error: CtisyncError | None = None
    changes: list[Change] = field(default_factory=list)
    number: int = 0
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
        """Apply the range and advance the offset to its end. Returns `at.so_far` with what was done.

        A change that cannot be applied sets the offset to 0, so that the pass initialises again. If that has
        not helped before, or must wait, it blocks the content just before that change.
        """
        bar = self._bar or self._open_bar(writer.state)
        fetched = self._fetch_range(writer, step.range)
        folded = fetched.folded
        try:
            while folded is None:
                try:
                    folded = _fold(self._parts, writer, fetched.changes, writer.keep_alive)
                except ReplyTooLarge as error:
                    fetched = self._fetch_range(writer, self._halve(writer, fetched.range, error))
        except CannotApply as error:
            so_far = _fail(self._parts, writer, fetched.changes, error.failed, at)
        else:
            self._write(writer, step, fetched, folded)
            so_far = at.so_far.after(advanced=True)
        bar.reached(writer.state.offset - self._bar_start)
        return so_far

    def _write(self, writer: Writer, step: ApplyRange, fetched: _Fetched, folded: Folded) -> None:
        """Write the range, and meanwhile prefetch and fold the next one."""
        parts = self._parts
        fetched.changes = []  # frees memory for the next ones, which come while these are written
        after = advanced(writer.state, fetched.range.to, parts.clock.now())
        upcoming = range_ahead(step, after)
        if upcoming is None:
            writer.apply(folded.writes, after)
        else:
            if fetched.folded is None:  # else it was requested then
                parts.feed.prefetch(upcoming)
            holds = writer.apply(folded.writes, after, lambda: self._fold_ahead(writer, upcoming, after))
            if not holds and self._ahead is not None and self._ahead.folded is not None:
                self._ahead = None  # it was folded with records that have changed since
        _log_applied(parts, fetched.range, fetched.number, folded)

    def _open_bar(self, state: ConsumerState) -> Progress:
        self._bar_start = state.offset
        self._bar = self._bars.enter_context(self._parts.log.progress("update", state.behind, "offsets"))
        return self._bar

    def _fetch_range(self, writer: Writer, offsets: OffsetRange) -> _Fetched:
        """The range, folded ahead if possible; if its reply is too large, the first half, or half of that.

        A range whose writes may have begun is not divided.
        """
        fetched, self._ahead = self._ahead, None
        if fetched is None or fetched.range != offsets:
            fetched = self._fetch(offsets)
        while fetched.error is not None:
            fetched = self._fetch(self._halve(writer, fetched.range, fetched.error))
        return fetched

    def _halve(self, writer: Writer, whole: OffsetRange, error: CtisyncError) -> OffsetRange:
        """The first half of a range that is too large. Raises the error if it is another one, or if the range
        cannot be divided."""
        half = whole.first_half
        if not isinstance(error, ReplyTooLarge) or writer.state.range_to is not None or half == whole:
            raise error
        self._parts.event("info", "range-halved", range=str(half), why=error.message)
        return half

    def _fetch(self, offsets: OffsetRange) -> _Fetched:
        try:
            changes = self._parts.feed.changes(offsets)
        except CtisyncError as error:
            return _Fetched(offsets, error=error)
        return _Fetched(offsets, changes=changes, number=len(changes))

    def _fold_ahead(self, writer: Writer, offsets: OffsetRange, before: ConsumerState) -> int | None:
        """Fetch and fold the next range, and request the one after it. Returns its end, None if that failed:
        the step of this range then reports it."""
        ahead = self._ahead = self._fetch(offsets)
        if ahead.error is not None:
            return None
        try:
            ahead.folded = _fold(self._parts, writer, ahead.changes)  # `apply` keeps the lease meanwhile
        except CannotApply:
            return None
        except CtisyncError as error:
            self._ahead = _Fetched(offsets, error=error)
            return None
        ahead.changes = []
        after = advanced(before, offsets.to, self._parts.clock.now())
        if (upcoming := range_ahead(ApplyRange(offsets), after)) is not None:
            self._parts.feed.prefetch(upcoming)
        return offsets.to


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


def _fail(
    parts: Parts, writer: Writer, changes: Sequence[Change], failed: FailedChange, at: Situation
) -> SoFar:
    """Start again from the snapshot, or block the content before the change that cannot be applied."""
    failed = failed.while_offered(None if at.snapshot is None else at.snapshot.link)
    interrupts = may_interrupt(at, failed)
    parts.event(
        # A pass that initialises resolves it, or ends with an error: nothing for cron to mail.
        "info" if interrupts else "warning",
        "change-failed",
        offset=failed.offset,
        resource=failed.resource,
        operation=failed.operation,
        why=failed.reason,
    )
    if interrupts:
        writer.save(interrupted(writer.state, failed, parts.clock.now()))
        return at.so_far.after(interrupted=True)
    return _block(parts, writer, changes, failed, at.so_far)


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
        _log_applied(parts, OffsetRange(state.offset, last_good), len(good), folded)
        return so_far.after(blocked=True, advanced=True)
    if state != (after := blocked(state, failed, initialised_now=tried)):
        writer.save(after)
    return so_far.after(blocked=True)


def _log_applied(parts: Parts, applied: OffsetRange, changes: int, folded: Folded) -> None:
    parts.event(
        "info",
        "range-applied",
        range=str(applied),
        offset=applied.to,
        changes=changes,
        records=len(folded.writes),
        skipped=folded.skipped,
    )
    for each in parts.report.add_range(changes, folded):
        parts.event("debug", "record-changed", offset=each.offset, resource=each.resource, how=each.how)
