"""Every store: a range of changes is written with its offset, and written again it changes nothing."""

from contextlib import ExitStack, suppress

import msgspec
import pytest

from ctisync.core.model import Consumer, Delete, Record, Write
from ctisync.errors import StoreUnavailable
from ctisync.ports import Store
from tests.contract import passes
from tests.contract.passes import at, lines
from tests.support.records import made_up, read, record
from tests.support.stores import MakeStore

A, B, C = record("CVE-1", 1), record("CVE-2", 2), record("CVE-3", 3)


@pytest.fixture
def content(store: Store, consumer: Consumer) -> Consumer:
    """A consumer whose content stands at offset 10."""
    passes.initialise(store, consumer, [A, B, C], 10)
    return consumer


def test_a_range_creates_updates_and_deletes(make_store: MakeStore, content: Consumer) -> None:
    with make_store().writer(content) as writer:
        passes.apply(writer, [record("CVE-2", 14), Delete("CVE-3", 13), record("CVE-0", 12)], to=20)

    kept = [record("CVE-0", 12), A, record("CVE-2", 14)]
    assert passes.contents(make_store(), content) == lines(*kept)


def test_the_state_of_a_write_is_what_is_stored_with_the_range(
    make_store: MakeStore, content: Consumer
) -> None:
    with make_store().writer(content) as writer:
        after = writer.state.advanced(20, passes.NOW)
        writer.apply([record("CVE-2", 14)], after)
        assert writer.state == after

    assert after.owed is not None
    assert make_store().read_state(content) == after


def test_a_range_without_a_write_moves_the_offset(store: Store, content: Consumer) -> None:
    """The filter wants none of it, or the feed has gaps."""
    with store.writer(content) as writer:
        passes.apply(writer, [], to=20)

    assert store.read_state(content).offset == 20
    assert passes.contents(store, content) == lines(A, B, C)


def test_ranges_follow_one_another_within_a_pass(store: Store, content: Consumer) -> None:
    with store.writer(content) as writer:
        passes.apply(writer, [record("CVE-1", 11)], to=15)
        assert read(writer, ["CVE-1"]) == {"CVE-1": record("CVE-1", 11)}
        passes.apply(writer, [Delete("CVE-1", 16)], to=20)
        assert read(writer, ["CVE-1"]) == {}
        passes.apply(writer, [record("CVE-1", 21)], to=25)
        assert read(writer, ["CVE-1"]) == {"CVE-1": record("CVE-1", 21)}

    assert passes.contents(store, content) == lines(record("CVE-1", 21), B, C)


def test_a_record_that_stands_at_a_writes_offset_is_left_alone(store: Store, content: Consumer) -> None:
    """A pass that died in this range had written some of it."""
    with store.writer(content) as writer:
        passes.apply(writer, [record("CVE-1", 14, {"kept": 1})], to=20)
        writer.save(at(writer.state.offset - 10, writer.state))
        passes.apply(writer, [record("CVE-1", 14, {"other": 1})], to=20)

    assert passes.contents(store, content) == lines(record("CVE-1", 14, {"kept": 1}), B, C)


@pytest.mark.parametrize(
    "write", [record("CVE-1", 13, {"other": 1}), Delete("CVE-1", 13)], ids=["put", "delete"]
)
def test_a_record_above_a_writes_offset_is_never_set_back(
    store: Store, content: Consumer, write: Write
) -> None:
    """No fold gives such a write, so a store may stop at it: somebody else has written."""
    with store.writer(content) as writer:
        passes.apply(writer, [record("CVE-1", 14, {"kept": 1})], to=20)
        writer.save(at(writer.state.offset - 10, writer.state))
        with suppress(StoreUnavailable):
            passes.apply(writer, [write], to=20)

    assert passes.contents(store, content) == lines(record("CVE-1", 14, {"kept": 1}), B, C)


def test_the_same_range_again_changes_nothing(store: Store, content: Consumer) -> None:
    writes: list[Record | Write] = [record("CVE-2", 14), Delete("CVE-3", 13), record("CVE-0", 12)]
    writes.append(Delete("CVE-never", 15))
    with store.writer(content) as writer:
        passes.apply(writer, writes, to=20)
        first = passes.contents(store, content)
        state = writer.state
        writer.save(at(10, state))
        passes.apply(writer, writes, to=20)
        assert msgspec.structs.replace(writer.state, updated_at=state.updated_at) == state

    assert passes.contents(store, content) == first


def test_a_record_may_come_back_after_it_was_deleted(store: Store, content: Consumer) -> None:
    with store.writer(content) as writer:
        passes.apply(writer, [Delete("CVE-1", 11)], to=11)
    with store.writer(content) as writer:
        passes.apply(writer, [record("CVE-1", 12, {"again": True})], to=12)

    assert passes.contents(store, content) == lines(record("CVE-1", 12, {"again": True}), B, C)


def test_a_content_whose_records_were_all_deleted_is_still_a_content(store: Store, content: Consumer) -> None:
    with store.writer(content) as writer:
        passes.apply(writer, [Delete(name, 11) for name in ("CVE-1", "CVE-2", "CVE-3")], to=11)

    assert store.summary(content).records == 0
    assert list(store.export(content)) == []


