"""Nodes of two clusters in `store.url`: state and content are not torn apart."""

from __future__ import annotations

from contextlib import closing

import pytest

from ctisync.core.state import ConsumerState
from ctisync.errors import ConfigurationError
from ctisync.stores.opensearch.client import NoReply, OpenSearchReply, check_one_cluster
from ctisync.stores.opensearch.refusals import Curl, Problem
from tests.contract.test_history import WITHIN, report
from tests.stores import opensearch_kit as kit
from tests.support.clock import FakeClock
from tests.support.feed_simulator import unused_port
from tests.support.opensearch_node import OpenSearchNode
from tests.support.opensearch_store import opensearch_at
from tests.support.records import record

ONE, OTHER, THIRD = (f"https://{host}:9200" for host in ("one", "other", "third"))


class Root:
    """A node that answers so to `GET /`."""

    timeout = 60.0

    def __init__(self, answer: OpenSearchReply | NoReply) -> None:
        self._answer = answer

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        assert (method, target, body) == ("GET", "/", None)
        assert timeout <= 5
        if isinstance(self._answer, NoReply):
            raise self._answer
        return self._answer

    def close(self) -> None:
        pass


def of(uuid: str) -> OpenSearchReply:
    return OpenSearchReply(200, f'{{"cluster_name": "x", "cluster_uuid": "{uuid}"}}'.encode())


def checked(*answers: OpenSearchReply | NoReply) -> list[str]:
    nodes: dict[str, Root] = dict(zip((ONE, OTHER, THIRD), map(Root, answers), strict=False))
    return check_one_cluster(list(nodes), lambda urls: nodes[urls[0]], Curl("https://one:9200"))


def test_two_clusters_are_named_by_a_node_of_each() -> None:
    with pytest.raises(ConfigurationError) as caught:
        checked(of("a"), of("a"), of("b"))
    assert "https://one:9200 and https://third:9200" in caught.value.message
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "answer",
    [
        NoReply("connection refused"),
        OpenSearchReply(403, problem=Problem("security_exception")),
        OpenSearchReply(503),
        OpenSearchReply(200, b"<html>"),
        of("_na_"),
    ],
    ids=["not reachable", "not permitted", "busy", "no OpenSearch", "without a cluster yet"],
)
def test_a_node_that_does_not_say_of_which_cluster_it_is_keeps_no_pass_from_its_work(
    answer: OpenSearchReply | NoReply,
) -> None:
    assert checked(of("a"), answer, of("a")) == ["https://other:9200"]


def test_nothing_is_written_to_either_of_two_clusters(
    opensearch_2: OpenSearchNode, opensearch_3: OpenSearchNode
) -> None:
    """Each answers well; a pass would put the state into one and the content into the other."""
    for node in (opensearch_2, opensearch_3):
        node.wipe()
    consumer = kit.new_consumer()
    both = [opensearch_2.url, opensearch_3.url]
    with closing(opensearch_at(both, FakeClock())) as store:
        refused = pytest.raises(ConfigurationError, match="different clusters")
        with refused:
            kit.initialise(store, consumer, [record("CVE-1", 1)], 10)
        with refused:
            store.record_check(consumer, ConsumerState(last_offset=7))
        with refused:
            store.remember(report(consumer, 1), keep=10, within=WITHIN)
        (check,) = [each for each in store.diagnose([consumer]) if each.what == "store-nodes"]
    assert check.health == "failed"
    assert all(url in check.text for url in both)
    for node in (opensearch_2, opensearch_3):
        assert node.request("GET", "/_cat/indices?format=json") == []


def test_one_cluster_under_two_names_is_one(opensearch_2: OpenSearchNode) -> None:
    names = [opensearch_2.url, opensearch_2.url.replace("127.0.0.1", "localhost")]
    consumer = kit.new_consumer()
    with closing(opensearch_at(names, FakeClock())) as store:
        kit.initialise(store, consumer, [record("CVE-1", 1)], 10)
        (check,) = [each for each in store.diagnose([consumer]) if each.what == "store-nodes"]
    assert (check.health, check.text[:11]) == ("ok", "all 2 nodes")


def test_a_node_that_does_not_answer_is_a_warning_with_the_request_that_shows_why(
    opensearch_2: OpenSearchNode,
) -> None:
    """Passes go on without it, until the next one is lost too."""
    silent = f"http://127.0.0.1:{unused_port()}"
    with closing(opensearch_at([silent, opensearch_2.url, opensearch_2.url], FakeClock())) as store:
        (check,) = [each for each in store.diagnose([]) if each.what == "store-nodes"]
    assert check.health == "warning"
    assert check.text == f"1 of the 3 nodes in store.url did not answer: {silent}"
    assert check.hint == f"check that each runs: curl {silent}"
