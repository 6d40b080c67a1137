"""A search in an index: the names of the matching records in their order, or how many a group has."""

from collections.abc import Collection, Iterator, Sequence
from difflib import SequenceMatcher
from os.path import commonprefix
from typing import Any, Final, Literal, NamedTuple, get_args

from ctisync.core.conditions import SEVERITIES, Answer, Conditions, sortable
from ctisync.core.phrases import as_query
from ctisync.search.index import Index

Order = Literal["relevance", "score", "published", "changed", "name"]
ORDERS: Final[tuple[Order, ...]] = get_args(Order)

Group = Literal["severity", "product", "vendor", "cwe", "year"]
GROUPS: Final[tuple[Group, ...]] = get_args(Group)

MOST_RANKED: Final = 50_000
"""Hits that are ordered by relevance; more take too long."""

_NEAREST: Final = 3
_MOST_SIMILAR: Final = 2_000

_MOST_OFFERED: Final = 100
"""Names that a shell offers."""
_LONGEST: Final = 2**31 - 1
_LAST: Final = "\U0010ffff"
"""Sorts after each character of a name."""

_ORDER_BY: Final[dict[Order, str]] = {
    "score": "ifnull(score, -1) DESC, published DESC, name DESC",
    "published": "published DESC, name DESC",
    "changed": "changed DESC, name DESC",
    "name": "name",
    # A word in a name counts more than one in a product, and that more than one in a text.
    "relevance": "bm25(words, 20.0, 5.0, 1.0), ifnull(score, -1) DESC, records.name DESC",
}

# With `+`, SQLite reads each list once, and does not look for each record in each of them.
_GROUPS: Final[dict[Group, str]] = {
    "severity": "SELECT severity, count(*) FROM records WHERE {} GROUP BY 1",
    "year": "SELECT substr(published, 1, 4), count(*) FROM records WHERE {} GROUP BY 1",
    "product": "SELECT names.name, count(*) FROM affected JOIN names ON names.id = product"
    " WHERE +record IN (SELECT id FROM records WHERE {}) GROUP BY product",
    "vendor": "SELECT names.name, count(*) FROM has JOIN names ON names.id = has.name AND kind = 'vendor'"
    " WHERE +record IN (SELECT id FROM records WHERE {}) GROUP BY has.name",
    "cwe": "SELECT 'CWE-' || names.name, count(*) FROM has JOIN names ON names.id = has.name AND kind = 'cwe'"
    " WHERE +record IN (SELECT id FROM records WHERE {}) GROUP BY has.name",
}


class _Filter(NamedTuple):
    """A condition on rows of `records`, as SQL with its values."""

    sql: str
    values: Sequence[Any] = ()


class Hits(NamedTuple):
    """The names of matching records in `order`, and the number of all of them. `unsure`: the names of those
    whose version cannot be compared with a bound, and `unsure_total` the number of all of these."""

    names: list[str]
    total: int
    order: Order
    unsure: frozenset[str]
    unsure_total: int


def search(
    index: Index, conditions: Conditions, order: Order | None = None, limit: int | None = None
) -> Hits:
    """The matching records, at most `limit` of them. `order`: None for relevance if there are words, else for
    the score; words that more than MOST_RANKED records have are ordered by the score, too. Raises Damaged."""
    selected, unsure = _select(index, conditions)
    matching = _matching(conditions)
    total = _count(index, _all(selected, *matching))
    order = order or "relevance"
    if order == "relevance" and (not matching or total > MOST_RANKED):
        order = "score"
    if order == "relevance":
        tables = "words JOIN records ON records.id = words.rowid"
        where = _all(_Filter("words MATCH ?", [as_query(conditions.phrases)]), selected)
    else:
        tables, where = "records", _all(selected, *matching)
    query = f"SELECT id, records.name FROM {tables} WHERE {where.sql} ORDER BY {_ORDER_BY[order]} LIMIT ?"  # noqa: S608  # ours
    rows = index.connection.execute(query, [*where.values, -1 if limit is None else limit]).fetchall()
    names = frozenset(name for number, name in rows if number in unsure)
    return Hits([name for _, name in rows], total, order, names, len(unsure))


