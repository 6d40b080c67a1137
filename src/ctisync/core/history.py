"""What the passes of the past tell, when they are laid side by side: newest first, as they are kept."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal

import msgspec

from ctisync.core.pass_report import How, PassReport


class LogEntry(msgspec.Struct, frozen=True):
    """One line of the log: what has become of a record (or of all, when `resource` is empty), by which pass.

    `how` is `untold` for offsets up to `offset` of which nobody has told: a pass that was killed, or one
    with more than it could tell.
    """

    at: datetime
    offset: int
    how: How | Literal["untold"]
    resource: str = ""
    pass_id: str | None = None
    from_offset: int | None = None


def entries(passes: Iterable[PassReport], resource: str | None = None) -> Iterator[LogEntry]:
    """What the passes have touched, newest first; of one `resource` alone, when it is named.

    A snapshot that was loaded, and what is not told, may be about any record: they are always there.
    """
    newer: PassReport | None = None
    for report in passes:
        if report.offset is None:
            continue  # it never got to look at the store
        if newer is not None:
            yield from _between(report, newer)
        for touched in reversed(report.touched):
            if resource is None or touched.resource in ("", resource):
                yield LogEntry(report.ended_at, touched.offset, touched.how, touched.resource, report.pass_id)
        if report.untold:
            to = report.touched[0].offset if report.touched else report.offset
            yield LogEntry(report.ended_at, to, "untold", "", report.pass_id, report.from_offset)
        newer = report


def _between(older: PassReport, newer: PassReport) -> Iterator[LogEntry]:
    """Whether content has changed between two passes that stand beside each other in the history."""
    is_now = newer.from_offset
    if is_now is not None and is_now != older.offset:
        yield LogEntry(newer.began_at, is_now, "untold", from_offset=older.offset)
