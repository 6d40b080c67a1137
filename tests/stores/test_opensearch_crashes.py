"""Killed after any of its writes, a pass leaves what the next one turns into the same content and offset.

Dying before a write is dying after the write before it, and reads change nothing, so this is every point.
"""

from collections.abc import Callable
from contextlib import closing

import msgspec
import pytest

from ctisync.core.model import Consumer, Delete, Record, Write
from ctisync.errors import AnotherPass, StoreUnavailable
from ctisync.ports import Store
from tests.stores import opensearch_kit as kit
from tests.support.faults import Killed
from tests.support.opensearch_node import OpenSearchNode
from tests.support.records import record

SNAPSHOT = [record("CVE-2", 12), record("CVE-3", 3), record("CVE-4", 14)]
RANGE: list[Write] = [record("CVE-2", 21), Delete("CVE-3", 22), record("CVE-5", 25)]
OLDER = [record("CVE-1", 1), record("CVE-2", 2)]
NEWER = [record("CVE-9", 50)]
RESULT = [record("CVE-2", 21), record("CVE-4", 14), record("CVE-5", 25)]

Run = Callable[[Store, Consumer], None]


def whole_pass(store: Store, consumer: Consumer) -> None:
    """Initialise from the snapshot at 20 when its content isn't there, apply the range (20, 30]."""
    with store.writer(consumer) as writer:
        if writer.state.offset not in (20, 30):
            kit.load(writer, consumer, SNAPSHOT, 20)
        if writer.state.offset == 20:
            kit.apply(writer, RANGE, 30)
        writer.make_searchable()


def init_snapshot(store: Store, consumer: Consumer) -> None:
    """What the operator's command does, whatever is stored."""
    with store.writer(consumer) as writer:
        kit.load(writer, consumer, SNAPSHOT, 20)


def take_over(store: Store, consumer: Consumer) -> None:
    with store.writer(consumer):
        pass


def dies(node: OpenSearchNode, consumer: Consumer, run: Run, writes: int) -> bool:
    """Run until the process is killed after so many writes; False when it came to its end before that."""
    store = kit.mortal_store(node, writes)
    try:
        run(store, consumer)
    except Killed:
        return True
    finally:
        store.close()
    return False


def assert_readers_are_well(store: Store, consumer: Consumer, before: list[Record], offset: int) -> None:
    """Between two passes: a whole content or none, never an offset above it."""
    state = store.read_state(consumer)
    if store.summary(consumer).records is None:
        assert (before, state.offset) == ([], 0)
    elif state.range_to is None:
        contents = {"before": before, "snapshot": SNAPSHOT, "result": RESULT}
        stored = kit.lines(store, consumer)
        matches = [name for name, records in contents.items() if stored == [each.line for each in records]]
        assert len(matches) == 1
        assert state.offset <= {"before": offset, "snapshot": 20, "result": 30}[matches[0]]


def assert_the_next_pass_makes_it_good(store: Store, consumer: Consumer, node: OpenSearchNode) -> None:
    whole_pass(store, consumer)
    take_over(store, consumer)  # what was replaced is dropped by a later pass
    state = store.read_state(consumer)
    assert (state.offset, state.range_to, state.unsettled, state.loading) == (30, None, False, False)
    assert state.owed is not None
    assert state.owed.offset == 30
    assert kit.lines(store, consumer) == [each.line for each in RESULT]
    assert [*kit.aliases(node, consumer).values()] == [{consumer.index}]


@pytest.mark.parametrize(
    ("before", "offset", "run", "at_least"),
    [([], 0, whole_pass, 12), (OLDER, 10, whole_pass, 14), (NEWER, 60, init_snapshot, 10)],
    ids=["first pass", "a pass with an older content", "init-snapshot to a lower offset"],
)
def test_a_pass_that_was_killed_after_any_write_is_made_good_by_the_next(
    opensearch_2: OpenSearchNode, before: list[Record], offset: int, run: Run, at_least: int
) -> None:
    with closing(kit.open_store(opensearch_2)) as store:
        writes, died = 0, True
        while died:
            writes += 1
            consumer = kit.new_consumer()
            if before:
                kit.initialise(store, consumer, before, offset)
            died = dies(opensearch_2, consumer, run, writes)
            kit.refresh(opensearch_2, consumer)
            assert_readers_are_well(store, consumer, before, offset)
            assert_the_next_pass_makes_it_good(store, consumer, opensearch_2)
        assert writes > at_least


