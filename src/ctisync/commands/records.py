"""`ctisync show`: records, as text or as stored. `ctisync log`: the records that the last passes changed."""

import sys
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from itertools import islice
from typing import Annotated, Final

import msgspec
import typer

from ctisync import hints
from ctisync.cli.invocation import (
    CLOCK,
    CommonOptions,
    Invocation,
    JsonLinesOption,
    JsonOption,
    command,
    names_in_index,
)
from ctisync.console import rfc3339
from ctisync.core import wire
from ctisync.core.facts import Affected, Facts, Score, VersionRange, Weakness, facts_of
from ctisync.core.model import Consumer
from ctisync.core.pass_report import LogEntry, log_entries
from ctisync.core.words import moment, noun_for
from ctisync.errors import DONE, UsageError
from ctisync.escaping import escape, quoted, to_json
from ctisync.ports import Inspection, Store
from ctisync.settings.model import MOST_PASSES
from ctisync.stores.invariants import no_content
from ctisync.system.process import print_json, print_result
from ctisync.wiring import opened_store

_WIDTH: Final = 100
_MOST_ROWS: Final = 20
"""Rows of affected products, of references and of fields; a CVE of the Linux kernel has hundreds."""

_MOST_PLATFORMS: Final = 6
"""Platforms of an affected product; some have 200."""

_LABEL: Final = 11
"""Characters of a label, at least."""
_LONGEST_LABEL: Final = 40

_MOST_NAMES: Final = 3
"""Names in a hint."""
_NEIGHBOURS: Final = 10
"""Names before and after the missing one, of which a hint has the most similar."""

_NO_BEGIN: Final = ("", "0", "*", "n/a")
"""Versions that mean: from the first one on."""


@command()
def show(
    options: CommonOptions,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME",
            help="Name of a record: CVE-2024-3094, indicator/12345; repeat for more. Without --consumer, "
            "ctisync looks in all configured consumers.",
            autocompletion=names_in_index("record"),
        ),
    ],
    as_json: JsonOption = False,
) -> int:
    """Print the main facts of one or more records: severity, affected products, references."""
    invocation = options.invocation()
    records, missing = _find(invocation, names)
    for number, (consumer, line) in enumerate(records):
        if as_json:
            print_json(as_stored(line))
        else:
            owner = consumer if len(invocation.consumers) > 1 else None
            print_result("\n" * (number > 0) + as_text(line, owner))
    if missing is not None:
        raise missing
    return DONE


def _find(
    invocation: Invocation, names: Collection[str]
) -> tuple[list[tuple[Consumer, bytes]], UsageError | None]:
    """The lines of these records, of each consumer that has them, and an error that names the missing ones,
    with the nearest names.

    Raises EmptyStore if no consumer has a content.
    """
    spelled = {spelling for name in names for spelling in _spellings(name)}
    with opened_store(invocation.settings, invocation.clock) as store, ExitStack() as opened:
        contents = opened_contents(invocation, store, opened)
        rows = {consumer: content.lookup(spelled) for consumer, content in contents.items()}
        stored, missing = [], []
        for name in dict.fromkeys(names):
            lines = [
                (consumer, each[spelling].line)
                for consumer, each in rows.items()
                if (spelling := _spelling(name, each)) is not None
            ]
            stored += lines
            missing += [] if lines else [name]
        if not missing:
            return stored, None
        hint = _nearest(missing[0], *contents.values())
    records = f"{noun_for(len(missing), 'record')} {', '.join(missing)}"
    return stored, UsageError(f"{_have_no(contents)} {records}", hint=hint)


def opened_contents(invocation: Invocation, store: Store, opened: ExitStack) -> dict[Consumer, Inspection]:
    """The contents of the consumers that have one; `opened` closes them. Raises EmptyStore if none has."""
    contents: dict[Consumer, Inspection] = {}
    for consumer in invocation.consumers:
        content = opened.enter_context(store.inspect(consumer))
        if content.generation is not None:
            invocation.warn_of_hidden(content.hidden(), consumer)
            contents[consumer] = content
        elif consumer == invocation.consumers[-1] and not contents:
            raise no_content(store.name, consumer, content.state)
    return contents


