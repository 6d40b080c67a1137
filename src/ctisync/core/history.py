"""The log of records, from the reports of the passes in the history, newest first."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal

import msgspec

from ctisync.core.pass_report import How, PassReport


class LogEntry(msgspec.Struct, frozen=True):
    """One line of the log: what a pass did to a record, or to all records if `resource` is empty.

    `how` is `untold` for offsets up to `offset` without a report: of a pass that was killed, or that touched
    more records than a report lists.
    """

    at: datetime
    offset: int
    how: How | Literal["untold"]
    resource: str = ""
    pass_id: str | None = None
    from_offset: int | None = None


def entries(passes: Iterable[PassReport], resource: str | None = None) -> Iterator[LogEntry]:
    """What the passes have touched, newest first; only of `resource`, if it is given.

    Loads, and offsets without a report, may concern any record: they are always included.
    """
    newer: PassReport | None = None
    for report in passes:
        if report.offset is None:
            continue  # it could not read the store
        if newer is not None:
            yield from _between(report, newer)
        for touched in reversed(report.touched):
            if resource is None or touched.resource in ("", resource):
                yield LogEntry(report.ended_at, touched.offset, touched.how, touched.resource, report.pass_id)
        if report.unlisted:
            to = report.touched[0].offset if report.touched else report.offset
            yield LogEntry(report.ended_at, to, "untold", "", report.pass_id, report.from_offset)
        newer = report


def _between(older: PassReport, newer: PassReport) -> Iterator[LogEntry]:
    """An entry if the content changed between two consecutive passes of the history."""
    is_now = newer.from_offset
    if is_now is not None and is_now != older.offset:
        yield LogEntry(newer.began_at, is_now, "untold", from_offset=older.offset)