@pytest.mark.parametrize("before_the_swap", [True, False], ids=["before the swap", "after the swap"])
def test_settling_a_swap_that_was_killed_after_any_write_is_made_good_by_the_next(
    opensearch_2: OpenSearchNode, before_the_swap: bool
) -> None:
    with closing(kit.open_store(opensearch_2)) as store:
        writes, died = 0, True
        while died:
            writes += 1
            consumer = kit.new_consumer()
            kit.initialise(store, consumer, NEWER, 60)
            assert dies(opensearch_2, consumer, init_snapshot, writes=7 if before_the_swap else 8)
            assert store.read_state(consumer).unsettled
            assert store.summary(consumer).records == len(NEWER if before_the_swap else SNAPSHOT)
            died = dies(opensearch_2, consumer, take_over, writes)
            assert_readers_are_well(store, consumer, NEWER, 60)
            assert_the_next_pass_makes_it_good(store, consumer, opensearch_2)
        assert writes > 5


def test_a_swap_whose_new_content_is_gone_leaves_the_old_one_at_its_offset(
    opensearch_2: OpenSearchNode,
) -> None:
    consumer = kit.new_consumer()
    with closing(kit.open_store(opensearch_2)) as store:
        kit.initialise(store, consumer, NEWER, 60)
        assert dies(opensearch_2, consumer, init_snapshot, writes=7)
        [unborn] = [
            name for name, to in kit.aliases(opensearch_2, consumer).items() if consumer.index not in to
        ]
        opensearch_2.request("DELETE", f"/{unborn}")

        take_over(store, consumer)
        state = store.read_state(consumer)
        assert (state.offset, state.content, state.unsettled) == (60, True, False)
        assert kit.lines(store, consumer) == [each.line for each in NEWER]


@pytest.mark.parametrize("before", [[], OLDER], ids=["first pass", "a pass with an older content"])
def test_a_pass_that_must_send_every_write_twice_ends_as_any_other(
    opensearch_2: OpenSearchNode, before: list[Record]
) -> None:
    """The reply to each of them is lost: no resent one is taken for another pass, or done twice."""
    consumer = kit.new_consumer()
    with (
        closing(kit.open_store(opensearch_2)) as store,
        closing(kit.forgetful_store(opensearch_2)) as forgetful,
    ):
        if before:
            kit.initialise(store, consumer, before, 10)
        whole_pass(forgetful, consumer)
        take_over(forgetful, consumer)
        assert_the_next_pass_makes_it_good(store, consumer, opensearch_2)


def init_snapshot_elsewhere(store: Store, consumer: Consumer) -> None:
    """What the operator's command does after the setting `index` was changed."""
    init_snapshot(store, elsewhere(consumer))


def elsewhere(consumer: Consumer) -> Consumer:
    return msgspec.structs.replace(consumer, index=f"{consumer.index}-new")


def test_killed_after_any_write_under_another_alias_the_old_content_stands_where_it_stood(
    opensearch_2: OpenSearchNode,
) -> None:
    """When the settings are then as before; unless the new content is live already, under the new alias."""
    kept = 0
    with closing(kit.open_store(opensearch_2)) as store:
        writes, died = 0, True
        while died:
            writes += 1
            consumer = kit.new_consumer()
            kit.initialise(store, consumer, NEWER, 60)
            died = dies(opensearch_2, consumer, init_snapshot_elsewhere, writes)
            take_over(store, consumer)
            state = store.read_state(consumer)
            assert kit.lines(store, consumer) == [each.line for each in NEWER]
            assert (state.content, state.loading, state.unsettled) == (True, False, False)
            if state.stored_for == consumer:
                kept += 1
                assert state.offset == 60
                assert set(kit.aliases(opensearch_2, consumer)) == {
                    store._generations(consumer).inventory().live
                }
            else:
                assert state.offset == 20
                assert kit.lines(store, elsewhere(consumer)) == [each.line for each in SNAPSHOT]
            init_snapshot_elsewhere(store, consumer)
            take_over(store, elsewhere(consumer))
            assert store.read_state(elsewhere(consumer)).offset == 20
            assert [*kit.aliases(opensearch_2, consumer).values()] == [{elsewhere(consumer).index}]
        assert writes - kept > 1, "the swap was never done"
        assert kept > 5


