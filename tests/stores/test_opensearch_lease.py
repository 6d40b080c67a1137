"""The lease on OpenSearch: who may take it when, and that nothing is left to who has lost it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from ctisync.core.model import Consumer, Delete
from ctisync.errors import AnotherPass
from ctisync.stores.opensearch.bulk import RecordVersion, delete, index
from ctisync.stores.opensearch.lease import new_lease
from ctisync.stores.opensearch.store import OpenSearchStore
from tests.stores import opensearch_kit as kit
from tests.support.clock import FakeClock
from tests.support.opensearch_node import OpenSearchNode
from tests.support.records import read, record

A, B, C = record("CVE-1", 1), record("CVE-2", 2), record("CVE-3", 13)
TTL = 900


@pytest.fixture
def store(opensearch_2: OpenSearchNode) -> Iterator[OpenSearchStore]:
    with closing(kit.open_store(opensearch_2)) as opened:
        yield opened


@pytest.fixture
def consumer(store: OpenSearchStore) -> Consumer:
    """With the content A, B at offset 10."""
    made = kit.new_consumer()
    kit.initialise(store, made, [A, B], 10)
    return made


def in_(seconds: float) -> int:
    return int(time.time() + seconds)


def put_own_lease(node: OpenSearchNode, consumer: Consumer, **changes: object) -> None:
    """As a killed pass leaves it that held the lock of `kit.open_store`."""
    me = new_lease()
    left = {"owner": me.owner, "host": me.host, "lock": kit.LOCK, "until": in_(600)}
    kit.put_lease(node, consumer, **left | changes)


def test_a_lease_says_who_holds_it_and_is_gone_after_the_pass(
    store: OpenSearchStore, consumer: Consumer, opensearch_2: OpenSearchNode
) -> None:
    with store.writer(consumer):
        lease = kit.document(opensearch_2, consumer)["vd_4.8.0"]["ctisync"]["lease"]
        assert (lease["owner"], lease["host"]) == (new_lease().owner, new_lease().host)
        assert lease["pid"] == os.getpid()
        assert TTL - 60 < lease["until"] - time.time() <= TTL
        assert [alias for aliases in kit.aliases(opensearch_2, consumer).values() for alias in aliases] != [
            consumer.index
        ]
    assert kit.document(opensearch_2, consumer)["vd_4.8.0"]["ctisync"]["lease"] is None
    assert [*kit.aliases(opensearch_2, consumer).values()] == [{consumer.index}]


def test_a_live_lease_of_another_host_ends_the_pass_at_once_and_is_left_alone(
    store: OpenSearchStore, consumer: Consumer, opensearch_2: OpenSearchNode
) -> None:
    kit.put_lease(opensearch_2, consumer, until=in_(600))
    before = kit.document(opensearch_2, consumer)
    with (
        pytest.raises(AnotherPass, match=r"root on other-host, process 4711, lease until 20"),
        store.writer(consumer),
    ):
        pass
    assert kit.document(opensearch_2, consumer) == before


@pytest.mark.parametrize(
    "until", [-1, 2 * TTL + 3600], ids=["expired", "further away than any clock's mistake"]
)
def test_an_impossible_lease_is_taken_over(
    store: OpenSearchStore, consumer: Consumer, opensearch_2: OpenSearchNode, until: float
) -> None:
    kit.put_lease(opensearch_2, consumer, until=in_(until))
    with store.writer(consumer) as writer:
        kit.apply(writer, [C], 20)
    assert store.read_state(consumer).offset == 20


@pytest.mark.parametrize("time", [-(10**15), 10**15])
def test_a_lease_with_times_of_no_calendar_is_shown_and_taken_over_like_any_other(
    store: OpenSearchStore, consumer: Consumer, opensearch_2: OpenSearchNode, time: int
) -> None:
    put_own_lease(opensearch_2, consumer, since=time, until=time)
    store.work(consumer)
    with store.writer(consumer) as writer:
        assert writer.state.offset == 10


def test_a_state_that_says_unsettled_is_settled_by_its_writer(
    store: OpenSearchStore, consumer: Consumer, opensearch_2: OpenSearchNode
) -> None:
    """ctisync stores no such thing: it finds it out by itself."""
    doc = {"doc": {consumer.name: {"ctisync": {"state": {"unsettled": True}}}}}
    opensearch_2.request("POST", f"/wazuh-context/_update/{consumer.context}?refresh=true", doc)
    with store.writer(consumer) as writer:
        assert not writer.state.unsettled


def test_a_lease_is_a_dead_ones_for_the_holder_of_the_lock_that_it_names(
    store: OpenSearchStore, consumer: Consumer, opensearch_2: OpenSearchNode
) -> None:
    put_own_lease(opensearch_2, consumer)
    with (
        closing(kit.open_store(opensearch_2, host_lock=None)) as without_lock,
        pytest.raises(AnotherPass),
        without_lock.writer(consumer),
    ):
        pass
    with store.writer(consumer) as writer:
        assert writer.state.offset == 10


def test_a_lease_that_a_killed_pass_left_makes_the_next_pass_settle_also_with_nothing_to_write(
    store: OpenSearchStore, consumer: Consumer, opensearch_2: OpenSearchNode
) -> None:
    """Else it keeps other hosts away until it expires, and its document tells of a holder for ever."""
    assert not store.read_state(consumer).unsettled
    put_own_lease(opensearch_2, consumer)
    assert store.read_state(consumer).unsettled
    with closing(kit.open_store(opensearch_2, host_lock=None)) as unlocked:
        assert not unlocked.read_state(consumer).unsettled, "it may be alive"
    kit.put_lease(opensearch_2, consumer, until=in_(600))
    assert not store.read_state(consumer).unsettled, "another host's is not ours to judge"
    put_own_lease(opensearch_2, consumer, lock="another lock file's")
    assert not store.read_state(consumer).unsettled, (
        "nor is one of this host that was taken under another lock"
    )


def test_a_fence_that_was_put_up_after_its_pass_had_gone_makes_the_next_pass_settle(
    store: OpenSearchStore, consumer: Consumer, opensearch_2: OpenSearchNode
) -> None:
    """A stopped pass does not wait for the reply to its last request, which may be done after all others."""
    (live,) = kit.aliases(opensearch_2, consumer)
    fence = store._generations(consumer).new_fence("0123456789abcdef", 0)
    opensearch_2.request("PUT", f"/{live}/_alias/{fence}")
    assert store.read_state(consumer).unsettled
    kit.put_lease(opensearch_2, consumer, until=in_(600))
    assert not store.read_state(consumer).unsettled, "it is its holder's, who may be alive"
    put_own_lease(opensearch_2, consumer)
    with store.writer(consumer):
        pass
    assert kit.aliases(opensearch_2, consumer) == {live: {consumer.index}}
    assert not store.read_state(consumer).unsettled


def test_a_lease_of_another_user_of_this_host_is_not_ours_to_take(
    store: OpenSearchStore, consumer: Consumer, opensearch_2: OpenSearchNode
) -> None:
    """He has a lock file of his own."""
    put_own_lease(opensearch_2, consumer, owner="somebody-else")
    with pytest.raises(AnotherPass, match="somebody-else"), store.writer(consumer):
        pass


def test_a_pass_that_finds_nothing_to_do_leaves_it_to_who_holds_the_lease(
    store: OpenSearchStore, consumer: Consumer, opensearch_2: OpenSearchNode
) -> None:
    state = store.read_state(consumer)
    kit.put_lease(opensearch_2, consumer, until=in_(600))
    before = kit.document(opensearch_2, consumer)
    store.record_check(consumer, state)
    assert kit.document(opensearch_2, consumer) == before


def test_a_long_step_renews_the_lease_after_a_third_of_it(
    consumer: Consumer, opensearch_2: OpenSearchNode
) -> None:
    clock = FakeClock()

    def until() -> int:
        time: int = kit.document(opensearch_2, consumer)["vd_4.8.0"]["ctisync"]["lease"]["until"]
        return time

    with (
        closing(kit.open_store(opensearch_2, clock)) as store,
        store.writer(consumer) as writer,
    ):
        first = until()
        clock.advance(seconds=TTL / 3 - 1)
        writer.keep_alive()
        assert until() == first
        clock.advance(seconds=2)
        writer.keep_alive()
        assert until() == pytest.approx(first + TTL / 3 + 1, abs=2)


def test_who_has_lost_the_lease_changes_nothing_any_more(
    store: OpenSearchStore, consumer: Consumer, opensearch_2: OpenSearchNode
) -> None:
    """Not the state, not a record of the live content, not a generation, not the alias."""
    with ExitStack() as stack:
        lost = stack.enter_context(store.writer(consumer))
        read(lost, ["CVE-1", "CVE-2"])
        load = stack.enter_context(lost.load(kit.snapshot(30)))
        load.add([C])
        after = kit.loaded(lost.state, consumer, 30)
        new = stack.enter_context(store.writer(consumer))
        before = (kit.document(opensearch_2, consumer), kit.aliases(opensearch_2, consumer))

        fence, live = lost._live_fence(), lost._fenced.live
        assert live is not None
        for attempt in (
            lambda: lost.save(lost.state),
            lambda: lost.save(lost.state),  # the second one knows the document of the new holder
            lambda: read(lost, ["CVE-1"]),
            lambda: lost.apply([C], lost.state.advanced(20, kit.NOW)),
            lambda: lost._records.send(fence, [index(C)]),
            lambda: lost._records.send(
                fence, [delete("CVE-1", 15, RecordVersion(version=1, seq_no=0, primary_term=1))]
            ),
            lambda: load.publish(after),
            lost.make_searchable,
        ):
            with pytest.raises(AnotherPass):
                attempt()
        assert not lost._fenced.swap(load._generation)
        assert (kit.document(opensearch_2, consumer), kit.aliases(opensearch_2, consumer)) == before
        assert read(new, ["CVE-1", "CVE-2", "CVE-3"]) == {"CVE-1": A, "CVE-2": B}

        kit.apply(new, [C, Delete("CVE-1", 14)], 20)
        new.make_searchable()
    assert kit.lines(store, consumer) == [B.line, C.line]
    assert store.read_state(consumer).offset == 20


def test_who_has_lost_the_lease_of_a_first_load_neither_shows_nor_removes_a_generation(
    store: OpenSearchStore, opensearch_2: OpenSearchNode
) -> None:
    """His own generation is still there: without a live content the new holder had nothing to assert."""
    consumer = kit.new_consumer()
    with ExitStack() as stack:
        lost = stack.enter_context(store.writer(consumer))
        his = stack.enter_context(lost.load(kit.snapshot(30)))
        new = stack.enter_context(store.writer(consumer))
        assert his._generation in kit.aliases(opensearch_2, consumer)

        assert not lost._fenced.swap(his._generation)
        assert store.summary(consumer).records is None

        with new.load(kit.snapshot(10)) as load:
            load.add([A])
            before = kit.aliases(opensearch_2, consumer)
            with pytest.raises(AnotherPass):
                lost._fenced.drop_strays(his._generation)
            assert kit.aliases(opensearch_2, consumer) == before
            load.publish(kit.loaded(new.state, consumer, 10))
    assert kit.lines(store, consumer) == [A.line]
