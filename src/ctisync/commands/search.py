"""`ctisync search`: the records that have certain words, products, versions, severities and the like."""

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
import typer

from ctisync.cli.invocation import CLOCK, CommonOptions, command, names_in_index, print_document
from ctisync.commands.hits import COLUMNS, Answer, as_json, print_csv, print_table, read_hits
from ctisync.commands.records import opened_contents
from ctisync.core.conditions import SEVERITIES, Conditions, on_platform
from ctisync.core.model import Consumer
from ctisync.core.scanner import TABLES, scanner_of
from ctisync.core.terms import STATES, Options, Terms, conditions_of
from ctisync.core.words import counted, moment, one_of
from ctisync.errors import DONE, HITS, UsageError
from ctisync.escaping import escape, to_json
from ctisync.ports import Inspection
from ctisync.search.file import IndexFile
from ctisync.search.index import Index
from ctisync.search.query import (
    GROUPS,
    ORDERS,
    Group,
    Hits,
    Order,
    count_by,
    search,
    unknown_names,
)
from ctisync.system.process import print_json, print_result
from ctisync.wiring import opened_store

_SHOWN: Final = 20
"""Rows of a table without --limit."""

_BAR: Final = 40
"""Characters of the longest bar."""

Form = Literal["table", "json", "ndjson", "csv", "names"]


@command("search")
def search_(
    options: CommonOptions,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WORDS", help="Words that the record has; 'two words' for a phrase, log4j* for a begin."
        ),
    ] = None,
    vendor: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Vendor; repeat for one of several.", autocompletion=names_in_index("vendor")
        ),
    ] = None,
    product: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Product or package; repeat for one of several.",
            autocompletion=names_in_index("product"),
        ),
    ] = None,
    version: Annotated[
        str | None, typer.Option(metavar="VERSION", help="This version of --product is affected.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Source: debian, redhat_9, nvd (the default with --version)."),
    ] = None,
    os: Annotated[
        str | None,
        typer.Option(metavar="NAME:VERSION", help="Platform, and so its own source: debian:12, rhel:9."),
    ] = None,
    cwe: Annotated[
        list[str] | None, typer.Option(metavar="NUMBER", help="Weakness: 79; repeat for one of several.")
    ] = None,
    severity: Annotated[
        str | None, typer.Option(metavar="LEVELS", help="One of these: high,critical.")
    ] = None,
    min_severity: Annotated[
        str | None, typer.Option(metavar="LEVEL", help=f"At least: {', '.join(SEVERITIES)}.")
    ] = None,
    min_score: Annotated[
        str | None, typer.Option(metavar="SCORE", help="At least this CVSS score, 0 to 10.")
    ] = None,
    exploit: Annotated[bool, typer.Option("--exploit", help="A reference leads to an exploit.")] = False,
    published_since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Published from then on: 30d, 2026-11-24.")
    ] = None,
    changed_since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Came into the feed from then on: 24h, 2026-11-24.")
    ] = None,
    changed_after: Annotated[
        int | None, typer.Option(metavar="OFFSET", min=0, help="Its last change is above this offset.")
    ] = None,
    state: Annotated[str | None, typer.Option(metavar="STATE", help=f"{' or '.join(STATES)}.")] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help=f"{', '.join(ORDERS)}; without it, relevance if there are words, else score.",
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option("--count-by", metavar="KEY", help=f"Count instead: {', '.join(GROUPS)}."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help=f"Maximum number of records; {_SHOWN} by default in a table."),
    ] = None,
    in_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    as_lines: Annotated[bool, typer.Option("--ndjson", help="Print one JSON object per record.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_names: Annotated[bool, typer.Option("--names", help="Print one name per line.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help=f"Exit with {HITS} if records match.")
    ] = False,
) -> int:
    """Find records by words, product, version, severity, weakness and date."""
    if in_json + as_lines + as_csv + as_names > 1:
        raise UsageError("--json, --ndjson, --csv and --names cannot be combined", hint="pass one of them")
    now = CLOCK.now()
    terms = Terms(
        words=tuple(words or ()),
        vendor=tuple(vendor or ()),
        product=tuple(product or ()),
        version=version,
        source=source,
        os=os,
        cwe=tuple(cwe or ()),
        severity=tuple(filter(None, (severity or "").split(","))),
        min_severity=min_severity,
        min_score=min_score,
        exploit=exploit,
        published_since=published_since,
        state=state,
    )
    conditions = msgspec.structs.replace(
        conditions_of(terms, now, Options()),
        changed_since=None if changed_since is None else moment(changed_since, now, "--changed-since"),
        changed_after=changed_after,
    )
    order = None if sort is None else one_of(sort, ORDERS, "--sort")
    of_group = None if group is None else one_of(group, GROUPS, "--count-by")
    forms: dict[Form, bool] = {"json": in_json, "ndjson": as_lines, "csv": as_csv, "names": as_names}
    form: Form = next((each for each, chosen in forms.items() if chosen), "table")
    invocation = options.invocation()
    with opened_store(invocation.settings, invocation.clock) as store, ExitStack() as opened:
        questions = [
            _Question(
                consumer, content, invocation.index_of(consumer, content), _on_platform(conditions, content)
            )
            for consumer, content in opened_contents(invocation, store, opened).items()
        ]
        if of_group is None:
            total = _print_hits(questions, order, limit, form)
        else:
            total = _print_counts(questions, of_group, limit, in_json=in_json)
    return HITS if total and exit_code else DONE


