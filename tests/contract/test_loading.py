"""Every store: a new content is built beside the live one, and goes live in whole or not at all."""

from contextlib import ExitStack, suppress

import msgspec
import pytest

from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState
from ctisync.errors import EmptyStore
from ctisync.ports import Store, Writer
from tests.contract import passes
from tests.contract.passes import lines
from tests.support.records import made_up, read, record
from tests.support.stores import MakeStore

OLD = [record("CVE-1", 1), record("CVE-2", 2)]
NEW = [record("CVE-2", 12), record("CVE-3", 13), record("CVE-4", 14)]


class FeedBroke(Exception):
    """Something that ends a load halfway."""


def load_halfway(writer: Writer) -> None:
    with writer.load(passes.snapshot(20)) as load:
        load.add(NEW)
        raise FeedBroke


def test_where_nothing_is_stored_nothing_is_read(store: Store, consumer: Consumer) -> None:
    assert store.read_state(consumer) == ConsumerState()
    assert store.summary(consumer).records is None
    with pytest.raises(EmptyStore):
        list(store.export(consumer))


def test_another_process_reads_a_published_content_and_its_state(
    make_store: MakeStore, consumer: Consumer
) -> None:
    with make_store().writer(consumer) as writer, writer.load(passes.snapshot(10)) as load:
        load.add(OLD)
        after = passes.loaded(writer, consumer, 10)
        assert load.publish(after) == 2
        assert writer.state == after
        assert read(writer, ["CVE-1"]) == {"CVE-1": OLD[0]}

    assert passes.contents(make_store(), consumer) == lines(*OLD)
    assert make_store().read_state(consumer) == after


def test_what_is_being_loaded_is_invisible_until_it_is_published(
    make_store: MakeStore, consumer: Consumer
) -> None:
    reader = make_store()
    with make_store().writer(consumer) as writer, writer.load(passes.snapshot(10)) as load:
        load.add(OLD)
        assert reader.summary(consumer).records is None
        with pytest.raises(EmptyStore):
            list(reader.export(consumer))
        load.publish(passes.loaded(writer, consumer, 10))
        assert passes.contents(reader, consumer) == lines(*OLD)


def test_readers_find_the_old_content_until_the_whole_new_one_is_live(
    make_store: MakeStore, consumer: Consumer
) -> None:
    passes.initialise(make_store(), consumer, OLD, 10)
    reader = make_store()
    before = reader.read_state(consumer)
    with make_store().writer(consumer) as writer, writer.load(passes.snapshot(20)) as load:
        load.add(NEW)
        assert passes.contents(reader, consumer) == lines(*OLD)
        assert (reader.read_state(consumer).offset, reader.read_state(consumer).loading) == (
            before.offset,
            True,
        )
        after = passes.loaded(writer, consumer, 20)
        load.publish(after)
        assert passes.contents(reader, consumer) == lines(*NEW)
        assert passes.beside_a_writer(reader, consumer) == after


def test_a_load_that_fails_leaves_content_and_state_as_they_were(
    make_store: MakeStore, consumer: Consumer
) -> None:
    store = make_store()
    passes.initialise(store, consumer, OLD, 10)
    before = store.read_state(consumer)
    with store.writer(consumer) as writer:
        with pytest.raises(FeedBroke):
            load_halfway(writer)
        assert writer.state == before

    assert store.read_state(consumer) == before
    assert passes.contents(make_store(), consumer) == lines(*OLD)


def test_a_load_that_is_left_without_publishing_is_gone(store: Store, consumer: Consumer) -> None:
    with store.writer(consumer) as writer, writer.load(passes.snapshot(10)) as load:
        load.add(OLD)

    assert store.read_state(consumer) == ConsumerState()
    assert store.summary(consumer).records is None


def test_a_failure_after_publishing_takes_nothing_back(store: Store, consumer: Consumer) -> None:
    with store.writer(consumer) as writer, suppress(FeedBroke), writer.load(passes.snapshot(10)) as load:
        load.add(OLD)
        load.publish(passes.loaded(writer, consumer, 10))
        raise FeedBroke

    assert store.read_state(consumer).offset == 10
    assert passes.contents(store, consumer) == lines(*OLD)


def test_a_first_load_whose_process_was_killed_never_shows(
    make_store: MakeStore, consumer: Consumer, killed: ExitStack
) -> None:
    dead = killed.enter_context(make_store().writer(consumer))
    killed.enter_context(dead.load(passes.snapshot(10))).add(OLD)

    store = make_store()
    assert passes.beside_a_writer(store, consumer) == ConsumerState(loading=True)
    assert store.summary(consumer).records is None
    with store.writer(consumer) as writer:
        assert writer.state == ConsumerState()
        assert passes.load(writer, consumer, NEW, 20) == 3
    assert passes.contents(store, consumer) == lines(*NEW)