def _spellings(name: str) -> tuple[str, ...]:
    """The names that `name` may stand for: in upper case, or without its `CVE-`. Raises UsageError for a
    name that is not UTF-8: a store cannot look it up."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name} is not a valid record name") from None
    return tuple(dict.fromkeys((name, name.upper(), f"CVE-{name.upper()}")))


def _spelling(name: str, names: Collection[str]) -> str | None:
    """The spelling of the record among `names`, if it is there."""
    return next((each for each in _spellings(name) if each in names), None)


def _nearest(name: str, *contents: Inspection) -> str | None:
    """A hint with some of the names that sort next to it; the most similar first."""
    from difflib import SequenceMatcher  # only for a record that is missing

    names = dict.fromkeys(
        near
        for content in contents
        for each in _spellings(name)
        for near in content.neighbours(each, _NEIGHBOURS)
    )
    similar = sorted(names, key=lambda each: -SequenceMatcher(None, name.upper(), each.upper()).ratio())
    return f"the nearest are {', '.join(map(quoted, similar[:_MOST_NAMES]))}" if similar else None


def _have_no(consumers: Collection[Consumer]) -> str:
    """The begin of the message for a missing record."""
    return f"{' and '.join(map(str, consumers))} {'has' if len(consumers) == 1 else 'have'} no"


def as_stored(line: bytes) -> str:
    """The stored record, indented; numbers keep their exact digits."""
    return msgspec.json.format(line).decode()


def as_text(line: bytes, owner: Consumer | None = None) -> str:
    """The main facts of the record. `owner`: its consumer,
    to be named."""
    try:
        facts = facts_of(line)
    except ValueError:  # a number beyond all bounds, which a load does not decode
        record = wire.record(line)
        command = _json_command(record.name)
        return f"{escape(record.name)}   offset {record.offset:,}\n  full record  {escape(command)}"
    command = _json_command(facts.name)
    head = [f"{facts.name}   offset {facts.offset:,}"]
    if owner is not None:
        head.append(f"of {owner}")
    if facts.version is not None:
        head.append(f"version {facts.version}")
    if facts.inserted_at:
        head.append(f"in the feed since {facts.inserted_at[:10]}")
    labelled = _labelled(facts, command)
    width = max(_LABEL, *(len(label) for label, _ in labelled))
    rows = [row for label, texts in labelled for row in _rows(label, texts, width)]
    return "\n".join(map(escape, [", ".join(head), *rows]))


def _labelled(facts: Facts, command: str) -> list[tuple[str, Sequence[str]]]:
    dates = [
        f"{word} {date[:10]}"
        for word, date in (("published", facts.published), ("updated", facts.updated))
        if date
    ]
    labelled: list[tuple[str, Sequence[str]]] = [
        ("type", [facts.kind]),
        ("title", [facts.title]),
        ("state", [", ".join(filter(None, [facts.state, *dates]))]),
        (
            "severity",
            _distinct(map(_score, sorted(facts.scores, key=lambda score: score.cvss, reverse=True))),
        ),
        ("weakness", _distinct(map(_weakness, facts.weaknesses))),
        ("description", [facts.description]),
        ("affected", _first(_distinct(map(_product, facts.affected)), command)),
        ("references", _first(_distinct(each.url for each in facts.references), command)),
    ]
    labelled += [(name[:_LONGEST_LABEL], [text]) for name, text in facts.fields[:_MOST_ROWS]]
    if len(facts.fields) > _MOST_ROWS:
        labelled.append(("more fields", [command]))
    if not any(any(texts) for _, texts in labelled):
        return [("fields", [", ".join(facts.keys)]), ("full record", [command])]
    return labelled


def _score(score: Score) -> str:
    """`7.5 HIGH (CVSS 3.1, AV:N/AC:L)`."""
    base = "" if score.base is None else str(score.base)
    text = " ".join(filter(None, [base, score.severity])) or "no score"
    return f"{text} ({', '.join(filter(None, [f'CVSS {score.cvss}', score.vector]))})"


def _weakness(weakness: Weakness) -> str:
    """`CWE-20 Improper Input Validation`; the description of some has the number already."""
    if weakness.description.startswith(weakness.cwe):
        return weakness.description
    return f"{weakness.cwe} {weakness.description}".rstrip()


def _product(product: Affected) -> str:
    """`acme wall: < 1.2, 2.0 to <= 2.3 (debian: bookworm, trixie)`. Empty for one that is not affected."""
    versions = ranges_as_text(product)
    if not versions and product.default_status != "affected" and product.is_listed:
        return ""
    name = f"{product.vendor} {product.product}".strip()
    platforms = ", ".join(product.platforms[:_MOST_PLATFORMS])
    if (rest := len(product.platforms) - _MOST_PLATFORMS) > 0:
        platforms += f" and {rest} more"
    where = ": ".join(filter(None, [product.source, platforms]))
    return ": ".join(filter(None, [name, versions])) + (f" ({where})" if where else "")


def ranges_as_text(product: Affected) -> str:
    """The affected versions: `< 1.2, 2.0 to <= 2.3`."""
    return ", ".join(_distinct(range_as_text(each) for each in product.ranges if each.status == "affected"))


def range_as_text(versions: VersionRange) -> str:
    """`1.2`, `< 1.3`, `1.2 to < 1.3`."""
    if versions.less_than:
        end = f"< {versions.less_than}"
    elif versions.less_than_or_equal:
        end = f"<= {versions.less_than_or_equal}"
    else:
        return versions.version
    return end if versions.version in _NO_BEGIN else f"{versions.version} to {end}"


def _distinct(texts: Iterable[str]) -> list[str]:
    """In their order, without empty and repeated ones."""
    return list(dict.fromkeys(filter(None, texts)))


def _first(texts: list[str], command: str) -> list[str]:
    if len(texts) <= _MOST_ROWS:
        return texts
    return [*texts[:_MOST_ROWS], f"and {len(texts) - _MOST_ROWS} more: {command}"]


def _json_command(name: str) -> str:
    """The command that shows the whole record."""
    word = quoted(name)
    return hints.command("show", f"--json -- {word}" if name.startswith("-") else f"{word} --json")


def _rows(label: str, texts: Iterable[str], width: int) -> Iterator[str]:
    """Each text on its own line; the first line has the label."""
    for text in texts:
        for line in textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False):
            yield f"  {label:<{width}}  {line}"
            label = ""


@command()
def log(
    options: CommonOptions,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Only this record: CVE-2024-3094.", autocompletion=names_in_index("record")
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only from then on: 24h, 7d, 2026-11-24, 2026-11-24T07:30Z."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only before then; forms as for --since.")
    ] = None,
    resource: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Only records whose name matches: 'CVE-2024-*'.")
    ] = None,
    last: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Maximum number of lines; 100 by default without --since."),
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
            print_json(_entry_as_json(consumer, entry))
        else:
            owner = f"{consumer}  " if len(invocation.consumers) > 1 else ""
            print_result(owner + escape(_entry_as_text(entry)))
    if is_empty and not as_json:
        text = "no pass in the history changed " + ("any record" if name is None else name)
        is_selected = (since, until, resource) != (None, None, None)
        print_result(f"{text}, as far as the options select" if is_selected else text)
    return DONE


def _filter(since: str | None, until: str | None, resource: str | None) -> Callable[[LogEntry], bool]:
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
    invocation: Invocation, resource: str | None, matches: Callable[[LogEntry], bool], most: int | None
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
    spelled, names, hint = _spellings(name), dict[Consumer, str | None](), None
    for consumer in consumers:
        with store.inspect(consumer) as content:
            spelling = _spelling(name, content.lookup(spelled))
            if spelling is None:
                passes = store.passes(consumer, MOST_PASSES, touched=True)
                touched = (each.resource for report in passes for each in report.touched)
                spelling = next((each for each in touched if each in spelled), None)
            if spelling is not None:
                names[consumer] = spelling
            elif content.count() is None:
                names[consumer] = name
            else:
                hint = hint or _nearest(name, content)
    if not names:
        text = f"{_have_no(consumers)} record {name}, and no pass in the history changed it"
        raise UsageError(text, hint=hint)
    return names


def _entry_as_json(consumer: Consumer, entry: LogEntry) -> str:
    fields = {"consumer": str(consumer)} | msgspec.to_builtins(entry)
    return to_json({name: value for name, value in fields.items() if value is not None})


def _entry_as_text(entry: LogEntry) -> str:
    at, offset = rfc3339(entry.at), f"{entry.offset:>12,}"
    match entry.how:
        case "loaded":
            what = f"all records, as in the snapshot of offset {entry.offset:,}"
        case "untold":
            what = f"the history has no details of the changes after offset {entry.from_offset or 0:,}"
        case _:
            what = entry.resource
    return f"{at}  {offset}  {entry.how:<8} {what}"
