"""The index of a content: an SQLite file, derived from it and made anew whenever that is simpler.

`records` has a row per record, by a number. A changed record gets a new number: what the full-text index and
the other tables have of the old one stays, and joins nothing; when a quarter of all is dead, the index is
made anew. `affected` has a row per product and record: all ranges of that product, packed, so that a version
is looked up without reading a record.
"""

import sqlite3
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec
import zstandard

from ctisync.core.conditions import SEVERITIES, cwe_numbers, searchable, utc_text
from ctisync.core.facts import Affected, Change, Facts, VersionRange, facts_of_record
from ctisync.core.model import Record
from ctisync.ports import Inspection

FORM: Final = 1
"""Raise it whenever the tables or what is in them changes: an index of another form is made anew."""

APPLICATION_ID: Final = 0x43544958
"""Marks a file of ctisync in its header ("CTIX")."""

_SAMPLE: Final = 4000
"""Rows of `affected` from which the dictionary is made."""
_DICTIONARY_BYTES: Final = 16_384

BYTES_AT_ONCE: Final = 2 << 20
"""Of records, between two writes."""

_DEAD_SHARE: Final = 4

_TABLES: Final = (
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {FORM}",
    "CREATE TABLE content (generation TEXT NOT NULL, offset INTEGER NOT NULL, highest INTEGER NOT NULL)",
    "CREATE TABLE dictionary (content BLOB NOT NULL)",
    """
    CREATE TABLE records (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        offset INTEGER NOT NULL,
        severity INTEGER NOT NULL,
        score REAL,
        state TEXT NOT NULL,
        published TEXT NOT NULL,
        changed TEXT NOT NULL,
        exploit INTEGER NOT NULL
    )
    """,
    """
    CREATE VIRTUAL TABLE words USING fts5 (
        name, products, text, content = '', tokenize = 'unicode61 remove_diacritics 2'
    )
    """,
    """
    CREATE TABLE names (
        id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (kind, name)
    )
    """,
    """
    CREATE TABLE affected (
        product INTEGER NOT NULL, record INTEGER NOT NULL, ranges BLOB NOT NULL, PRIMARY KEY (product, record)
    ) WITHOUT ROWID
    """,
    "CREATE TABLE has (name INTEGER, record INTEGER, PRIMARY KEY (name, record)) WITHOUT ROWID",
    # The rows of a new index, until they are sorted.
    "CREATE TEMP TABLE new_affected (product INTEGER, record INTEGER, ranges BLOB)",
    "CREATE TEMP TABLE new_has (name INTEGER, record INTEGER)",
)

# When all rows are there: sorted once, which is faster than row by row.
_SORTED: Final = (
    "INSERT INTO affected SELECT * FROM new_affected ORDER BY product, record",
    "INSERT INTO has SELECT * FROM new_has ORDER BY name, record",
    "CREATE UNIQUE INDEX records_by_name ON records (name)",
    "CREATE INDEX records_by_score ON records (score)",
    "INSERT INTO words (words) VALUES ('optimize')",
)


class Damaged(Exception):
    """The index cannot be used, and is made anew."""


_PackedRange = tuple[str, str, str, str, tuple[tuple[str, str], ...]]


class PackedProduct(msgspec.Struct, frozen=True, array_like=True):
    """An affected product in a row of `affected`. `place`: the number of its source and platforms in `names`;
    `ranges`: version, less_than, less_than_or_equal, status, and the changes."""

    place: int
    vendor: str
    product: str
    default_status: str
    is_listed: bool
    ranges: tuple[_PackedRange, ...]


_packing: Final = msgspec.msgpack.Encoder()
_unpacking: Final = msgspec.msgpack.Decoder(list[PackedProduct])
_place_decoder: Final = msgspec.json.Decoder(list[str])


