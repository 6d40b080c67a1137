"""Every store: another consumer takes an index over in one step, if an operator wants it, and never else."""

from contextlib import ExitStack, suppress

import msgspec
import pytest

from ctisync.core.model import Consumer, Record
from ctisync.errors import AnotherPass, EmptyStore
from ctisync.ports import Store, Writer
from tests.contract import passes
from tests.contract.passes import NOW, apply, contents, lines
from tests.support.records import record
from tests.support.stores import MakeStore

OLD, NEWER, NEW = record("CVE-1", 1), record("CVE-1", 11), record("CVE-2", 2)


@pytest.fixture
def old(consumer: Consumer) -> Consumer:
    return consumer


@pytest.fixture
def new(old: Consumer) -> Consumer:
    """As after an upgrade of the plan: another context, the same index."""
    return Consumer(f"{old.context}_new", "public", old.index)


def request(writer: Writer, consumer: Consumer) -> None:
    """What `init-snapshot --replace` stores first."""
    writer.save(writer.state.initialisation_requested(consumer, NOW))


def replace(store: Store, consumer: Consumer, *records: Record) -> None:
    with store.writer(consumer) as writer:
        request(writer, consumer)
        passes.load(writer, consumer, records, 20)


def test_a_new_consumer_learns_whose_content_is_there_and_leaves_it_alone(
    make_store: MakeStore, old: Consumer, new: Consumer
) -> None:
    store = make_store()
    passes.initialise(store, old, [OLD], 10)
    assert store.read_state(new).occupant == str(old)
    with pytest.raises(EmptyStore, match=old.context):
        list(store.export(new))
    with store.writer(new) as writer:
        assert writer.state.occupant == str(old)
        with suppress(AnotherPass):
            passes.load(writer, new, [NEW], 20)
    assert contents(make_store(), old) == lines(OLD)
    state = make_store().read_state(old)
    assert (state.occupant, state.unsettled, state.offset) == (None, False, 10)


def test_a_requested_replacement_shows_readers_the_old_content_until_the_new_one_is_whole(
    make_store: MakeStore, old: Consumer, new: Consumer
) -> None:
    passes.initialise(make_store(), old, [OLD], 10)
    with make_store().writer(new) as writer:
        request(writer, new)
        with writer.load(passes.snapshot(20)) as building:
            building.add([NEW])
            assert contents(make_store(), old) == lines(OLD)
            building.publish(passes.loaded(writer, new, 20))
        assert writer.state.occupant is None
    store = make_store()
    assert contents(store, new) == lines(NEW)
    assert (store.read_state(new).occupant, store.read_state(new).requested) == (None, None)
    assert store.read_state(old).occupant == str(new)
    with pytest.raises(EmptyStore, match=str(new)):
        list(store.export(old))


def test_a_replaced_consumer_keeps_its_state_until_it_is_forgotten_and_takes_nothing_along(
    make_store: MakeStore, old: Consumer, new: Consumer
) -> None:
    store = make_store()
    passes.initialise(store, old, [OLD], 10)
    replace(store, new, NEW)
    assert store.read_state(old).offset == 10
    assert str(old) in [str(each) for each in store.consumers()]
    store.forget(old)
    assert str(old) not in [str(each) for each in store.consumers()]
    assert contents(make_store(), new) == lines(NEW)


def test_a_later_pass_over_the_replaced_consumer_does_not_take_the_index_back(
    make_store: MakeStore, old: Consumer, new: Consumer
) -> None:
    store = make_store()
    passes.initialise(store, old, [OLD], 10)
    replace(store, new, NEW)
    with make_store().writer(old) as writer:
        assert writer.state.occupant == str(new)
        with pytest.raises(AnotherPass):
            passes.load(writer, old, [NEWER], 30)
    assert contents(make_store(), new) == lines(NEW)
    assert make_store().read_state(old).occupant == str(new)


@pytest.mark.parametrize("step", ["a range", "a swap"])
def test_a_running_pass_over_the_replaced_consumer_reaches_no_reader(
    make_store: MakeStore, old: Consumer, new: Consumer, killed: ExitStack, step: str
) -> None:
    passes.initialise(make_store(), old, [OLD], 10)
    running = killed.enter_context(make_store().writer(old))
    load = killed.enter_context(running.load(passes.snapshot(30))) if step == "a swap" else None
    replace(make_store(), new, NEW)
    with suppress(AnotherPass):  # where it writes to a content without readers, it may go on to its end
        if load is None:
            apply(running, [NEWER], 11)
        else:
            load.add([NEWER])
            load.publish(passes.loaded(running, old, 30))
            pytest.fail("the replaced consumer is live again")
    assert contents(make_store(), new) == lines(NEW)
    assert make_store().read_state(old).occupant == str(new)
    apply_to_new(make_store(), new)


def apply_to_new(store: Store, new: Consumer) -> None:
    """The new consumer goes on."""
    changed = record("CVE-2", 21)
    with store.writer(new) as writer:
        apply(writer, [changed], 21)
    assert contents(store, new) == lines(changed)


def test_only_the_consumer_that_the_operator_named_is_replaced(
    make_store: MakeStore, old: Consumer, new: Consumer
) -> None:
    store = make_store()
    passes.initialise(store, old, [OLD], 10)
    third = msgspec.structs.replace(new, context=f"{new.context}_third")
    with make_store().writer(new) as writer:
        request(writer, new)
    replace(make_store(), third, NEWER)
    with make_store().writer(new) as writer, pytest.raises(AnotherPass, match=str(third)):
        passes.load(writer, new, [NEW], 20)
    assert contents(make_store(), third) == lines(NEWER)


def test_what_was_replaced_can_be_loaded_again_in_its_place(
    make_store: MakeStore, old: Consumer, new: Consumer
) -> None:
    store = make_store()
    passes.initialise(store, old, [OLD], 10)
    replace(store, new, NEW)
    replace(make_store(), old, NEWER)
    assert contents(make_store(), old) == lines(NEWER)
    assert make_store().read_state(new).occupant == str(old)
