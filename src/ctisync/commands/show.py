"""`ctisync show`: records, as text or as stored."""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Annotated, Final

import msgspec
import typer

from ctisync.cli.app import app
from ctisync.cli.invocation import CommonOptions, Invocation, JsonOption, common
from ctisync.core import wire
from ctisync.core.model import Consumer
from ctisync.core.record_facts import Product, RecordFacts, Score, VersionRange, Weakness, record_facts
from ctisync.core.words import noun_for
from ctisync.errors import DONE, UsageError
from ctisync.escaping import escape, quoted
from ctisync.ports import Inspection
from ctisync.stores.invariants import no_content
from ctisync.system.process import print_json, print_result
from ctisync.wiring import opened_store

_WIDTH: Final = 100
_MOST_ROWS: Final = 20
"""Rows of affected products, of references and of fields; a CVE of the Linux kernel has hundreds."""

_LABEL: Final = 11
"""Characters of a label, at least."""
_LONGEST_LABEL: Final = 40

_MOST_NAMES: Final = 3
"""Names in a hint."""
_NEIGHBOURS: Final = 10
"""Names before and after the missing one, of which a hint has the most similar."""

_NO_BEGIN: Final = ("", "0", "*", "n/a")
"""Versions that mean: from the first one on."""


@app.command()
@common()
def show(
    options: CommonOptions,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME",
            help="Name of a record: CVE-2024-3094, indicator/12345; repeat for more. Without --consumer, "
            "ctisync looks in all configured consumers.",
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
            print_result("\n" * (number > 0) + as_text(line, invocation.console.hint, owner))
    if missing is not None:
        raise missing
    return DONE


def _find(
    invocation: Invocation, names: Sequence[str]
) -> tuple[list[tuple[Consumer, bytes]], UsageError | None]:
    """The lines of these records, of each consumer that has them, and an error that names the missing ones,
    with the nearest names.

    Raises EmptyStore if no consumer has a content.
    """
    spelled = {name: spellings(name) for name in names}
    with opened_store(invocation.settings, invocation.clock) as store, ExitStack() as opened:
        contents: dict[Consumer, Inspection] = {}
        for consumer in invocation.consumers:
            content = opened.enter_context(store.inspect(consumer))
            if content.count() is not None:
                invocation.warn_of_hidden(content.hidden(), consumer)
                contents[consumer] = content
            elif consumer == invocation.consumers[-1] and not contents:
                raise no_content(store.name, consumer, content.state)
        lines: dict[str, list[tuple[Consumer, bytes]]] = {name: [] for name in spelled}
        for consumer, content in contents.items():
            rows = content.lookup({each for spelling in spelled.values() for each in spelling})
            for name, spelling in spelled.items():
                lines[name] += [(consumer, rows[each].line) for each in spelling if each in rows][:1]
        missing = [name for name, each in lines.items() if not each]
        hint = nearest(missing[0], *contents.values()) if missing else None
    stored = [one for each in lines.values() for one in each]
    if not missing:
        return stored, None
    owners, has = " and ".join(map(str, contents)), "has" if len(contents) == 1 else "have"
    noun = noun_for(len(missing), "record")
    return stored, UsageError(f"{owners} {has} no {noun} {', '.join(missing)}", hint=hint)


def spellings(name: str) -> tuple[str, ...]:
    """The names that `name` may stand for: in upper case, or without its `CVE-`. Raises UsageError for a
    name that is not UTF-8: a store cannot look it up."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name} is not a valid record name") from None
    return tuple(dict.fromkeys((name, name.upper(), f"CVE-{name.upper()}")))


def nearest(name: str, *contents: Inspection) -> str | None:
    """A hint with some of the names that sort next to it; the most similar first."""
    from difflib import SequenceMatcher  # only for a record that is missing

    names = dict.fromkeys(
        near
        for content in contents
        for each in spellings(name)
        for near in content.neighbours(each, _NEIGHBOURS)
    )
    similar = sorted(names, key=lambda each: -SequenceMatcher(None, name.upper(), each.upper()).ratio())
    return f"the nearest are {', '.join(map(quoted, similar[:_MOST_NAMES]))}" if similar else None


def as_stored(line: bytes) -> str:
    """The stored record, indented; numbers keep their exact digits."""
    return msgspec.json.format(line).decode()


def as_text(line: bytes, hint: Callable[[str], str] = str, owner: Consumer | None = None) -> str:
    """The main facts of the record; `hint` formats the command that shows all of it. `owner`: its consumer,
    to be named."""
    try:
        facts = record_facts(line)
    except ValueError:  # a number beyond all bounds, which a load does not decode
        record = wire.record(line)
        command = hint(_json_command(record.name))
        return f"{escape(record.name)}   offset {record.offset:,}\n  full record  {escape(command)}"
    command = hint(_json_command(facts.name))
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


def _labelled(facts: RecordFacts, command: str) -> list[tuple[str, Sequence[str]]]:
    dates = [
        f"{word} {date[:10]}"
        for word, date in (("published", facts.published), ("updated", facts.updated))
        if date
    ]
    labelled: list[tuple[str, Sequence[str]]] = [
        ("type", [facts.kind]),
        ("title", [facts.title]),
        ("state", [", ".join(filter(None, [facts.state, *dates]))]),
        ("severity", _distinct(map(_score, facts.scores))),
        ("weakness", _distinct(map(_weakness, facts.weaknesses))),
        ("description", [facts.description]),
        ("affected", _first(_distinct(map(_product, facts.affected)), command)),
        ("references", _first(_distinct(facts.references), command)),
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


def _product(product: Product) -> str:
    """`acme wall: < 1.2, 2.0 to <= 2.3`."""
    name = f"{product.vendor} {product.name}".strip()
    ranges = ", ".join(_distinct(map(_range, product.ranges)))
    return f"{name}: {ranges}" if ranges else name


def _range(versions: VersionRange) -> str:
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
    return f"ctisync show --json -- {word}" if name.startswith("-") else f"ctisync show {word} --json"


def _rows(label: str, texts: Iterable[str], width: int) -> Iterator[str]:
    """Each text on its own line; the first line has the label."""
    for text in texts:
        for line in textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False):
            yield f"  {label:<{width}}  {line}"
            label = ""