def count_by(index: Index, conditions: Conditions, group: Group) -> tuple[int, list[tuple[str, int]]]:
    """The number of matching records, and of those in each group, the largest group first; severities and
    years in their own order. A record can be in several groups, or in none. Raises Damaged."""
    where = _all(_select(index, conditions)[0], *_matching(conditions))
    total = _count(index, where)
    rows = index.connection.execute(_GROUPS[group].format(where.sql), where.values).fetchall()
    if group == "severity":
        rows.sort(reverse=True)
        return total, [(SEVERITIES[level] if level >= 0 else "unknown", number) for level, number in rows]
    if group == "year":
        return total, sorted((year or "unknown", number) for year, number in rows)
    return total, sorted(((name, number) for name, number in rows if name), key=lambda row: (-row[1], row[0]))


def unknown_names(index: Index, kind: str, names: Collection[str]) -> Iterator[tuple[str, list[str]]]:
    """The names that no record has, each with the most similar ones. `kind`: "product" or "vendor"."""
    find = "SELECT 1 FROM names WHERE kind = ? AND name = ?"
    for name in sorted(names):
        if index.connection.execute(find, (kind, name)).fetchone() is None:
            yield name, _nearest(index, kind, name)


def completions(index: Index, kind: str, begin: str) -> list[str]:
    """The names that begin so. If they are many, their beginnings up to the first character in which they
    differ: a shell completes what all words of a list have in common, so no list may lack some. `kind`:
    "record", "product" or "vendor"."""
    table = "records" if kind == "record" else f"names WHERE kind = '{kind}'"
    names = f"(SELECT name FROM {table})"  # noqa: S608  # ours
    query = f"SELECT DISTINCT substr(name, 1, ?) FROM {names} WHERE name >= ? AND name < ? LIMIT ?"  # noqa: S608
    span = (begin, begin + _LAST)

    def beginnings(length: int, most: int) -> list[str]:
        return [name for (name,) in index.connection.execute(query, (length, *span, most))]

    if len(whole := beginnings(_LONGEST, _MOST_OFFERED + 1)) <= _MOST_OFFERED:
        return whole
    ends = f"SELECT min(name), max(name) FROM {names} WHERE name >= ? AND name < ?"  # noqa: S608
    common = commonprefix(index.connection.execute(ends, span).fetchone())  # noqa: RUF071  # no paths
    return beginnings(len(common) + 1, -1)


def _nearest(index: Index, kind: str, name: str) -> list[str]:
    """Names that begin alike, or contain the name."""
    similar = "SELECT name FROM names WHERE kind = ? AND (instr(name, ?) OR substr(name, 1, 2) = ?) LIMIT ?"
    rows = index.connection.execute(similar, (kind, name, name[:2], _MOST_SIMILAR))
    matcher = SequenceMatcher(b=name)

    def ratio(other: str) -> float:
        matcher.set_seq1(other)
        return matcher.ratio()

    return sorted((other for (other,) in rows), key=lambda other: (-ratio(other), other))[:_NEAREST]


def _select(index: Index, conditions: Conditions) -> tuple[_Filter, set[int]]:
    """What decides but for the words, and the numbers of the matching records that are not sure."""
    filters = _filters(conditions)
    is_of_places = conditions.has_place or conditions.version is not None
    places = index.places(conditions.is_place) if is_of_places else None
    if not conditions.products:
        if conditions.has_place:
            _select_places(index, places or ())
            filters = _all(
                filters, _Filter("id IN (SELECT record FROM has JOIN places ON places.id = has.name)")
            )
        return filters, set()
    answers = _by_products(index, conditions, places)
    execute = index.connection.execute
    execute("CREATE TEMP TABLE IF NOT EXISTS hits (id INTEGER PRIMARY KEY)")
    execute("DELETE FROM hits")
    index.connection.executemany("INSERT INTO hits VALUES (?)", ((number,) for number in answers))
    selected = _all(_Filter("id IN (SELECT id FROM hits)"), filters)
    unsure = {number for number, answer in answers.items() if answer == "perhaps"}
    if unsure:
        where = _all(selected, *_matching(conditions))
        query = f"SELECT id FROM records WHERE {where.sql}"  # noqa: S608  # columns
        unsure &= {number for (number,) in execute(query, where.values)}
    return selected, unsure


