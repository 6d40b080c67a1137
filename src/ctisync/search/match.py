"""Which records of an index affect the packages of a host."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import product as pairs
from typing import Final, NamedTuple

from ctisync.core.facts import Affected
from ctisync.core.scanner import NVD, Package, Platform, Scanner, Source, is_on
from ctisync.core.versions import Assessment
from ctisync.search.index import Index

_NATIVE: Final = ("deb", "rpm", "pacman")
"""Formats of packages that come from the platform itself."""


class Match(NamedTuple):
    """A record, `name`, that affects the package, by an entry of `source`. `beyond`: Wazuh's scanner does not
    look there, because it takes the package for one of another vendor."""

    package: Package
    name: str
    source: Source
    product: Affected
    assessment: Assessment
    beyond: bool = False


class Matches(NamedTuple):
    """In the order of the packages; of a package, each record once. `in_records`: the number of packages
    whose name is in a record."""

    matches: list[Match]
    in_records: int


def find_matches(index: Index, scanner: Scanner, packages: Iterable[Package], platform: Platform) -> Matches:
    """What affects the packages on this platform. Raises Damaged."""
    cpe, native = scanner.cpe(platform), scanner.native_source(platform)
    matches, in_records = list[Match](), 0
    places_of: dict[frozenset[str], frozenset[int]] = {}
    for package in packages:
        places = [(source, False) for source in scanner.sources(package, platform)]
        if native is not None and package.format in _NATIVE and all(each.name == NVD for each, _ in places):
            places.append((native, True))
        names = frozenset(source.name for source, _ in places)
        if names not in places_of:
            places_of[names] = index.places(partial(_is_place, names, cpe, platform))
        of_package: dict[str, Match] = {}
        is_in_record = False
        for name in scanner.translated(package, platform):
            is_in_record = is_in_record or _is_in_record(index, name.name)
            for record, ranges in _candidates(index, name.name):
                products = index.products(ranges, places_of[names])
                for product, (source, beyond) in pairs(products, places):
                    assessment = scanner.assess(product, name, source, cpe, platform)
                    if assessment.affected == "no" or (advisory := _living(index, record)) is None:
                        continue
                    match = Match(package, advisory, source, product, assessment, beyond)
                    of_package[advisory] = _surer(match, of_package.get(advisory))
        matches += of_package.values()
        in_records += is_in_record
    return Matches(matches, in_records)


def _surer(match: Match, other: Match | None) -> Match:
    """The one that is sure; of two alike, one that the scanner finds, too, else the first."""
    if other is None:
        return match
    return min(other, match, key=lambda each: (each.assessment.affected != "yes", each.beyond))


def _is_place(
    sources: Collection[str], cpe: str, platform: Platform, source: str, platforms: Sequence[str]
) -> bool:
    """Whether products of this source, with these platforms, are of one of `sources` and on the platform."""
    return source in sources and is_on(platforms, cpe, platform)


_OF_PRODUCT: Final = "product = (SELECT id FROM names WHERE kind = 'product' AND name = ?)"


def _candidates(index: Index, product: str) -> Iterator[tuple[int, bytes]]:
    """The numbers of the records, living or dead, that name the product, and the row of `affected` of each.
    Only a few of them match, so their names are read later."""
    query = f"SELECT record, ranges FROM affected WHERE {_OF_PRODUCT}"  # noqa: S608  # ours
    return index.connection.execute(query, (product.lower(),))


def _living(index: Index, record: int) -> str | None:
    """The name of the record of this number; None for a dead one."""
    row = index.connection.execute("SELECT name FROM records WHERE id = ?", (record,)).fetchone()
    return None if row is None else str(row[0])


def _is_in_record(index: Index, product: str) -> bool:
    join = "affected JOIN records ON records.id = affected.record"
    query = f"SELECT 1 FROM {join} WHERE {_OF_PRODUCT} LIMIT 1"  # noqa: S608  # ours
    return index.connection.execute(query, (product.lower(),)).fetchone() is not None


def names_of_translations(index: Index, prefix: str) -> list[str]:
    """The names of the records that begin so."""
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    query = "SELECT name FROM records WHERE name >= ? AND name < ? ORDER BY name"
    return [name for (name,) in index.connection.execute(query, (prefix, end))]
