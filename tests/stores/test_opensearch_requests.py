"""Requests that need not be sent: each takes its time, and a node may have gone by then."""

from __future__ import annotations

from contextlib import closing

import pytest

from ctisync.errors import StoreUnavailable
from tests.stores.small_node import CONSUMER, SmallNode, with_content

DOCUMENT = f"/wazuh-context/_doc/{CONSUMER.context}"


@pytest.fixture
def node() -> SmallNode:
    """With a content, which a pass initialised."""
    node = SmallNode()
    with_content(node)
    return node


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
