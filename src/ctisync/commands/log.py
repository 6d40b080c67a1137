"""`log`: the records that past passes changed."""

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import islice

import msgspec

from ctisync.cli.invocation import Invocation
from ctisync.commands.show import nearest, spellings
from ctisync.console import rfc3339
from ctisync.core.history import LogEntry, entries
from ctisync.core.model import Consumer
from ctisync.core.pass_report import PassReport
from ctisync.core.words import moment
from ctisync.errors import UsageError
from ctisync.escaping import to_json
from ctisync.ports import Store
from ctisync.settings.checks import MOST_PASSES
from ctisync.wiring import opened_store


class Wanted(msgspec.Struct, frozen=True):
    """Which entries to list: from `since` on and before `until`, of records whose name matches the
    shell-style pattern `resource`; None: any."""

    since: datetime | None = None
    until: datetime | None = None
    resource: str | None = None

    def wants(self, entry: LogEntry) -> bool:
        """Entries that may concern any record fit each pattern."""
        return (
            (self.since is None or self.since <= entry.at)
            and (self.until is None or entry.at < self.until)
            and (self.resource is None or not entry.resource or fnmatchcase(entry.resource, self.resource))
        )


def wanted(since: str | None, until: str | None, resource: str | None, now: datetime) -> Wanted:
    """The same from the command line. Raises UsageError."""
    begin = None if since is None else moment(since, now, "--since")
    end = None if until is None else moment(until, now, "--until")
    if begin is not None and end is not None and end < begin:
        raise UsageError("--until is earlier than --since", hint="give --until the later time")
    return Wanted(begin, end, resource)


def touched(
    invocation: Invocation, resource: str | None, wanted: Wanted, most: int | None
) -> Iterator[tuple[Consumer, LogEntry]]:
    """The wanted entries of the log of each consumer, newest first, at most `most` of each. Raises UsageError
    for a `resource` that is neither in a content nor in a history."""
    with opened_store(invocation.settings, invocation.clock) as store:
        known: dict[Consumer, str | None] = dict.fromkeys(invocation.consumers)
        if resource is not None:
            known = _known_as(store, invocation.consumers, resource)
        for each, name in known.items():
            passes = store.passes(each, MOST_PASSES, touched=True)
            few = None if most is None else min(most, sys.maxsize)
            for entry in islice(filter(wanted.wants, entries(passes, name)), few):
                yield each, entry


def _known_as(store: Store, consumers: Sequence[Consumer], name: str) -> dict[Consumer, str | None]:
    """The consumers that have the record, with its spelling there; one without content counts, too."""
    meant, known, hint = spellings(name), dict[Consumer, str | None](), None
    for consumer in consumers:
        with store.inspect(consumer) as seen:
            held = seen.lookup(meant)
            found = next((each for each in meant if each in held), None)
            found = found or _touched_as(meant, store.passes(consumer, MOST_PASSES, touched=True))
            if found is not None:
                known[consumer] = found
            elif seen.count() is None:
                known[consumer] = name
            else:
                hint = hint or nearest(name, seen)
    if not known:
        names = " and ".join(map(str, consumers))
        have = "has" if len(consumers) == 1 else "have"
        said = f"{names} {have} no record {name}, and no pass in the history changed it"
        raise UsageError(said, hint=hint)
    return known


def _touched_as(meant: Collection[str], passes: Iterable[PassReport]) -> str | None:
    touched = (each.resource for report in passes for each in report.touched)
    return next((each for each in touched if each in meant), None)


def entry_as_json(consumer: Consumer, entry: LogEntry) -> str:
    """`log --json`: one line per entry."""
    told = {"consumer": str(consumer)} | msgspec.to_builtins(entry)
    return to_json({name: value for name, value in told.items() if value is not None})


def entry_as_text(entry: LogEntry) -> str:
    at, offset = rfc3339(entry.at), f"{entry.offset:>12,}"
    match entry.how:
        case "loaded":
            what = f"all records, as in the snapshot of offset {entry.offset:,}"
        case "untold":
            what = f"the history has no details of the changes after offset {entry.from_offset or 0:,}"
        case _:
            what = entry.resource
    return f"{at}  {offset}  {entry.how:<8} {what}"
