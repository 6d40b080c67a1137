"""What a content has, for the page of `ctisync history --html`: as its search index has it."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from ctisync.cli.invocation import Invocation
from ctisync.core.facts import Facts, facts_of_record
from ctisync.core.model import Consumer
from ctisync.errors import StoreUnavailable
from ctisync.host_files import index_path
from ctisync.ports import Store

if TYPE_CHECKING:
    from ctisync.search.index import Index

_MOST: Final = 10
_MOST_YEARS: Final = 40
"""A feed can have records of any year."""


class Group(NamedTuple):
    """Numbers of records by name."""

    title: str
    rows: list[tuple[str, int]]

    def shares(self) -> Iterator[tuple[str, int, float]]:
        """Each name with its number, and this in percent of the largest one."""
        largest = max((number for _, number in self.rows), default=1)
        return ((name, number, 100 * number / largest) for name, number in self.rows)


class Advisory(NamedTuple):
    name: str
    published: str
    score: str
    title: str


class Counts(NamedTuple):
    """As of `offset`. `critical`: the names of the newest critical advisories."""

    offset: int
    records: int
    groups: list[Group]
    critical: list[str]


class Overview(NamedTuple):
    """`offset`: of the content, which may be above that of the counts."""

    offset: int
    counts: Counts
    newest: list[Advisory]


def overview_of(invocation: Invocation, store: Store, consumer: Consumer) -> Overview | None:
    """None if there is no index of this content. Neither makes nor updates one."""
    path = None
    with suppress(StoreUnavailable):  # no place for one
        path = index_path(invocation.settings, consumer)
    if path is None or not path.exists():
        return None
    from ctisync.search.file import read_stored

    with store.inspect(consumer) as content:
        counted = read_stored(path, partial(_counted, content.generation))
        if counted is None:
            return None
        stored = content.lookup(counted.critical)
        facts = [facts_of_record(stored[name]) for name in counted.critical if name in stored]
        return Overview(content.state.offset, counted, list(map(_advisory, facts)))


def _counted(generation: str | None, index: "Index") -> Counts | None:
    from ctisync.core.conditions import Conditions
    from ctisync.search.query import count_by, search

    if index.generation != generation:
        return None
    everything = Conditions()
    records, severities = count_by(index, everything, "severity")
    _, years = count_by(index, everything, "year")
    groups = [
        Group("Severity", severities),
        Group("Vendor", count_by(index, everything, "vendor")[1][:_MOST]),
        Group("Product", count_by(index, everything, "product")[1][:_MOST]),
        Group("Year of publication", sorted(years, key=_year, reverse=True)[:_MOST_YEARS]),
    ]
    critical = search(index, Conditions(severities=frozenset({"critical"})), "published", _MOST)
    return Counts(index.offset, records, groups, critical.names)


def _year(row: tuple[str, int]) -> str:
    """Sorts those without a year before all others."""
    return row[0] if row[0].isdigit() else ""


def _advisory(facts: Facts) -> Advisory:
    score = "" if facts.score is None else str(facts.score.base)
    return Advisory(facts.name, facts.published[:10], score, facts.title or facts.description)