def replacing(consumer: Consumer) -> Consumer:
    """The consumer that takes the place of this one, as after an upgrade of the plan."""
    return msgspec.structs.replace(consumer, context=f"{consumer.context}-new")


def init_snapshot_in_its_place(store: Store, consumer: Consumer) -> None:
    """What the operator's `init-snapshot --replace` does."""
    new = replacing(consumer)
    with store.writer(new) as writer:
        if not writer.state.may_replace:
            writer.save(writer.state.initialisation_requested(new, kit.NOW))
        kit.load(writer, new, SNAPSHOT, 20)


def read_by_alias(node: OpenSearchNode, consumer: Consumer) -> list[str]:
    """The names that a reader finds under the alias."""
    node.request("POST", f"/{consumer.index}/_refresh")
    hits = node.request("GET", f"/{consumer.index}/_search?size=50")["hits"]["hits"]
    return sorted(hit["_id"] for hit in hits)


@pytest.mark.parametrize("next_over", ["new", "old"])
def test_killed_after_any_write_while_it_replaces_another_consumer_readers_find_the_one_or_the_other(
    opensearch_2: OpenSearchNode, next_over: str
) -> None:
    """Whichever of the two the next pass is over: it neither takes back nor loses what readers find."""
    old_names, new_names = ([each.name for each in records] for records in (NEWER, SNAPSHOT))
    swapped = 0
    with closing(kit.open_store(opensearch_2)) as store:
        writes, died = 0, True
        while died:
            writes += 1
            old = kit.new_consumer()
            new = replacing(old)
            kit.initialise(store, old, NEWER, 60)
            died = dies(opensearch_2, old, init_snapshot_in_its_place, writes)
            names = read_by_alias(opensearch_2, old)
            assert names in (old_names, new_names)
            swapped += names == new_names

            take_over(store, old if next_over == "old" else new)
            live = read_by_alias(opensearch_2, old)
            assert live == names or (next_over, live) == ("new", new_names), "a swap is finished, none undone"
            state = store.read_state(old)
            assert (state.offset, state.content) == (60, True)
            assert state.occupant == (None if live == old_names else str(new))
            if live == new_names:
                with store.writer(old) as writer, pytest.raises(AnotherPass):
                    kit.load(writer, old, OLDER, 70)

            if live == old_names:
                init_snapshot_in_its_place(store, old)
            take_over(store, new)
            assert read_by_alias(opensearch_2, old) == new_names
            state = store.read_state(new)
            assert (state.offset, state.unsettled, state.loading, state.occupant) == (20, False, False, None)
            assert state.owed is not None
            store.forget(old)
            assert [*kit.aliases(opensearch_2, new).values()] == [{new.index}]
        assert writes > 8
        assert swapped > 1


def test_a_pass_over_the_old_consumer_that_swaps_meanwhile_does_not_hold_the_replacement_up_for_good(
    opensearch_2: OpenSearchNode,
) -> None:
    old = kit.new_consumer()
    new = replacing(old)
    with closing(kit.open_store(opensearch_2)) as store, closing(kit.open_store(opensearch_2)) as other:
        kit.initialise(store, old, OLDER, 10)
        with store.writer(new) as writer:
            writer.save(writer.state.initialisation_requested(new, kit.NOW))
            with writer.load(kit.snapshot(20)) as load:
                load.add(SNAPSHOT)
                kit.initialise(other, old, NEWER, 60)
                with pytest.raises(StoreUnavailable, match="the next pass finishes it"):
                    load.publish(kit.loaded(writer.state, new, 20))
        assert read_by_alias(opensearch_2, old) == [each.name for each in NEWER]
        take_over(store, new)
        assert read_by_alias(opensearch_2, old) == [each.name for each in SNAPSHOT]
        assert (store.read_state(new).offset, store.read_state(old).occupant) == (20, str(new))
