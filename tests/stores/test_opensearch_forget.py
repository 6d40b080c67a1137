"""OpenSearch only: killed, sent twice or overtaken, `forget` leaves no half, and takes nothing of others."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from ctisync.core.model import Consumer, Footprint
from ctisync.core.state import ConsumerState
from ctisync.errors import AnotherPass
from ctisync.ports import Store
from ctisync.stores.opensearch.client import OpenSearchReply
from ctisync.stores.opensearch.store import OpenSearchStore
from tests.contract.test_history import WITHIN, report
from tests.stores import opensearch_kit as kit
from tests.support.clock import FakeClock
from tests.support.faults import Killed
from tests.support.faults_node import TransportInFront, alters
from tests.support.figures import figure
from tests.support.opensearch_node import OpenSearchNode
from tests.support.records import record

OLD = [record("CVE-1", 1), record("CVE-2", 2)]
NEW = [record("CVE-3", 33)]


@pytest.fixture
def node(opensearch_2: OpenSearchNode) -> OpenSearchNode:
    return opensearch_2


def initialised(node: OpenSearchNode) -> Consumer:
    consumer = kit.new_consumer()
    store = kit.open_store(node)
    kit.initialise(store, consumer, OLD, 20)
    store.remember(report(consumer, 1), 10, WITHIN)
    return consumer


def forget(store: Store, consumer: Consumer) -> None:
    store.forget(consumer)


def start_anew(store: Store, consumer: Consumer) -> None:
    kit.initialise(store, consumer, NEW, 40)


def is_killed(node: OpenSearchNode, consumer: Consumer, writes: int) -> bool:
    store = kit.mortal_store(node, writes)
    try:
        store.forget(consumer)
    except Killed:
        return True
    finally:
        store.close()
    return False


@pytest.mark.parametrize("then", [forget, start_anew])
def test_killed_after_any_write_no_half_of_a_content_counts_as_whole(
    node: OpenSearchNode, then: Callable[[Store, Consumer], None]
) -> None:
    points = 0
    while is_killed(node, consumer := initialised(node), points + 1):
        points += 1
        store = kit.open_store(node)
        assert store.read_state(consumer).offset == 0
        if store.summary(consumer).records is not None:
            assert kit.lines(store, consumer) == [each.line for each in OLD]

        then(store, consumer)
        if then is start_anew:
            with store.writer(consumer):  # what was replaced is dropped by a later pass
                pass

        kit.refresh(node, consumer)
        expected = [each.line for each in NEW] if then is start_anew else []
        assert (kit.lines(store, consumer) if then is start_anew else []) == expected
        assert len(kit.aliases(node, consumer)) == len(expected)
        assert not any("-w-" in alias for of in kit.aliases(node, consumer).values() for alias in of)
        if then is forget:
            assert store.footprint(consumer) == Footprint()
    assert points >= 5
    figure(
        f"T1 forget, OpenSearch: killed after each of {points} writes, then {then.__name__}: "
        "the old content whole or none"
    )


def test_each_request_may_be_done_twice(node: OpenSearchNode) -> None:
    consumer = initialised(node)
    kit.forgetful_store(node).forget(consumer)
    assert kit.open_store(node).footprint(consumer) == Footprint()
    assert kit.aliases(node, consumer) == {}


class Interrupting(TransportInFront):
    """Does something else right before its `writes`-th request that alters something."""

    def __init__(self, store: OpenSearchStore, writes: int, work: Callable[[], None]) -> None:
        super().__init__(store)
        self._left = writes
        self._work = work

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        if alters(method, target):
            self._left -= 1
            if self._left == 0:
                self._work()
        return super().send(method, target, body, timeout)


def test_overtaken_before_any_write_it_takes_nothing_of_the_pass_that_has_overtaken(
    node: OpenSearchNode,
) -> None:
    """It was stopped for longer than its lease; then another host's pass began."""
    for writes in range(2, 20):
        consumer = initialised(node)
        reached: list[int] = []

        def pass_of_another(consumer: Consumer = consumer, reached: list[int] = reached) -> None:
            reached.append(1)
            start_anew(kit.open_store(node), consumer)

        store = kit.open_store(node)
        Interrupting(store, writes, pass_of_another)
        with suppress(AnotherPass):
            store.forget(consumer)
        if not reached:
            break
        readers = kit.open_store(node)
        assert readers.read_state(consumer).offset == 40, writes
        assert kit.lines(readers, consumer) == [each.line for each in NEW], writes
        kit.initialise(readers, consumer, OLD, 50)
    assert writes > 5
    figure(f"T1 forget, OpenSearch: overtaken before each of {writes - 2} writes: 0 taken of the other pass")


@pytest.mark.parametrize("lock", ["another's", None])
def test_a_lease_of_another_host_keeps_it_away(node: OpenSearchNode, lock: str | None) -> None:
    consumer = initialised(node)
    clock = FakeClock()
    with kit.open_store(node, clock, host_lock=lock).writer(consumer):
        with pytest.raises(AnotherPass, match="another pass works on this consumer"):
            kit.open_store(node).forget(consumer)
        assert kit.lines(kit.open_store(node), consumer) == [each.line for each in OLD]


def test_what_others_keep_in_the_document_stays(node: OpenSearchNode) -> None:
    consumer = initialised(node)
    content = kit.document(node, consumer)
    content["theirs"] = {"offset": 7}
    content[consumer.name]["note"] = "théirs"
    kit.put_document(node, consumer, content)

    kit.open_store(node).forget(consumer)

    assert kit.document(node, consumer) == {"theirs": {"offset": 7}, consumer.name: {"note": "théirs"}}


def test_another_programs_index_under_the_alias_stays(node: OpenSearchNode) -> None:
    consumer = initialised(node)
    [generation] = kit.aliases(node, consumer)
    removed = {"remove": {"index": generation, "alias": consumer.index}}
    node.request("POST", "/_aliases", {"actions": [removed]})
    node.request("PUT", f"/{consumer.index}/_doc/1?refresh=true", {"theirs": 1})

    kit.open_store(node).forget(consumer)

    assert kit.aliases(node, consumer) == {}
    assert node.request("GET", f"/{consumer.index}/_doc/1")["_source"] == {"theirs": 1}
    node.request("DELETE", f"/{consumer.index}")


def test_a_content_whose_state_is_gone_is_forgotten(node: OpenSearchNode) -> None:
    consumer = initialised(node)
    kit.put_document(node, consumer, {})
    store = kit.open_store(node)
    assert store.footprint(consumer).records == len(OLD)
    store.forget(consumer)
    assert store.footprint(consumer) == Footprint()
    assert store.read_state(consumer) == ConsumerState()


def test_where_nothing_is_stored_nothing_is_written(node: OpenSearchNode) -> None:
    node.wipe()
    kit.open_store(node).forget(kit.new_consumer())
    assert node.request("GET", "/_alias?expand_wildcards=all") == {}
