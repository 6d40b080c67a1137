"""Which records of an index affect the packages of a host."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from ctisync.core.facts import Affected
from ctisync.core.scanner import NVD, Package, Platform, Scanner, Source
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
    for package in packages:
        places = [(source, False) for source in scanner.sources(package, platform)]
        if native is not None and package.format in _NATIVE and all(each.name == NVD for each, _ in places):
            places.append((native, True))
        of_package: dict[str, Match] = {}
        is_in_record = False
        for name in scanner.translated(package, platform):
            for record, product in _candidates(index, name.name):
                is_in_record = True
                for source, beyond in places:
                    assessment = scanner.assess(product, name, source, cpe, platform)
                    if assessment.affected != "no":
                        match = Match(package, record, source, product, assessment, beyond)
                        of_package[record] = _surer(match, of_package.get(record))
        matches += of_package.values()
        in_records += is_in_record
    return Matches(matches, in_records)


def _surer(match: Match, other: Match | None) -> Match:
    """The one that is sure; of two alike, one that the scanner finds, too, else the first."""
    if other is None:
        return match
    return min(other, match, key=lambda each: (each.assessment.affected != "yes", each.beyond))


def _candidates(index: Index, product: str) -> Iterator[tuple[str, Affected]]:
    """The names of the records that name the product, and what they say of it."""
    query = (
        "SELECT records.name, ranges FROM affected JOIN records ON records.id = affected.record"
        " WHERE product = (SELECT id FROM names WHERE kind = 'product' AND name = ?)"
    )
    for name, ranges in index.connection.execute(query, (product.lower(),)):
        for each in index.products(ranges):
            yield name, each


def names_of_translations(index: Index, prefix: str) -> list[str]:
    """The names of the records that begin so."""
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    query = "SELECT name FROM records WHERE name >= ? AND name < ? ORDER BY name"
    return [name for (name,) in index.connection.execute(query, (prefix, end))]
