"""Replies to searches that leave out the hits: none of them is the end of a content, or an empty history."""

from collections.abc import Callable

import msgspec
import pytest

from ctisync.core.model import Consumer
from ctisync.errors import StoreUnavailable
from ctisync.stores.opensearch.client import Client, OpenSearchReply
from ctisync.stores.opensearch.generations import MAPPING
from ctisync.stores.opensearch.history import HistoryIndex
from ctisync.stores.opensearch.refusals import Curl
from ctisync.stores.opensearch.search import PointInTime
from ctisync.stores.opensearch.security import hidden_from_reader
from tests.support.clock import FakeClock


class OneReply:
    """A node that answers every request so."""

    timeout = 60.0

    def __init__(self, reply: dict[str, object]) -> None:
        self._reply = reply

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        return OpenSearchReply(200, msgspec.json.encode(self._reply))

    def close(self) -> None:
        pass


def by_name(client: Client) -> object:
    return list(PointInTime(client, "pit", "wazuh-cve").by_name())


def by_place(client: Client) -> object:
    return list(PointInTime(client, "pit", "wazuh-cve").by_place())


def count(client: Client) -> object:
    return HistoryIndex(client, 0).count(Consumer())


def passes(client: Client) -> object:
    return list(HistoryIndex(client, 0).passes(Consumer(), 5, touched=False))


@pytest.mark.parametrize("search", [by_name, by_place, count, passes])
@pytest.mark.parametrize(
    "part",
    [
        pytest.param({}, id="no hits at all"),
        pytest.param({"hits": {}}, id="empty hits"),
        pytest.param({"hits": {"total": {"value": 2, "relation": "eq"}}}, id="their number alone"),
    ],
)
def test_a_reply_without_hits_is_not_the_end_of_what_is_stored(
    part: dict[str, object], search: Callable[[Client], object]
) -> None:
    reply = {"timed_out": False, "_shards": {"failed": 0}} | part
    client = Client(OneReply(reply), Curl("http://127.0.0.1:9200"), FakeClock())
    with pytest.raises(StoreUnavailable, match=r"a reply of OpenSearch at .* cannot be read"):
        search(client)


def test_no_record_is_no_sign_of_a_rule() -> None:
    node = OneReply({"wazuh-cve": {"mappings": MAPPING}})  # a filter_path leaves out what is empty
    assert hidden_from_reader(Client(node, Curl("http://127.0.0.1:9200"), FakeClock()), "wazuh-cve") is None