def test_a_later_load_whose_process_was_killed_leaves_the_live_content_to_the_next_pass(
    make_store: MakeStore, consumer: Consumer, killed: ExitStack
) -> None:
    passes.initialise(make_store(), consumer, OLD, 10)
    before = make_store().read_state(consumer)
    dead = killed.enter_context(make_store().writer(consumer))
    killed.enter_context(dead.load(passes.snapshot(20))).add(NEW)

    store = make_store()
    assert passes.contents(store, consumer) == lines(*OLD)
    with store.writer(consumer) as writer:
        assert writer.state == before
        passes.apply(writer, [record("CVE-1", 11)], to=11)
    assert passes.contents(store, consumer) == lines(record("CVE-1", 11), OLD[1])


def test_a_content_that_was_published_just_before_the_process_was_killed_is_live(
    make_store: MakeStore, consumer: Consumer, killed: ExitStack
) -> None:
    passes.initialise(make_store(), consumer, OLD, 10)
    dead = killed.enter_context(make_store().writer(consumer))
    load = killed.enter_context(dead.load(passes.snapshot(20)))
    load.add(NEW)
    after = passes.loaded(dead, consumer, 20)
    load.publish(after)

    store = make_store()
    assert passes.contents(store, consumer) == lines(*NEW)
    with store.writer(consumer) as writer:
        assert writer.state == after


def test_of_two_lines_with_one_name_the_higher_offset_stays_and_the_first_when_they_are_equal(
    store: Store, consumer: Consumer
) -> None:
    with store.writer(consumer) as writer, writer.load(passes.snapshot(10)) as load:
        load.add([record("A", 2, {"v": 1}), record("A", 3, {"v": 2}), record("A", 1, {"v": 3})])
        load.add([record("B", 9, {"v": 1}), record("C", 4, {"v": 1})])
        load.add([record("B", 8, {"v": 2}), record("C", 4, {"v": 2}), record("A", 4, {"v": 4})])
        assert load.publish(passes.loaded(writer, consumer, 10)) == 3
        assert load.ambiguous == 1

    kept = [record("A", 4, {"v": 4}), record("B", 9, {"v": 1}), record("C", 4, {"v": 1})]
    assert passes.contents(store, consumer) == lines(*kept)


def test_lines_that_say_otherwise_than_the_one_that_stays_are_counted_and_repeated_ones_are_not(
    store: Store, consumer: Consumer
) -> None:
    records = made_up(40)
    with store.writer(consumer) as writer, writer.load(passes.snapshot(40)) as load:
        load.add(records)
        load.add(records[:30])
        load.add([record(each.name, each.offset, {"other": 1}) for each in records[:7]])
        assert load.publish(passes.loaded(writer, consumer, 40)) == 40
        assert load.ambiguous == 7
    assert passes.contents(store, consumer) == lines(*sorted(records, key=lambda each: each.name))


def test_a_content_that_comes_in_many_pieces_is_complete(store: Store, consumer: Consumer) -> None:
    records = made_up(600)
    with store.writer(consumer) as writer, writer.load(passes.snapshot(600)) as load:
        for start in range(0, 600, 50):
            load.add(records[start : start + 50])
            load.add([])
            writer.keep_alive()
        assert load.publish(passes.loaded(writer, consumer, 600)) == 600

    assert passes.contents(store, consumer) == lines(*sorted(records, key=lambda each: each.name))


def test_a_pass_may_load_twice_and_works_on_with_the_second_content(store: Store, consumer: Consumer) -> None:
    with store.writer(consumer) as writer:
        passes.load(writer, consumer, OLD, 10)
        passes.load(writer, consumer, NEW, 20)
        assert set(read(writer, ["CVE-1", "CVE-2", "CVE-3"])) == {"CVE-2", "CVE-3"}
        passes.apply(writer, [record("CVE-3", 21)], to=21)

    assert passes.contents(store, consumer) == lines(NEW[0], record("CVE-3", 21), NEW[2])


def test_an_older_snapshot_may_replace_a_newer_content(store: Store, consumer: Consumer) -> None:
    """The feed went back, and the operator starts again from what it offers now."""
    passes.initialise(store, consumer, NEW, 20)
    passes.initialise(store, consumer, OLD, 10)

    assert store.read_state(consumer).offset == 10
    assert passes.contents(store, consumer) == lines(*OLD)


@pytest.mark.parametrize("lie", [{"content": False}, {"loading": True}])
def test_a_content_cannot_be_published_with_a_state_that_denies_it(
    store: Store, consumer: Consumer, lie: dict[str, bool]
) -> None:
    with store.writer(consumer) as writer, writer.load(passes.snapshot(10)) as load:
        load.add(OLD)
        with pytest.raises(ValueError, match="published"):
            load.publish(msgspec.structs.replace(passes.loaded(writer, consumer, 10), **lie))

    assert store.summary(consumer).records is None
