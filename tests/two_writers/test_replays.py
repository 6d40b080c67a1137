"""Any part of a range may have been written before: the range, done again, comes to the same content."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from ctisync.core.fold import fold, touched
from ctisync.core.model import Change, Consumer, OffsetRange
from ctisync.ports import Store
from ctisync.stores.opensearch.client import OpenSearchReply
from ctisync.stores.opensearch.store import OpenSearchStore
from tests.stores import opensearch_kit as kit
from tests.support.faults import Killed
from tests.support.faults_node import TransportInFront
from tests.support.memory_feed import MemoryFeed
from tests.support.opensearch_node import OpenSearchNode
from tests.support.stores import stores_of
from tests.two_writers import feeds
from tests.two_writers.processes import DONE, Place, run_here
from tests.two_writers.schedules import assert_made_good

SEEDS = 2


@pytest.fixture(params=["sqlite", "opensearch-2.19.1"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    token = uuid.uuid4().hex[:12]
    consumer = Consumer(name=f"vd_{token}", index=f"wazuh-cve-{token}")
    with stores_of(request.param, tmp_path, request) as make_store:
        name = make_store().name.removeprefix("sqlite:///")
        yield Place(name, consumer)


def first_range(seed: int) -> tuple[OffsetRange, list[Change]]:
    """The first range after the snapshot."""
    server = feeds.made_up(seed)
    assert server.offered is not None
    offsets = OffsetRange(server.offered.offset, server.offered.offset + 1000)
    return offsets, MemoryFeed(server).changes(offsets)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_range_of_which_any_first_changes_were_applied_before_comes_to_the_same(
    place: Place, tmp_path: Path, seed: int
) -> None:
    offsets, changes = first_range(seed)
    commands = tmp_path / "told"
    for count in range(len(changes) + 1):
        consumer = msgspec.structs.replace(
            place.consumer, context=f"c{count}", index=f"{place.consumer.index}-{count}"
        )
        here = place._replace(consumer=consumer)
        with closing(here.open()) as store:
            kit.initialise(store, consumer, MemoryRecords(seed).all, offsets.after)
            apply_some(store, consumer, changes[:count], offsets)
        assert run_here(here, seed, commands) == DONE
        assert_made_good(here, seed, commands)


class MemoryRecords:
    """The records of the feed's snapshot."""

    def __init__(self, seed: int) -> None:
        feed = MemoryFeed(feeds.made_up(seed))
        snapshot = feed.consumer_info().snapshot
        assert snapshot is not None
        file = feed.fetch_snapshot(snapshot, None, lambda: None)
        self.all = [record for batch in file.records(snapshot.offset) for record in batch]


def apply_some(store: Store, consumer: Consumer, changes: list[Change], offsets: OffsetRange) -> None:
    """Write what these changes come to; then forget it, but for the range that was begun."""
    with store.writer(consumer) as writer:
        before = msgspec.structs.replace(writer.state, range_to=offsets.to)
        if changes:
            per_resource = touched(changes, consumer)
            folded = fold(per_resource, writer.read_in_parts(list(per_resource)))
            writer.apply(folded.writes, writer.state.advanced(changes[-1].offset, kit.NOW))
        writer.save(before)


class TornBulk(TransportInFront):
    """Sends only the first `items` of the first range's bulk; then the process is dead."""

    def __init__(self, store: OpenSearchStore, items: int) -> None:
        super().__init__(store)
        self._items = items
        self._bulks = 0
        self.whole = 0

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        if self.whole:
            raise Killed
        if "_bulk" not in target or "filter_path=items" not in target or body is None:
            return super().send(method, target, body, timeout)
        self._bulks += 1
        if self._bulks == 1:  # the snapshot's
            return super().send(method, target, body, timeout)
        items = _items(body)
        self.whole = len(items)
        if self._items:
            super().send(method, target, b"".join(items[: self._items]), timeout)
        raise Killed


def _items(body: bytes) -> list[bytes]:
    """A bulk's items: a delete has one line, an index two."""
    lines = iter(body.splitlines(keepends=True))
    return [line if line.startswith(b'{"delete"') else line + next(lines) for line in lines]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_range_whose_bulk_was_torn_anywhere_comes_to_the_same(
    opensearch_2: OpenSearchNode, tmp_path: Path, seed: int
) -> None:
    count, whole, commands = 0, 1, tmp_path / "told"
    while count <= whole:
        place = Place(opensearch_2.url, kit.new_consumer())
        torn: list[TornBulk] = []

        def tear(store: Store, torn: list[TornBulk] = torn, count: int = count) -> Store:
            assert isinstance(store, OpenSearchStore)
            torn.append(TornBulk(store, count))
            return store

        with pytest.raises(Killed):
            run_here(place, seed, commands, tear)
        whole = torn[0].whole
        assert run_here(place, seed, commands) == DONE
        assert_made_good(place, seed, commands)
        count += 1
    assert count > 2
