"""SQLite only: lines are packed, each comes back to the byte, and a frame that is not right harms nobody."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import pytest
import zstandard

from ctisync.core.findings import Kind
from ctisync.core.model import Consumer, Record
from ctisync.errors import StoreUnavailable
from ctisync.ports import Store
from ctisync.stores.sqlite.compression import MOST_UNPACKED, register
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from ctisync.verify.audit import verify
from tests.contract import passes
from tests.contract.passes import lines
from tests.support.figures import figure
from tests.support.log import KeptLog
from tests.support.records import awkward, long_record, made_up, read, record, sample_lines

CONSUMER = Consumer()
A, B = record("CVE-1", 1, {"score": 1}), record("CVE-2", 2)
MANY = made_up(900)
"""1.4 MB of lines: as many as a dictionary is trained on."""

Compression = Literal["zstd", "none"]


def store_of(path: Path, compression: Compression = "zstd") -> Store:
    return SqliteStore(path, SystemClock(), patience=0, compression=compression)


def query(path: Path, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql, parameters).fetchall()


def by_name(records: list[Record]) -> list[bytes]:
    return lines(*sorted(records, key=lambda each: each.name))


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_every_line_comes_back_to_the_byte(path: Path, compression: Compression) -> None:
    shapes = [Record(f"SHAPE-{number}", 1, line) for number, line in enumerate([b"{}", *sample_lines()])]
    records = [*awkward(), *shapes, *MANY]
    store = store_of(path, compression)
    passes.initialise(store, CONSUMER, records, 1000)

    assert passes.contents(store, CONSUMER) == by_name(records)
    with store.writer(CONSUMER) as writer:
        assert read(writer, [each.name for each in records]) == {each.name: each for each in records}
        assert read(writer, ["none", "of these"]) == {}
        assert read(writer, []) == {}


def test_a_content_takes_a_fraction_of_its_bytes(path: Path) -> None:
    passes.initialise(store_of(path), CONSUMER, MANY, 1000)
    bytes_of_lines = sum(len(each.line) for each in MANY)
    figure(f"SQLite: {bytes_of_lines} bytes of lines in a file of {path.stat().st_size}")

    assert path.stat().st_size < bytes_of_lines / 3
    assert query(path, "SELECT count(*) FROM dictionaries") == [(1,)]


def test_a_content_that_is_too_small_for_a_dictionary_does_without(path: Path) -> None:
    store = store_of(path)
    passes.initialise(store, CONSUMER, MANY, 1000)
    passes.initialise(store, CONSUMER, [A, B], 2000)

    assert query(path, "SELECT count(*) FROM dictionaries") == [(0,)], "the old one went with its records"
    assert query(path, "SELECT DISTINCT typeof(line) FROM content") == [("blob",)]
    assert passes.contents(store, CONSUMER) == lines(A, B)


@pytest.mark.parametrize(("count", "size"), [(1, 3_000_000), (6, 200_000)])
def test_a_few_long_lines_that_nothing_can_be_learnt_from_are_stored_all_the_same(
    path: Path, count: int, size: int
) -> None:
    long = [long_record(f"CVE-{number}", 1, size) for number in range(count)]
    store = store_of(path)
    passes.initialise(store, CONSUMER, long, 10)

    assert query(path, "SELECT count(*) FROM dictionaries") == [(0,)]
    assert passes.contents(store, CONSUMER) == lines(*long)


def test_an_update_is_packed_with_the_dictionary_of_its_content(path: Path) -> None:
    store = store_of(path)
    passes.initialise(store, CONSUMER, MANY, 1000)
    changed = made_up(900, first_offset=2000)[7]
    with store.writer(CONSUMER) as writer:
        passes.apply(writer, [changed, record("CVE-2", 2900)], to=2900)
        assert read(writer, [changed.name]) == {changed.name: changed}

    rows = query(path, "SELECT packed FROM records WHERE offset > 1999")
    (number,) = {zstandard.get_frame_parameters(frame).dict_id for (frame,) in rows}
    assert query(path, "SELECT id FROM dictionaries") == [(number,)]


def test_a_changed_setting_holds_for_what_is_written_from_then_on(path: Path) -> None:
    plain, packed = store_of(path, "none"), store_of(path)
    passes.initialise(plain, CONSUMER, MANY, 1000)
    with packed.writer(CONSUMER) as writer:
        passes.apply(writer, [A], to=1001)
    assert query(path, "SELECT typeof(line), count(*) FROM content GROUP BY 1 ORDER BY 1") == [
        ("blob", 1),
        ("text", 900),
    ]
    with plain.writer(CONSUMER) as writer:
        assert read(writer, ["CVE-1"]) == {"CVE-1": A}
        passes.apply(writer, [record("CVE-1", 1002)], to=1002)
    assert query(path, "SELECT DISTINCT typeof(line) FROM content") == [("text",)]
    assert passes.contents(packed, CONSUMER) == by_name([record("CVE-1", 1002), *MANY])


def test_a_line_beyond_all_bounds_is_stored_as_text(path: Path) -> None:
    """`limits.line_bytes` may be raised that far; what is packed may not claim so much."""
    longest = Record("CVE-1", 1, b"{" + b" " * (MOST_UNPACKED - 2) + b"}")
    longer = Record("CVE-2", 2, b"{" + b" " * (MOST_UNPACKED - 1) + b"}")
    store = store_of(path)
    passes.initialise(store, CONSUMER, [longest, longer, B], 10)

    kinds = query(path, "SELECT name, typeof(line) FROM content ORDER BY name")
    assert kinds == [("CVE-1", "blob"), ("CVE-2", "text")]
    assert passes.contents(store, CONSUMER) == lines(longest, longer)


def foreign(line: bytes, *, length: bool = True, checksum: bool = False) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=length, write_checksum=checksum).compress(line)


FRAMES: dict[str, Callable[[], bytes]] = {
    "empty": bytes,
    "no frame": lambda: b"something else",
    "cut off": lambda: foreign(A.line)[:-5],
    "a flipped byte": lambda: foreign(A.line, checksum=True)[:-1] + b"\x00",
    "more behind it": lambda: foreign(A.line) + b"more",
    "two frames": lambda: foreign(A.line) + foreign(B.line),
    "without its length": lambda: foreign(A.line, length=False),
    "a GiB of zeros": lambda: foreign(b"\0" * (1 << 30)),
    "a dictionary that is missing": lambda: zstandard.ZstdCompressor(
        dict_data=zstandard.train_dictionary(1000, [each.line for each in MANY], k=100, d=8, dict_id=77_777)
    ).compress(A.line),
}


@pytest.mark.parametrize("frame", FRAMES)
def test_a_frame_that_cannot_be_unpacked_is_named_and_never_read_as_a_record(path: Path, frame: str) -> None:
    store = store_of(path)
    passes.initialise(store, CONSUMER, [A, B], 10)
    query(path, "UPDATE records SET packed = ? WHERE name = 'CVE-2'", FRAMES[frame]())

    with pytest.raises(
        StoreUnavailable, match=rf"{path} is damaged: record CVE-2 cannot be unpacked"
    ) as raised:
        list(store.export(CONSUMER))
    assert raised.value.hint is not None
    assert "load the content again: mkdir -p" in raised.value.hint
    with store.writer(CONSUMER) as writer:
        assert read(writer, ["CVE-1"]) == {"CVE-1": A}
        with pytest.raises(StoreUnavailable, match="record CVE-2 cannot be unpacked"):
            read(writer, ["CVE-1", "CVE-2"])
    audit = verify(CONSUMER, store=store, log=KeptLog(), deep=True, against=None, at_work=None)
    assert [(each.kind, each.subject) for each in audit.findings] == [(Kind.RECORD_UNREADABLE, "CVE-2")]


def test_a_content_that_has_lost_its_dictionary_is_reported_as_unreadable(path: Path) -> None:
    store = store_of(path)
    passes.initialise(store, CONSUMER, MANY, 1000)
    query(path, "DELETE FROM dictionaries")

    with pytest.raises(StoreUnavailable, match=r"its dictionary [0-9]+ is missing"):
        list(store.export(CONSUMER))
    audit = verify(CONSUMER, store=store, log=KeptLog(), deep=False, against=None, at_work=None)
    assert audit.counts[Kind.RECORD_UNREADABLE] == len(MANY)


def test_the_registered_function_gives_the_text_of_either_kind(path: Path) -> None:
    passes.initialise(store_of(path, "none"), CONSUMER, [A, *MANY], 1000)
    packed = Consumer(name="packed", index="wazuh-packed")
    passes.initialise(store_of(path), packed, [A, *MANY], 1000)
    with closing(sqlite3.connect(path)) as connection:
        register(connection)
        text = "SELECT consumer, ctisync_line(line) FROM content WHERE name = 'CVE-1' ORDER BY consumer"
        assert connection.execute(text).fetchall() == [
            ("packed", A.line.decode()),
            ("vd_4.8.0", A.line.decode()),
        ]
        scores = "SELECT DISTINCT json_extract(ctisync_line(line), '$.payload.score') FROM content"
        assert connection.execute(scores + " WHERE name = 'CVE-1'").fetchall() == [(1,)]
        count = "SELECT count(*) FROM content WHERE json_valid(ctisync_line(line))"
        assert connection.execute(count).fetchall() == [(2 * len(MANY) + 2,)]
        assert connection.execute("SELECT ctisync_line(NULL), ctisync_line(7)").fetchall() == [(None, 7)]


def test_the_registered_function_fails_the_statement_that_meets_damage(path: Path) -> None:
    passes.initialise(store_of(path), CONSUMER, [A], 10)
    query(path, "UPDATE records SET packed = x'28B52FFD'")
    with closing(sqlite3.connect(path)) as connection:
        register(connection)
        with pytest.raises(sqlite3.OperationalError, match="user-defined function raised exception"):
            connection.execute("SELECT ctisync_line(line) FROM content").fetchall()