def test_a_whole_range_of_records_is_written(store: Store, content: Consumer) -> None:
    records = made_up(1000, first_offset=11)
    with store.writer(content) as writer:
        passes.apply(writer, records, to=1010)
        assert read(writer, [each.name for each in records]) == {each.name: each for each in records}

    kept = sorted([A, B, C, *records], key=lambda each: each.name)
    assert passes.contents(store, content) == lines(*kept)


def test_ranges_after_a_load_see_its_records_and_not_what_ranges_before_it_have_written(
    store: Store, content: Consumer
) -> None:
    loaded = record("CVE-1", 12, {"loaded": True})
    with store.writer(content) as writer:
        passes.apply(writer, [record("CVE-1", 11), Delete("CVE-2", 12), record("CVE-4", 13)], to=20)
        passes.load(writer, content, [loaded, B], 30)
        assert read(writer, ["CVE-1", "CVE-2", "CVE-4"]) == {"CVE-1": loaded, "CVE-2": B}
        passes.apply(writer, [Delete("CVE-1", 31)], to=40)

    assert passes.contents(store, content) == lines(B)


def test_what_was_applied_is_there_after_the_process_was_killed(
    make_store: MakeStore, content: Consumer, killed: ExitStack
) -> None:
    dead = killed.enter_context(make_store().writer(content))
    passes.apply(dead, [record("CVE-2", 14)], to=20)
    after = dead.state

    with make_store().writer(content) as writer:
        assert writer.state == after
        assert read(writer, ["CVE-2"]) == {"CVE-2": record("CVE-2", 14)}


def test_a_load_that_fails_keeps_what_was_applied_before(store: Store, content: Consumer) -> None:
    with store.writer(content) as writer:
        passes.apply(writer, [record("CVE-2", 14)], to=20)
        with writer.load(passes.snapshot(30)) as load:
            load.add([record("CVE-9", 25)])
        passes.apply(writer, [record("CVE-3", 24)], to=25)

    assert passes.contents(store, content) == lines(A, record("CVE-2", 14), record("CVE-3", 24))


def test_a_range_that_does_not_move_the_offset_is_refused(store: Store, content: Consumer) -> None:
    with store.writer(content) as writer:
        for offset in (9, 10):
            with pytest.raises(ValueError, match="range"):
                writer.apply([record("CVE-1", 9)], at(offset, writer.state))

    assert store.read_state(content).offset == 10
    assert passes.contents(store, content) == lines(A, B, C)


def test_a_write_beyond_the_ranges_end_is_refused(store: Store, content: Consumer) -> None:
    """The stored offset would not say which content this is."""
    with store.writer(content) as writer, pytest.raises(ValueError, match="beyond"):
        passes.apply(writer, [record("CVE-1", 21)], to=20)

    assert passes.contents(store, content) == lines(A, B, C)


def test_a_range_needs_a_content(store: Store, consumer: Consumer) -> None:
    with store.writer(consumer) as writer, pytest.raises(ValueError, match="no content"):
        writer.apply([A], at(5, writer.state))

    assert store.summary(consumer).records is None


def test_while_a_range_is_written_its_records_are_read_as_they_will_be(
    store: Store, content: Consumer
) -> None:
    """So that the next range can be folded meanwhile. A store need not call it, and then says so."""
    reads: list[dict[str, Record]] = []

    def meanwhile() -> None:
        reads.append(read(writer, ["CVE-1", "CVE-2", "CVE-3", "CVE-4"]))

    written = record("CVE-1", 14, {"new": 1})
    with store.writer(content) as writer:
        writes: list[Write] = [Delete("CVE-2", 13), written, record("CVE-4", 15)]
        called = writer.apply(writes, writer.state.advanced(20, passes.NOW), meanwhile)
        after = {"CVE-1": written, "CVE-3": C, "CVE-4": record("CVE-4", 15)}
        assert reads == ([after] if called else [])
        assert read(writer, ["CVE-1", "CVE-2", "CVE-3", "CVE-4"]) == after
        passes.apply(writer, [Delete("CVE-1", 21), record("CVE-2", 22)], to=30)

    assert passes.contents(store, content) == lines(record("CVE-2", 22), C, record("CVE-4", 15))


def test_what_is_noted_is_stored_with_the_next_write_or_at_the_end(store: Store, content: Consumer) -> None:
    with store.writer(content) as writer:
        writer.save_later(msgspec.structs.replace(writer.state, last_offset=50))
        assert writer.state.last_offset == 50
        passes.apply(writer, [record("CVE-1", 14)], to=20)
        assert store.read_state(content).last_offset == 50
        writer.save_later(msgspec.structs.replace(writer.state, last_offset=60))

    assert store.read_state(content).last_offset == 60
    assert (store.read_state(content).offset, store.read_state(content).unsettled) == (20, False)


def test_what_is_noted_cannot_raise_the_offset_either(store: Store, content: Consumer) -> None:
    with store.writer(content) as writer, pytest.raises(ValueError, match="cannot raise the offset"):
        writer.save_later(at(11, writer.state))
