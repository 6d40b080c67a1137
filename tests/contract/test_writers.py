"""Every store: there is one writer at a time, and one that was taken over from writes nothing more."""

from collections.abc import Callable
from contextlib import ExitStack

import msgspec
import pytest

from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState
from ctisync.errors import AnotherPass
from ctisync.ports import Load, Store, Writer
from tests.contract import passes
from tests.contract.passes import at, lines
from tests.support.records import record
from tests.support.stores import MakeStore

A, B = record("CVE-1", 1), record("CVE-2", 2)


def save(writer: Writer) -> None:
    writer.save(at(0, writer.state))


def apply(writer: Writer) -> None:
    passes.apply(writer, [record("CVE-1", 11)], to=40)


def begin_load(writer: Writer) -> None:
    with writer.load(passes.snapshot(30)):
        pass


@pytest.mark.parametrize("step", [save, apply, begin_load])
def test_an_overtaken_writer_writes_nothing_more(
    make_store: MakeStore, consumer: Consumer, killed: ExitStack, step: Callable[[Writer], None]
) -> None:
    """A pass that was stopped, or thought to be dead, wakes up while the next one works."""
    passes.initialise(make_store(), consumer, [A, B], 10)
    first = killed.enter_context(make_store().writer(consumer))
    with make_store().writer(consumer) as second:
        passes.apply(second, [record("CVE-2", 21)], to=30)
        with pytest.raises(AnotherPass):
            step(first)
        passes.apply(second, [record("CVE-2", 31)], to=35)
        after = second.state

    with pytest.raises(AnotherPass):
        step(first)
    assert make_store().read_state(consumer) == after
    assert passes.contents(make_store(), consumer) == lines(A, record("CVE-2", 31))


def add(load: Load, after: ConsumerState) -> None:
    load.add([record("CVE-9", 26)])
    load.publish(after)  # at the latest


def publish(load: Load, after: ConsumerState) -> None:
    load.publish(after)


@pytest.mark.parametrize("step", [add, publish])
def test_an_overtaken_load_never_goes_live(
    make_store: MakeStore,
    consumer: Consumer,
    killed: ExitStack,
    step: Callable[[Load, ConsumerState], None],
) -> None:
    passes.initialise(make_store(), consumer, [A, B], 10)
    first = killed.enter_context(make_store().writer(consumer))
    load = killed.enter_context(first.load(passes.snapshot(30)))
    load.add([record("CVE-9", 25)])
    after = passes.loaded(first, consumer, 30)
    with make_store().writer(consumer) as second:
        with pytest.raises(AnotherPass):
            step(load, after)
        assert passes.load(second, consumer, [record("CVE-3", 24)], 25) == 1

    assert make_store().read_state(consumer).offset == 25
    assert passes.contents(make_store(), consumer) == lines(record("CVE-3", 24))


def test_a_pass_may_take_over_again_and_again(make_store: MakeStore, consumer: Consumer) -> None:
    for number in range(1, 5):
        with make_store().writer(consumer) as writer:
            passes.load(writer, consumer, [record("CVE-1", number)], number)
            writer.save(msgspec.structs.replace(writer.state, owed=None))

    assert passes.contents(make_store(), consumer) == lines(record("CVE-1", 4))


def test_keeping_alive_and_making_searchable_change_nothing(store: Store, consumer: Consumer) -> None:
    with store.writer(consumer) as writer:
        writer.keep_alive()
        writer.make_searchable()
        passes.load(writer, consumer, [A, B], 10)
        before = writer.state
        for _ in range(3):
            writer.keep_alive()
            writer.make_searchable()
        assert writer.state == before

    assert store.read_state(consumer) == before
    assert passes.contents(store, consumer) == lines(A, B)
