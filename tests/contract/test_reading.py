"""Every store: what went in comes out, whatever it looks like, and an export is from one moment."""

import json
from collections.abc import Iterable

import pytest

from ctisync.core.model import MAX_NAME_BYTES, MAX_OFFSET, Consumer, Delete, Record
from ctisync.errors import EmptyStore
from ctisync.ports import Store
from tests.contract import passes
from tests.contract.passes import lines
from tests.support.records import awkward, made_up, read, record, sample_lines
from tests.support.stores import MakeStore

LOOK_ALIKES = ["cve-1", "CVE-1", "CVE-1 ", " CVE-1", "CVE-1.", "CV\u00c9-1", "CVE\u0301-1", "CVE-1\u200b"]
ODD_NAMES = ["/", "a/b", "~", "_id", "a b", "a?b#c%20", "*", "'; --", "\\", '"', "a\u2028b", "\uffff", "🐞"]
"""The last two sort the other way round where names are compared as UTF-16."""


def by_name(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda each: each.name.encode())


def named(names: list[str]) -> list[Record]:
    return [record(name, number, {"is": name}) for number, name in enumerate(names, start=1)]


def test_lines_come_back_byte_for_byte_after_a_load(store: Store, consumer: Consumer) -> None:
    """Huge integers, 9.30, odd keys and characters, 270 kB: no store may work on values."""
    records = [*awkward(), *made_up(20, first_offset=200)]
    with store.writer(consumer) as writer:
        passes.load(writer, consumer, records, 300)
        assert read(writer, [each.name for each in records]) == {each.name: each for each in records}

    assert passes.contents(store, consumer) == lines(*by_name(records))


def test_lines_come_back_byte_for_byte_after_a_range(store: Store, consumer: Consumer) -> None:
    records = awkward()
    with store.writer(consumer) as writer:
        passes.load(writer, consumer, made_up(3), 50)
        passes.apply(writer, records, to=300)
        assert read(writer, [each.name for each in records]) == {each.name: each for each in records}

    assert set(lines(*records)) <= set(passes.contents(store, consumer))


def test_real_lines_come_back_byte_for_byte(store: Store, consumer: Consumer) -> None:
    heads = [(json.loads(line), line) for line in sample_lines()]
    records = [Record(head["name"], head["offset"], line) for head, line in heads]
    passes.initialise(store, consumer, records, max(each.offset for each in records))

    assert passes.contents(store, consumer) == lines(*by_name(records))


@pytest.mark.parametrize("names", [LOOK_ALIKES, ODD_NAMES], ids=["look-alikes", "odd"])
def test_names_differ_and_are_sorted_by_their_bytes(
    store: Store, consumer: Consumer, names: list[str]
) -> None:
    records = named(names)
    with store.writer(consumer) as writer:
        passes.load(writer, consumer, records, 100)
        for each in records:
            assert read(writer, [each.name]) == {each.name: each}
        assert passes.contents(store, consumer) == lines(*by_name(records))

        passes.apply(writer, [Delete(names[1], 101), record(names[2], 102)], to=110)
    kept = [*named(names)[:1], record(names[2], 102), *named(names)[3:]]
    assert passes.contents(store, consumer) == lines(*by_name(kept))


@pytest.mark.parametrize("character", ["x", "é", "日", "🐞"])
def test_the_longest_names_are_whole(store: Store, consumer: Consumer, character: str) -> None:
    stem = character * ((MAX_NAME_BYTES - 3) // len(character.encode()))
    stem += "." * (MAX_NAME_BYTES - 1 - len(stem.encode()))
    records = named([stem + "1", stem + "2"])
    assert {len(each.name.encode()) for each in records} == {MAX_NAME_BYTES}
    with store.writer(consumer) as writer:
        passes.load(writer, consumer, records, 100)
        assert read(writer, [records[1].name]) == {records[1].name: records[1]}

    assert passes.contents(store, consumer) == lines(*records)


def test_the_highest_offset_is_exact(store: Store, consumer: Consumer) -> None:
    """Neighbours beyond 2^53 are one number where offsets are floats."""
    low, high = record("CVE-1", MAX_OFFSET - 2), record("CVE-1", MAX_OFFSET)
    with store.writer(consumer) as writer:
        passes.load(writer, consumer, [low], MAX_OFFSET - 1)
        passes.apply(writer, [high], to=MAX_OFFSET)

    assert store.read_state(consumer).offset == MAX_OFFSET
    assert passes.contents(store, consumer) == lines(high)


def test_only_requested_records_that_are_stored_are_read(store: Store, consumer: Consumer) -> None:
    with store.writer(consumer) as writer:
        assert read(writer, ["CVE-1"]) == {}
        passes.load(writer, consumer, [record("CVE-1", 1), record("CVE-2", 2)], 10)
        assert read(writer, []) == {}
        assert read(writer, ["CVE-2", "CVE-3"]) == {"CVE-2": record("CVE-2", 2)}


def test_an_export_goes_on_with_the_content_that_it_began_with(
    make_store: MakeStore, consumer: Consumer
) -> None:
    """Neither a swap nor a range in the middle of it shows, whatever has been removed meanwhile."""
    records = by_name(made_up(2500))
    passes.initialise(make_store(), consumer, records, 2500)
    export = make_store().export(consumer)
    first = next(export)
    with make_store().writer(consumer) as writer:
        passes.apply(writer, [record(records[-1].name, 2600), Delete(records[-2].name, 2601)], to=2700)
        passes.load(writer, consumer, [record("CVE-new", 2800)], 3000)

    assert [first, *export] == lines(*records)
    assert passes.contents(make_store(), consumer) == lines(record("CVE-new", 2800))


def test_an_abandoned_export_does_not_hinder_the_next_pass(make_store: MakeStore, consumer: Consumer) -> None:
    passes.initialise(make_store(), consumer, made_up(10), 10)
    next(make_store().export(consumer))
    passes.initialise(make_store(), consumer, [record("CVE-1", 11)], 20)

    assert passes.contents(make_store(), consumer) == lines(record("CVE-1", 11))


def test_an_export_without_content_says_so(store: Store, consumer: Consumer) -> None:
    """Also after a pass that found nothing to load."""
    with store.writer(consumer):
        pass

    with pytest.raises(EmptyStore, match=consumer.name) as raised:
        list(store.export(consumer))
    assert raised.value.hint is not None
