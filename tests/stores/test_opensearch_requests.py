"""Requests that need not be sent: each takes its time, and a node may have gone by then."""

from __future__ import annotations

from contextlib import closing

import msgspec
import pytest

from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState
from ctisync.errors import StoreUnavailable
from tests.stores.small_node import CONSUMER, SmallNode, with_content

DOCUMENT = f"/wazuh-context/_doc/{CONSUMER.context}"


@pytest.fixture
def node() -> SmallNode:
    """With a content, which a pass initialised."""
    node = SmallNode()
    with_content(node)
    return node


def opened_after(node: SmallNode, *read: Consumer) -> list[str]:
    """The requests that make a writer, once the states of these consumers have been read."""
    with closing(node.store()) as store:
        for each in read:
            store.read_state(each)
        node.requests.clear()
        with store.writer(CONSUMER) as writer:
            requests = list(node.requests)
            assert writer.state.offset == 10
        return requests


def test_a_writer_does_not_read_again_what_the_pass_has_just_read(node: SmallNode) -> None:
    [health, acquired, inventory, fenced, document] = opened_after(node, CONSUMER)
    assert (health, acquired) == ("GET /_cat/health", f"PUT {DOCUMENT}")
    assert inventory.startswith("GET /ctisync-")
    assert (fenced, document) == ("POST /_aliases", f"GET {DOCUMENT}")


@pytest.mark.parametrize("read", [[], [Consumer(name="another")], [CONSUMER, Consumer(name="another")]])
def test_a_writer_of_what_was_not_read_last_reads_it(node: SmallNode, read: list[Consumer]) -> None:
    assert len(opened_after(node, *read)) == 7


def test_a_second_writer_reads_what_the_first_has_left(node: SmallNode) -> None:
    with closing(node.store()) as store:
        store.read_state(CONSUMER)
        with store.writer(CONSUMER):
            pass
        node.requests.clear()
        with store.writer(CONSUMER):
            assert len(node.requests) == 7


def test_what_another_pass_has_written_since_is_not_written_over(node: SmallNode) -> None:
    with closing(node.store()) as store:
        store.read_state(CONSUMER)
        node.put(lambda entry: msgspec.structs.replace(entry, state=after(entry.state, 15)))
        with store.writer(CONSUMER) as writer:
            assert writer.state.offset == 15


def after(state: ConsumerState, offset: int) -> ConsumerState:
    return msgspec.structs.replace(state, offset=offset)


def test_forget_sends_nothing_after_its_last_write(node: SmallNode) -> None:
    """If the node had gone by then, the command would wait for it, though all is done."""
    with closing(node.store()) as store:
        store.forget(CONSUMER)
    assert (node.fields, node.generations) == ({}, {})
    assert node.requests[-1] == f"PUT {DOCUMENT}"


def test_forget_that_fails_gives_its_lease_back(node: SmallNode) -> None:
    with closing(node.store()) as store:
        node.meanwhile.append(("POST /ctisync-history", unreachable))
        with pytest.raises(StoreUnavailable):
            store.forget(CONSUMER)
    assert node.document().read().has_entry
    assert node.entry().lease is None


def unreachable() -> None:
    raise StoreUnavailable("the node has gone")