def _count(index: Index, where: _Filter) -> int:
    query = f"SELECT count(*) FROM records WHERE {where.sql}"  # noqa: S608  # columns
    return int(index.connection.execute(query, where.values).fetchone()[0])


def _all(*filters: _Filter) -> _Filter:
    values = [value for each in filters for value in each.values]
    return _Filter(" AND ".join(each.sql for each in filters) or "1", values)


def _matching(conditions: Conditions) -> list[_Filter]:
    """What the words decide."""
    if not conditions.phrases:
        return []
    return [_Filter("id IN (SELECT rowid FROM words WHERE words MATCH ?)", [as_query(conditions.phrases)])]


def _select_places(index: Index, numbers: Collection[int]) -> None:
    """The numbers of the places where a product can be are then in the table `places`."""
    index.connection.execute("CREATE TEMP TABLE IF NOT EXISTS places (id INTEGER PRIMARY KEY)")
    index.connection.execute("DELETE FROM places")
    index.connection.executemany("INSERT INTO places VALUES (?)", ((number,) for number in numbers))


def _filters(conditions: Conditions) -> _Filter:
    """What the columns of `records` and the lists decide."""
    parts: list[_Filter] = []
    for kind, names in (
        ("vendor", () if conditions.products else conditions.vendors),  # else it is the product's
        ("cwe", {str(number) for number in conditions.cwes}),
    ):
        if names:
            records = f"SELECT record FROM has WHERE name IN ({_numbers_of(kind, names)})"  # noqa: S608  # marks
            parts.append(_Filter(f"id IN ({records})", sorted(names)))
    if conditions.severities:
        levels = ", ".join(str(SEVERITIES.index(each)) for each in conditions.severities)
        parts.append(_Filter(f"severity IN ({levels})"))
    if conditions.exploit:
        parts.append(_Filter("exploit"))
    score, published = conditions.min_score, conditions.published_since
    changed = conditions.changed_since
    for comparison, value in (
        ("score >= ?", None if score is None else float(score)),
        ("state = ?", conditions.state),
        ("published >= ?", None if published is None else sortable(published)),
        ("changed >= ?", None if changed is None else sortable(changed)),
        ("offset > ?", conditions.changed_after),
    ):
        if value is not None:
            parts.append(_Filter(comparison, [value]))
    return _all(*parts)


def _by_products(index: Index, conditions: Conditions, places: Collection[int] | None) -> dict[int, Answer]:
    """By the number of a record, living or dead: whether one of its products has what is asked of one.
    `places`: where it can be; None for anywhere."""
    numbers = _numbers_of("product", conditions.products)
    query = f"SELECT record, ranges FROM affected WHERE product IN ({numbers})"  # noqa: S608  # marks
    answers: dict[int, Answer] = {}
    for record, ranges in index.connection.execute(query, sorted(conditions.products)):
        if answers.get(record) == "yes":
            continue
        if not conditions.of_one_product:
            answers[record] = "yes"
            continue
        of_each = {conditions.of_product(each) for each in index.products(ranges, places)}
        if "yes" in of_each:
            answers[record] = "yes"
        elif "perhaps" in of_each:
            answers[record] = "perhaps"
    return answers


def _numbers_of(kind: str, names: Collection[str]) -> str:
    return f"SELECT id FROM names WHERE kind = '{kind}' AND name IN ({', '.join('?' * len(names))})"  # noqa: S608