class _Question(NamedTuple):
    """The conditions for one content, and its index."""

    consumer: Consumer
    content: Inspection
    file: IndexFile
    conditions: Conditions


def _on_platform(conditions: Conditions, content: Inspection) -> Conditions:
    """With the CPE of the platform, and its own source unless you chose one, by the tables of the feed.
    Raises UsageError if the feed has none."""
    if (platform := conditions.platform) is None:
        return conditions
    conditions = on_platform(conditions, scanner_of(content.lookup(TABLES)))
    if conditions.source is None:
        raise UsageError(
            f"--os: the feed has no source for {platform.platform}", hint="--source nvd (or another source)"
        )
    return conditions


def _print_hits(questions: Sequence[_Question], order: Order | None, limit: int | None, form: Form) -> int:
    """Print the matching records. Returns their number."""
    most = _SHOWN if form == "table" and limit is None else limit
    answers = [
        Answer(
            each.consumer, each.content, each.conditions, *each.file.ask(partial(_search, each, order, most))
        )
        for each in questions
    ]
    total = sum(answer.hits.total for answer in answers)
    if form == "names":
        names = (name for answer in answers for name in answer.hits.names)
        for name in islice(names, limit):
            print_result(name)
        return total
    hits = islice((hit for answer in answers for hit in read_hits(answer)), most)
    several = len(answers) > 1
    match form:
        case "json":
            print_document({"total": total, "hits": [as_json(hit, several=several) for hit in hits]})
        case "ndjson":
            for hit in hits:
                print_json(to_json(as_json(hit, several=several)))
        case "csv":
            print_csv(COLUMNS, (as_json(hit, several=several) for hit in hits))
        case _:
            print_table(list(hits), total, answers)
    return total


def _search(
    question: _Question, order: Order | None, limit: int | None, index: Index
) -> tuple[Hits, dict[str, list[str]]]:
    conditions = question.conditions
    of_kinds = (("product", conditions.products), ("vendor", conditions.vendors))
    unknown = {name: near for kind, names in of_kinds for name, near in unknown_names(index, kind, names)}
    return search(index, conditions, order, limit), unknown


def _print_counts(
    questions: Sequence[_Question],
    group: Group,
    limit: int | None,
    *,
    in_json: bool,
) -> int:
    """Print how many of the matching records are in each group. Returns their number."""
    total, counts = 0, Counter[str]()
    for each in questions:
        number, groups = each.file.ask(partial(count_by, conditions=each.conditions, group=group))
        total += number
        for name, size in groups:
            counts[name] += size
    rows = list(counts.items()) if group in ("severity", "year") else counts.most_common()
    rows = rows[:limit]
    if in_json:
        print_document({"total": total, "groups": [{group: name, "records": size} for name, size in rows]})
        return total
    longest = max((size for _, size in rows), default=1)
    width = max((len(name) for name, _ in rows), default=0)
    for name, size in rows:
        bar = "#" * max(1, _BAR * size // longest) if sys.stdout.isatty() else ""
        print_result(f"{escape(name):<{width}}  {size:>9,}  {bar}".rstrip())
    print_result(counted(total, "record matches", "records match") if total else "no record matches")
    return total
