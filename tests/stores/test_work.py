"""How far a load is, for those who ask while it runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from ctisync.core.model import Consumer
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from tests.contract import passes
from tests.stores import opensearch_kit as kit
from tests.support.clock import FakeClock
from tests.support.opensearch_node import OpenSearchNode
from tests.support.records import made_up


def test_a_load_into_sqlite_shows_what_it_has_committed(tmp_path: Path) -> None:
    consumer, store = Consumer(), SqliteStore(tmp_path / "ctisync.db", SystemClock(), compression="none")
    assert store.work(consumer) is None
    passes.initialise(store, consumer, made_up(3), 10)
    with store.writer(consumer) as writer, writer.load(passes.snapshot(30)) as load:
        begun = SqliteStore(tmp_path / "ctisync.db", SystemClock()).work(consumer)
        assert begun is not None
        assert begun.records is None, "none is committed, which does not mean that there are none"
        records = made_up(40_000)
        for start in range(0, len(records), 5000):
            load.add(records[start : start + 5000])
        work = SqliteStore(tmp_path / "ctisync.db", SystemClock()).work(consumer)
        assert work is not None
        assert work.records is not None
        assert 0 < work.records <= 40_000
        assert work.since is not None
        assert abs((SystemClock().now() - work.since).total_seconds()) < 600
    assert store.work(consumer) is None


def test_a_load_into_opensearch_shows_how_far_it_is_in_its_lease(opensearch_2: OpenSearchNode) -> None:
    clock, consumer = FakeClock(), kit.new_consumer()
    store = kit.open_store(opensearch_2, clock, senders=1, bulk_bytes=1)
    assert store.work(consumer) is None
    began = int(opensearch_2.request("GET", "/_cat/health?h=epoch&format=json")[0]["epoch"])
    with store.writer(consumer) as writer:
        with writer.load(kit.snapshot(30)) as load:
            begun = kit.open_store(opensearch_2).work(consumer)
            assert begun is not None
            assert begun.records is None, "how many there are is not stored yet"
            load.add(made_up(5))
            clock.advance(seconds=6)
            writer.keep_alive()
            work = kit.open_store(opensearch_2).work(consumer)
            assert work is not None
            assert work.records is not None
            assert 0 < work.records <= 5
            assert work.since is not None
            assert began <= work.since.timestamp() <= began + 600
            assert work.since < datetime(2100, 1, 1, tzinfo=UTC)
            assert work.lock == kit.LOCK
        writer.save(msgspec.structs.replace(writer.state, last_offset=30))
        loading = kit.open_store(opensearch_2).work(consumer)
        assert loading is not None
        assert loading.records is None, "nothing is being loaded any more"
    assert kit.open_store(opensearch_2).work(consumer) is None
