"""The records that match a search, as a table, as JSON and as CSV."""

import csv
import io
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from rich.table import Table

from ctisync import hints
from ctisync.commands.printing import cell, drawn
from ctisync.commands.records import ranges_as_text
from ctisync.core.conditions import Conditions, as_hit
from ctisync.core.facts import Facts, facts_of_record
from ctisync.core.model import Consumer
from ctisync.core.words import counted
from ctisync.escaping import quoted
from ctisync.ports import Inspection
from ctisync.search.index import batched
from ctisync.search.query import MOST_RANKED, Hits
from ctisync.system.process import print_drawn, print_result

_AT_ONCE: Final = 50
"""Records read at once: each can have some MB."""
_WIDEST: Final = 28
"""Characters of a product or a range in a table."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
COLUMNS: Final = ("name", "severity", "score", "published", "changed", "title")


class Hit(NamedTuple):
    """A record that matches `conditions`. `is_sure`: no version of it would have to be compared that cannot
    be."""

    consumer: Consumer
    conditions: Conditions
    facts: Facts
    is_sure: bool


class Answer(NamedTuple):
    """`unknown`: names that you asked for and no record has, each with the most similar ones."""

    consumer: Consumer
    content: Inspection
    conditions: Conditions
    hits: Hits
    unknown: dict[str, list[str]]


def read_hits(answer: Answer) -> Iterator[Hit]:
    """The records of the answer, in its order."""
    for names in batched(answer.hits.names, _AT_ONCE):
        records = answer.content.lookup(names)
        for name in names:
            if name in records:
                facts = facts_of_record(records[name])
                yield Hit(answer.consumer, answer.conditions, facts, name not in answer.hits.unsure)


def as_json(hit: Hit, *, several: bool) -> dict[str, Any]:
    """The members of a hit, for programs. `several`: with its consumer."""
    consumer = {"consumer": str(hit.consumer)} if several else {}
    return consumer | as_hit(hit.facts, is_sure=hit.is_sure)


def print_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A row for each of `rows`, with these members. A cell that a spreadsheet would take for a formula begins
    with a quote."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        cells = ("" if row[name] is None else str(row[name]) for name in columns)
        writer.writerow([f"'{each}" if each.startswith(_FORMULA) else each for each in cells])
    print_result(text.getvalue().removesuffix("\n"))


def print_table(hits: Sequence[Hit], total: int, answers: Sequence[Answer]) -> None:
    if hits:
        print_drawn(drawn(sys.stdout, lambda console: console.print(_table(hits))))
    unsure = sum(answer.hits.unsure_total for answer in answers)
    text = counted(total, "record matches", "records match") if total else "no record matches"
    if unsure:
        text += f"; of {unsure:,} (marked ?), the version cannot be compared"
    if answers[0].conditions.version is not None:
        text += (
            f"; versions by {', '.join({str(each.conditions.source_of_version): None for each in answers})}"
        )
    if (
        any(each.hits.order == "score" and each.conditions.phrases for each in answers)
        and total > MOST_RANKED
    ):
        text += f"; more than {MOST_RANKED:,} are ordered by score"
    if total > len(hits):
        text += f"; these are the first {len(hits):,} (--limit)"
    print_result(text)
    for answer in answers:
        for name, near in answer.unknown.items():
            nearest = f": the nearest are {', '.join(map(quoted, near))}" if near else ""
            print_result(f"no record of {answer.consumer} names {name}{nearest}")
    if hits:
        print_result(f"one of them: {hints.command('show', quoted(hits[0].facts.name))}")


def _table(hits: Sequence[Hit]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)
    for heading in ("severity", "score", "product", "range", "published"):
        table.add_column(heading, no_wrap=True, overflow="ellipsis", max_width=_WIDEST)
    table.add_column("title", no_wrap=True, overflow="ellipsis")
    for hit in hits:
        facts, score = hit.facts, hit.facts.score
        product = next((each for each in facts.affected if hit.conditions.of_product(each) != "no"), None)
        product = product or next(iter(facts.affected), None)
        table.add_row(
            cell(facts.name if hit.is_sure else f"{facts.name} ?"),
            cell(score.level or "" if score else ""),
            cell("" if score is None else str(score.base)),
            cell("" if product is None else product.product),
            cell("" if product is None else ranges_as_text(product)),
            cell(facts.published[:10]),
            cell(facts.title or facts.description or facts.kind),
        )
    return table
