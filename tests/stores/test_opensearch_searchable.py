"""What is stored is found by searches: of readers when a pass has ended, of our own commands at any time."""

from __future__ import annotations

from typing import Final

import pytest

from ctisync.core.model import Consumer, Write
from ctisync.ports import Writer
from tests.stores import opensearch_kit as kit
from tests.support.opensearch_node import OpenSearchNode
from tests.support.records import made_up, record

NEW: Final = record("CVE-2026-1", 30)


@pytest.fixture
def node(opensearch_2: OpenSearchNode) -> OpenSearchNode:
    return opensearch_2


@pytest.fixture
def stored(node: OpenSearchNode) -> Consumer:
    """Three records in an index that refreshes nothing by itself."""
    consumer = kit.new_consumer()
    kit.initialise(kit.open_store(node), consumer, made_up(3), 20)
    node.request("PUT", f"/{consumer.index}/_settings", {"index": {"refresh_interval": "-1"}})
    return consumer


def written(writer: Writer, *writes: Write) -> None:
    """A range, and nothing after it."""
    writer.apply(writes, writer.state.advanced(30, kit.NOW))


def hit_count(node: OpenSearchNode, consumer: Consumer) -> int:
    return int(node.request("GET", f"/{consumer.index}/_count")["count"])


def test_readers_can_search_what_a_pass_wrote_when_it_has_let_go(
    node: OpenSearchNode, stored: Consumer
) -> None:
    with kit.open_store(node).writer(stored) as writer:
        written(writer, NEW)
        assert hit_count(node, stored) == 3, "the index refreshes by itself"
    assert hit_count(node, stored) == 4


def test_readers_can_search_what_a_pass_wrote_before_it_failed_as_well(
    node: OpenSearchNode, stored: Consumer
) -> None:
    def fail() -> None:
        with kit.open_store(node).writer(stored) as writer:
            written(writer, NEW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert hit_count(node, stored) == 4


def test_what_is_confirmed_is_counted_while_its_writer_is_at_work(
    node: OpenSearchNode, stored: Consumer
) -> None:
    with kit.open_store(node).writer(stored) as writer:
        written(writer, NEW)
        assert kit.open_store(node).summary(stored).records == 4


def test_an_export_holds_what_is_confirmed_while_its_writer_is_at_work(
    node: OpenSearchNode, stored: Consumer
) -> None:
    with kit.open_store(node).writer(stored) as writer:
        written(writer, NEW)
        assert NEW.line in list(kit.open_store(node).export(stored))


def test_a_flood_stage_keeps_nobody_from_reading(node: OpenSearchNode, stored: Consumer) -> None:
    node.request("PUT", f"/{stored.index}/_settings", {"index.blocks.read_only_allow_delete": True})
    store = kit.open_store(node)
    assert (store.summary(stored).records, len(list(store.export(stored)))) == (3, 3)