class Index:
    """An open index, as of `offset` of the content `generation`. Raises Damaged for one that is not whole."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        rows = connection.execute("SELECT generation, offset FROM content").fetchall()
        if len(rows) != 1:
            raise Damaged
        self.generation: str = rows[0][0]
        self.offset: int = rows[0][1]
        dictionary = connection.execute("SELECT content FROM dictionary").fetchone()
        self._zstd = zstandard.ZstdDecompressor(
            dict_data=None if dictionary is None else zstandard.ZstdCompressionDict(dictionary[0])
        )
        self._places: dict[int, tuple[str, tuple[str, ...]]] = {}

    def products(self, ranges: bytes, places: Container[int] | None = None) -> Iterator[Affected]:
        """The affected products of a row of `affected`; only those in these places, if there are any. Raises
        Damaged."""
        try:
            for each in _unpacking.decode(self._zstd.decompress(ranges)):
                if places is not None and each.place not in places:
                    continue
                source, platforms = self._place(each.place)
                yield Affected(
                    source,
                    each.vendor,
                    each.product,
                    platforms,
                    each.default_status,
                    tuple(map(_range, each.ranges)),
                    each.is_listed,
                )
        except (zstandard.ZstdError, msgspec.DecodeError) as error:
            raise Damaged from error

    def places(self, is_place: Callable[[str, Sequence[str]], bool]) -> frozenset[int]:
        """The numbers of the places, each a source with its platforms, that `is_place` says."""
        rows = self.connection.execute("SELECT id, name FROM names WHERE kind = 'place'")
        split = ((number, *_place_decoder.decode(name)) for number, name in rows)
        return frozenset(number for number, source, *platforms in split if is_place(source, platforms))

    def _place(self, number: int) -> tuple[str, tuple[str, ...]]:
        if number not in self._places:
            row = self.connection.execute("SELECT name FROM names WHERE id = ?", (number,)).fetchone()
            source, *platforms = _place_decoder.decode(row[0])
            self._places[number] = source, tuple(platforms)
        return self._places[number]


def _range(row: _PackedRange) -> VersionRange:
    version, less_than, less_than_or_equal, status, changes = row
    of_changes = tuple(Change(*change) for change in changes)
    return VersionRange(version, less_than, less_than_or_equal, status, of_changes)


class Filling:
    """Adds records to an index, within a transaction. `is_new`: its rows are not sorted yet, and the first
    ones of `affected` make the dictionary."""

    def __init__(self, connection: sqlite3.Connection, *, is_new: bool) -> None:
        self._connection = connection
        self._before = "new_" if is_new else ""
        self._names: dict[tuple[str, str], int] = {}
        self._places: dict[tuple[str, tuple[str, ...]], int] = {}
        self._waiting: list[tuple[int, int, bytes]] = []
        row = connection.execute("SELECT content FROM dictionary").fetchone()
        self._zstd = None if is_new else _compressor(None if row is None else row[0])
        (last,) = connection.execute("SELECT ifnull(max(id), 0) FROM records").fetchone()
        (highest,) = connection.execute("SELECT ifnull(max(highest), 0) FROM content").fetchone()
        self.number = max(last, highest)

    def add(self, records: Iterable[Record]) -> None:
        """Add the records; older ones of the same names no longer count."""
        rows: list[tuple[Any, ...]] = []
        texts: list[tuple[Any, ...]] = []
        has: list[tuple[int, int]] = []
        for record in records:
            facts = facts_of_record(record)
            self.number += 1
            score = facts.score
            level = None if score is None else score.level
            rows.append(
                (
                    self.number,
                    record.name,
                    record.offset,
                    -1 if level is None else SEVERITIES.index(level),
                    None if score is None else float(score.base or 0),
                    facts.state.lower(),
                    utc_text(facts.published),
                    utc_text(facts.inserted_at),
                    facts.has_exploit,
                )
            )
            texts.append((self.number, *searchable(facts)))
            places = [self._place(each) for each in facts.affected]
            has += [(name, self.number) for name in (*self._lists(facts), *set(places))]
            self._waiting += self._packed(facts, places)
        many = self._connection.executemany
        many("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        many("INSERT INTO words (rowid, name, products, text) VALUES (?, ?, ?, ?)", texts)
        many(f"INSERT INTO {self._before}has VALUES (?, ?)", has)  # noqa: S608  # ours
        if self._zstd is not None or len(self._waiting) >= _SAMPLE:
            self._write_affected()

    def finish(self) -> None:
        """Write what waits."""
        self._write_affected()

    def _write_affected(self) -> None:
        if self._zstd is None:
            self._zstd = self._trained([packed for _, _, packed in self._waiting])
        compress = self._zstd.compress
        rows = ((product, record, compress(packed)) for product, record, packed in self._waiting)
        table = f"{self._before}affected"
        self._connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", rows)  # noqa: S608  # ours
        self._waiting.clear()

    def _trained(self, samples: list[bytes]) -> zstandard.ZstdCompressor:
        try:
            content = zstandard.train_dictionary(_DICTIONARY_BYTES, samples).as_bytes()  # type: ignore[arg-type]
        except zstandard.ZstdError:  # too few
            return _compressor(None)
        self._connection.execute("INSERT INTO dictionary VALUES (?)", (content,))
        return _compressor(content)

    def _lists(self, facts: Facts) -> set[int]:
        """The numbers of vendors and weaknesses of the record."""
        numbers = {self._name("cwe", str(number)) for number in cwe_numbers(facts)}
        vendors = dict.fromkeys(each.vendor.lower() for each in facts.affected)
        return numbers | {self._name("vendor", vendor) for vendor in vendors}

    def _place(self, product: Affected) -> int:
        """The number of its source and platforms."""
        place = product.source, product.platforms
        number = self._places.get(place)
        if number is None:
            name = msgspec.json.encode([product.source, *product.platforms]).decode()
            number = self._places[place] = self._name("place", name)
        return number

    def _packed(self, facts: Facts, places: Sequence[int]) -> Iterator[tuple[int, int, bytes]]:
        by_product: dict[str, list[tuple[Affected, int]]] = {}
        for each, place in zip(facts.affected, places, strict=True):
            by_product.setdefault(each.product.lower(), []).append((each, place))
        for product, several in by_product.items():
            packed = _packing.encode([_packed_product(each, place) for each, place in several])
            yield self._name("product", product), self.number, packed

    def _name(self, kind: str, name: str) -> int:
        """The number of a name; a new one is stored."""
        number = self._names.get((kind, name))
        if number is None:
            find = "SELECT id FROM names WHERE kind = ? AND name = ?"
            row = self._connection.execute(find, (kind, name)).fetchone()
            if row is None:
                add = "INSERT INTO names (kind, name) VALUES (?, ?)"
                number = self._connection.execute(add, (kind, name)).lastrowid or 0
            else:
                number = int(row[0])
            self._names[kind, name] = number
        return number


def _packed_product(product: Affected, place: int) -> PackedProduct:
    ranges = tuple(
        (
            bounds.version,
            bounds.less_than,
            bounds.less_than_or_equal,
            bounds.status,
            tuple((change.at, change.status) for change in bounds.changes) if bounds.changes else (),
        )
        for bounds in product.ranges
    )
    return PackedProduct(
        place, product.vendor, product.product, product.default_status, product.is_listed, ranges
    )


def _compressor(dictionary: bytes | None) -> zstandard.ZstdCompressor:
    prepared = None if dictionary is None else zstandard.ZstdCompressionDict(dictionary)
    return zstandard.ZstdCompressor(level=3, dict_data=prepared, write_dict_id=False)


def create(connection: sqlite3.Connection, content: Inspection, progress: Callable[[int], None]) -> None:
    """Make the index of the whole content in a new file. `progress` gets the number of records."""
    connection.execute("PRAGMA journal_mode = OFF")  # and so it is synced to disk once, at the end
    connection.execute("PRAGMA cache_size = -32000")
    offset = content.state.offset
    connection.execute("BEGIN")
    for statement in _TABLES:
        connection.execute(statement)
    filling, number = Filling(connection, is_new=True), 0
    for records in _portions(content.scan()):
        filling.add(records)
        number += len(records)
        progress(number)
    filling.finish()
    connection.execute("INSERT INTO content VALUES (?, ?, ?)", (content.generation, offset, filling.number))
    for statement in _SORTED:
        connection.execute(statement)
    connection.execute("COMMIT")


def update(connection: sqlite3.Connection, index: Index, content: Inspection) -> bool:
    """Bring the index up to the content, in one transaction. False if it must be made anew: too much of it is
    dead, or so much is new that one transaction takes too much memory."""
    offset = content.state.offset
    connection.execute("PRAGMA cache_spill = OFF")  # readers wait for the commit alone
    connection.execute("BEGIN IMMEDIATE")
    filling = Filling(connection, is_new=False)
    most = filling.number + filling.number // _DEAD_SHARE
    for records in _portions(content.scan(index.offset)):
        if filling.number > most:
            connection.execute("ROLLBACK")
            return False
        connection.executemany("DELETE FROM records WHERE name = ?", [(each.name,) for each in records])
        filling.add(records)
    filling.finish()
    _drop_deleted(connection, content)
    (live,) = connection.execute("SELECT count(*) FROM records").fetchone()
    if filling.number - live > filling.number // _DEAD_SHARE:
        connection.execute("ROLLBACK")
        return False
    connection.execute("UPDATE content SET offset = ?, highest = ?", (offset, filling.number))
    connection.execute("COMMIT")
    return True


def _drop_deleted(connection: sqlite3.Connection, content: Inspection) -> None:
    """A deletion leaves no record to read: if the counts differ, the names are compared."""
    (live,) = connection.execute("SELECT count(*) FROM records").fetchone()
    if live == content.count():
        return
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS stored (name TEXT PRIMARY KEY) WITHOUT ROWID")
    connection.execute("DELETE FROM stored")
    connection.executemany("INSERT INTO stored VALUES (?)", ((name,) for name in content.names()))
    connection.execute("DELETE FROM records WHERE name NOT IN (SELECT name FROM stored)")


def _portions(records: Iterable[Record]) -> Iterator[list[Record]]:
    portion, size = list[Record](), 0
    for record in records:
        portion.append(record)
        size += len(record.line)
        if size >= BYTES_AT_ONCE:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


_T = TypeVar("_T")


def batched(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """The items in lists of at most `size`."""
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some
