"""The notices of the watches, after content and command: those of each watch to its hook, then its cursor.

Imported only by a pass with watches: conditions need more modules than the rest of a pass.
"""

from collections.abc import Sequence
from typing import Final

from ctisync.core.facts import facts_of_record
from ctisync.core.scanner import TABLES, scanner_of
from ctisync.core.state import ConsumerState
from ctisync.core.watches import Collector, Due, Watch, begin, for_hook, moved
from ctisync.ports import Inspection, Writer
from ctisync.sync.parts import Parts

_KEEP_ALIVE_EVERY: Final = 1000
"""Records."""


def begin_watches(parts: Parts, writer: Writer) -> None:
    """Store where new watches begin, together with the next write: before the content of this pass."""
    before = writer.state
    if (begun := begin(before, parts.watches)) != before:
        writer.save_later(begun)
        _log_cursors(parts, before, begun)


def has_due(parts: Parts, state: ConsumerState) -> bool:
    """Whether the watches have to look at the content: it is above a cursor, or a watch is new."""
    begun = begin(state, parts.watches)
    return begun != state or any(cursor.offset < state.offset for cursor in begun.watches)


def report_matches(parts: Parts, writer: Writer) -> None:
    """Report to each watch what is above its cursor. If a hook fails, its cursor stays, and the next pass
    reports the same again. Raises StoreUnavailable."""
    begin_watches(parts, writer)
    failed = set[str]()
    while True:
        to = writer.state.offset
        behind = {each.watch for each in writer.state.watches if each.offset < to} - failed
        watches = [watch for watch in parts.watches if watch.name in behind]
        if not watches:
            return
        writer.make_searchable()
        with parts.store.inspect(parts.consumer) as content:
            every_due = _due(parts, writer, watches, content)
        failed |= {due.cursor.watch for due in every_due if not _deliver(parts, writer, due)}


def _due(parts: Parts, writer: Writer, watches: Sequence[Watch], content: Inspection) -> list[Due]:
    """The notices of each watch, from one read of the content."""
    cursors = {cursor.watch: cursor for cursor in writer.state.watches}
    if any(watch.conditions.platform is not None for watch in watches):
        scanner = scanner_of(content.lookup(TABLES))
        watches = [watch.on_platform(scanner) for watch in watches]
    consumer, to = str(parts.consumer), writer.state.offset
    collectors = [Collector(watch, consumer, cursors[watch.name], to) for watch in watches]
    for number, record in enumerate(content.scan(above=min(cursors[each.name].offset for each in watches))):
        facts = facts_of_record(record)
        for each in collectors:
            each.add(facts)
        if number % _KEEP_ALIVE_EVERY == 0:
            writer.keep_alive()
    missing = content.missing({name for each in collectors for name in each.reported})
    for each in collectors:
        each.add_missing(missing.intersection(each.reported))
    return [each.due() for each in collectors]


def _deliver(parts: Parts, writer: Writer, due: Due) -> bool:
    """Whether the hook of the watch took the notices; its cursor then moves."""
    watch, notices = due.cursor.watch, due.notices
    if notices and not parts.run_match_hook(
        watch, for_hook(watch, str(parts.consumer), notices), writer.keep_alive
    ):
        parts.report.add_notices(failed=1)
        return False
    for notice in notices:
        parts.event(
            "info",
            "watch-matched",
            watch=watch,
            name=notice.name,
            offset=notice.offset,
            how=notice.how,
            severity=notice.severity or "unknown",
            id=notice.id,
        )
    store = writer.save if notices else writer.save_later
    store(moved(writer.state, due.cursor))
    parts.report.add_notices(delivered=len(notices))
    return True


def _log_cursors(parts: Parts, before: ConsumerState, begun: ConsumerState) -> None:
    offsets = {cursor.watch: cursor.offset for cursor in before.watches}
    for cursor in begun.watches:
        if (was := offsets.get(cursor.watch)) is None:
            parts.event("info", "watch-begun", watch=cursor.watch, offset=cursor.offset)
        elif was != cursor.offset:
            parts.event("warning", "watch-lowered", watch=cursor.watch, offset=cursor.offset, was=was)
