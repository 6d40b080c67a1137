"""`ctisync log`: the records that the last passes changed, from the history."""

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from typing import Annotated

import msgspec
import typer

from ctisync.cli.app import app
from ctisync.cli.invocation import CLOCK, CommonOptions, Invocation, JsonLinesOption, common
from ctisync.commands.show import nearest, spellings
from ctisync.console import rfc3339
from ctisync.core.model import Consumer
from ctisync.core.pass_report import LogEntry, PassReport, log_entries
from ctisync.core.words import moment
from ctisync.errors import DONE, UsageError
from ctisync.escaping import escape, to_json
from ctisync.ports import Store
from ctisync.settings.model import MOST_PASSES
from ctisync.system.process import print_json, print_result
from ctisync.wiring import opened_store

Filter = Callable[[LogEntry], bool]


@app.command()
@common()
def log(
    options: CommonOptions,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Only this record: CVE-2024-3094.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="TIME", help="Only from then on: 24h, 7d, 2026-11-24, 2026-11-24T07:30Z."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Only before then; forms as for --since.")
    ] = None,
    resource: Annotated[
        str | None,
        typer.Option("--resource", metavar="PATTERN", help="Only records whose name matches: 'CVE-2024-*'."),
    ] = None,
    last: Annotated[
        int | None,
        typer.Option(
            "--last", metavar="N", min=1, help="Maximum number of lines; 100 by default without --since."
        ),
    ] = None,
    as_json: JsonLinesOption = False,
) -> int:
    """List the records that the last passes created, updated and deleted, newest first."""
    matches = _filter(since, until, resource)
    invocation = options.invocation()
    most = 100 if last is None and since is None else last
    is_empty = True
    for consumer, entry in _entries(invocation, name, matches, most):
        is_empty = False
        if as_json:
            print_json(_as_json(consumer, entry))
        else:
            owner = f"{consumer}  " if len(invocation.consumers) > 1 else ""
            print_result(owner + escape(_as_text(entry)))
    if is_empty and not as_json:
        text = "no pass in the history changed " + ("any record" if name is None else name)
        is_selected = (since, until, resource) != (None, None, None)
        print_result(f"{text}, as far as the options select" if is_selected else text)
    return DONE


def _filter(since: str | None, until: str | None, resource: str | None) -> Filter:
    """Whether an entry is from `since` on and before `until`, of a record whose name matches the shell-style
    pattern `resource`. Entries that may concern any record match each pattern. Raises UsageError."""
    now = CLOCK.now()
    begin = None if since is None else moment(since, now, "--since")
    end = None if until is None else moment(until, now, "--until")
    if begin is not None and end is not None and end < begin:
        raise UsageError("--until is earlier than --since", hint="give --until the later time")

    def matches(entry: LogEntry) -> bool:
        return (
            (begin is None or begin <= entry.at)
            and (end is None or entry.at < end)
            and (resource is None or not entry.resource or fnmatchcase(entry.resource, resource))
        )

    return matches


def _entries(
    invocation: Invocation, resource: str | None, matches: Filter, most: int | None
) -> Iterator[tuple[Consumer, LogEntry]]:
    """The matching entries of the log of each consumer, newest first, at most `most` of each. Raises
    UsageError for a `resource` that is neither in a content nor in a history."""
    with opened_store(invocation.settings, invocation.clock) as store:
        names: dict[Consumer, str | None] = dict.fromkeys(invocation.consumers)
        if resource is not None:
            names = _names(store, invocation.consumers, resource)
        for consumer, name in names.items():
            passes = store.passes(consumer, MOST_PASSES, touched=True)
            limit = None if most is None else min(most, sys.maxsize)
            for entry in islice(filter(matches, log_entries(passes, name)), limit):
                yield consumer, entry


def _names(store: Store, consumers: Sequence[Consumer], name: str) -> dict[Consumer, str | None]:
    """The consumers that have the record, with its spelling there; one without content counts, too."""
    spelled, names, hint = spellings(name), dict[Consumer, str | None](), None
    for consumer in consumers:
        with store.inspect(consumer) as content:
            rows = content.lookup(spelled)
            spelling = next((each for each in spelled if each in rows), None)
            spelling = spelling or _touched_name(spelled, store.passes(consumer, MOST_PASSES, touched=True))
            if spelling is not None:
                names[consumer] = spelling
            elif content.count() is None:
                names[consumer] = name
            else:
                hint = hint or nearest(name, content)
    if not names:
        owners = " and ".join(map(str, consumers))
        have = "has" if len(consumers) == 1 else "have"
        raise UsageError(
            f"{owners} {have} no record {name}, and no pass in the history changed it", hint=hint
        )
    return names


def _touched_name(spelled: Collection[str], passes: Iterable[PassReport]) -> str | None:
    touched = (each.resource for report in passes for each in report.touched)
    return next((each for each in touched if each in spelled), None)


def _as_json(consumer: Consumer, entry: LogEntry) -> str:
    fields = {"consumer": str(consumer)} | msgspec.to_builtins(entry)
    return to_json({name: value for name, value in fields.items() if value is not None})


def _as_text(entry: LogEntry) -> str:
    at, offset = rfc3339(entry.at), f"{entry.offset:>12,}"
    match entry.how:
        case "loaded":
            what = f"all records, as in the snapshot of offset {entry.offset:,}"
        case "untold":
            what = f"the history has no details of the changes after offset {entry.from_offset or 0:,}"
        case _:
            what = entry.resource
    return f"{at}  {offset}  {entry.how:<8} {what}"
