"""Every store: a consumer that is forgotten leaves nothing, and takes nothing of others along."""

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from ctisync.core.model import Consumer, Footprint
from ctisync.core.state import ConsumerState
from ctisync.errors import AnotherPass, EmptyStore
from ctisync.ports import Store, Writer
from tests.contract import passes
from tests.contract.passes import at, lines
from tests.contract.test_history import WITHIN, report
from tests.support.records import made_up, record
from tests.support.stores import MakeStore

A, B = record("CVE-1", 1), record("CVE-2", 2)


def assert_nothing_is_left(store: Store, consumer: Consumer) -> None:
    assert store.read_state(consumer) == ConsumerState()
    assert store.summary(consumer).records is None
    assert list(store.passes(consumer, 10)) == []
    assert store.footprint(consumer) == Footprint()
    assert str(consumer) not in [str(each) for each in store.consumers()]
    with pytest.raises(EmptyStore):
        list(store.export(consumer))


def test_a_consumer_that_never_was_has_no_footprint_and_nothing_to_forget(
    store: Store, consumer: Consumer
) -> None:
    store.forget(consumer)
    assert_nothing_is_left(store, consumer)


def test_the_footprint_says_what_will_be_forgotten(store: Store, consumer: Consumer) -> None:
    passes.initialise(store, consumer, made_up(7), 50)
    for number in range(3):
        store.remember(report(consumer, number), 10, WITHIN)

    footprint = store.footprint(consumer)

    assert (footprint.state, footprint.records, footprint.passes) == (True, 7, 3)
    assert footprint.bytes is None or footprint.bytes > 0
    assert footprint.places
    assert [str(each) for each in store.consumers() if each.context == consumer.context] == [str(consumer)]
    assert store.summary(consumer).records == 7, "only looked at"


def test_content_state_and_history_are_gone(make_store: MakeStore, consumer: Consumer) -> None:
    store = make_store()
    passes.initialise(store, consumer, [A, B], 10)
    store.remember(report(consumer, 1), 10, WITHIN)
    make_store().forget(consumer)
    assert_nothing_is_left(make_store(), consumer)
    make_store().forget(consumer)


def test_a_state_without_a_content_is_forgotten_too(store: Store, consumer: Consumer) -> None:
    with store.writer(consumer) as writer:
        writer.save(at(0, writer.state))
    assert store.footprint(consumer) == Footprint(state=True)
    store.forget(consumer)
    assert_nothing_is_left(store, consumer)


def test_other_consumers_keep_all_that_is_theirs(make_store: MakeStore, consumer: Consumer) -> None:
    """Of the same context, whose states some stores keep together."""
    other = Consumer(consumer.context, "another", f"{consumer.index}-2")
    store = make_store()
    for each, offset in ((consumer, 10), (other, 20)):
        passes.initialise(store, each, [A, B], offset)
        store.remember(report(each, 1), 10, WITHIN)
    before = store.read_state(other)

    store.forget(consumer)

    assert_nothing_is_left(store, consumer)
    assert store.read_state(other) == before
    assert passes.contents(store, other) == lines(A, B)
    assert len(list(store.passes(other, 10))) == 1
    with store.writer(other) as writer:
        passes.apply(writer, [record("CVE-3", 21)], to=30)
    assert passes.contents(store, other) == lines(A, B, record("CVE-3", 21))


def test_a_pass_begins_anew_on_what_was_forgotten(make_store: MakeStore, consumer: Consumer) -> None:
    passes.initialise(make_store(), consumer, [A, B], 10)
    make_store().forget(consumer)
    passes.initialise(make_store(), consumer, [A], 30)
    assert passes.contents(make_store(), consumer) == lines(A)
    assert make_store().read_state(consumer).offset == 30


def test_a_content_is_forgotten_under_whatever_name_readers_find_it(
    make_store: MakeStore, consumer: Consumer
) -> None:
    """Settings that name the consumer no more do not say which index it had either."""
    passes.initialise(make_store(), consumer, [A, B], 10)
    unnamed = Consumer(consumer.context, consumer.name, f"{consumer.index}-of-somebody-else")
    assert make_store().footprint(unnamed).records == 2
    make_store().forget(unnamed)
    assert_nothing_is_left(make_store(), consumer)


def begun(writer: Writer, killed: ExitStack) -> None:
    load = killed.enter_context(writer.load(passes.snapshot(30)))
    load.add([record("CVE-9", 25)])


def idle(writer: Writer, killed: ExitStack) -> None:
    pass


@pytest.mark.parametrize("work", [begun, idle])
def test_what_a_killed_pass_has_left_goes_along_and_it_writes_nothing_more(
    make_store: MakeStore, consumer: Consumer, killed: ExitStack, work: Callable[[Writer, ExitStack], None]
) -> None:
    passes.initialise(make_store(), consumer, [A, B], 10)
    first = killed.enter_context(make_store().writer(consumer))
    work(first, killed)

    make_store().forget(consumer)

    assert_nothing_is_left(make_store(), consumer)
    with pytest.raises(AnotherPass):
        first.save(at(0, first.state))
    with pytest.raises(AnotherPass):
        passes.load(first, consumer, [A], 40)
    assert_nothing_is_left(make_store(), consumer)


def test_a_first_load_that_was_killed_is_listed_and_forgotten(
    make_store: MakeStore, consumer: Consumer, killed: ExitStack
) -> None:
    """Half a content takes room, and no reader ever sees it."""
    begun(killed.enter_context(make_store().writer(consumer)), killed)
    store = make_store()
    assert store.footprint(consumer).records is None
    store.forget(consumer)
    assert_nothing_is_left(store, consumer)
