"""Looking up records of a content, some hundred names a search."""

from __future__ import annotations

import tracemalloc

import msgspec

from ctisync.stores.opensearch.client import Client, OpenSearchReply
from ctisync.stores.opensearch.generations import Inventory
from ctisync.stores.opensearch.refusals import Curl
from ctisync.stores.opensearch.search import PointInTime
from ctisync.stores.opensearch.state_document import StateEntry
from ctisync.stores.opensearch.verify import OpenSearchInspection
from tests.stores.small_node import CONSUMER, Holder, SmallNode

LINE = b'{"payload":"%s"}' % (b"x" * 4000)


class FullNode(SmallNode):
    """Holds every record that is looked up."""

    def answer(self, method: str, target: str, body: bytes | None) -> OpenSearchReply:
        if target != "/_search":
            return super().answer(method, target, body)
        names = msgspec.json.decode(body or b"")["query"]["ids"]["values"]
        hits = b",".join(b'{"_id":"%s","_version":1,"_source":%s}' % (name.encode(), LINE) for name in names)
        return OpenSearchReply(200, b'{"timed_out":false,"_shards":{"failed":0},"hits":{"hits":[%s]}}' % hits)


def inspection(node: SmallNode) -> OpenSearchInspection:
    client = Client(node, Curl("http://127.0.0.1:9200"), node.clock)
    point = PointInTime(client, "pit", CONSUMER.index)
    return OpenSearchInspection(client, Holder(node).generations, Inventory({}), StateEntry(), point, None)


def test_records_looked_up_are_in_memory_once() -> None:
    """Each search's reply was kept beside its records until the last one came."""
    inspected = inspection(FullNode())
    names = [f"CVE-{number}" for number in range(5000)]
    tracemalloc.start()
    try:
        records = inspected.lookup(names)
        size, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [*records] == names
    assert {each.line for each in records.values()} == {LINE}
    assert peak < 1.3 * size
