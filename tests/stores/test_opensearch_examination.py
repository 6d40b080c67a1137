"""What an examination tells of an OpenSearch that passes cannot do with; it asks by GET alone."""

from __future__ import annotations

import json
import shlex
from contextlib import closing
from typing import Any, Final

import msgspec
import pytest

from ctisync.core.health import CheckResult, worst
from ctisync.core.model import Consumer
from ctisync.stores.opensearch.client import NoReply, OpenSearchReply
from ctisync.stores.opensearch.refusals import Problem
from tests.stores import opensearch_kit as kit
from tests.support.clock import FakeClock
from tests.support.opensearch_node import OpenSearchNode
from tests.support.opensearch_store import opensearch_at
from tests.support.records import record

HERE: Final = "http://opensearch.example:9200"

WELL: Final[dict[str, Any]] = {
    "/": {"version": {"distribution": "opensearch", "number": "2.19.1"}},
    "/_plugins/_security/authinfo": {"user_name": "ctisync", "roles": ["writers", "readers"]},
    "/_cluster/health": {"status": "green", "number_of_nodes": 3},
    "/_cat/allocation": [
        {"node": "one", "disk.percent": "40"},
        {"node": "two", "disk.percent": "89"},
        {"node": "UNASSIGNED", "disk.percent": None},
    ],
    "/_cluster/settings": {"persistent": {}, "transient": {}},
    "/_settings": {},
    "/_cat/health": [{"epoch": "1772366400"}],
    "/inventory": {},
    "/wazuh-context/_doc/vd_1.0.0": 404,
}


class Node:
    """Answers by the beginning of the target; a number is a status, an exception is raised."""

    def __init__(self, **changed: Any) -> None:
        self.timeout = 60.0
        self.answers = WELL | {name.replace("__", "/"): answer for name, answer in changed.items()}
        self.requests: list[tuple[str, str]] = []

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        self.requests.append((method, target))
        if (method, body) != ("GET", None):  # tests/secured: such requests have no effect
            return OpenSearchReply(200, b"{}") if "_bulk" in target else OpenSearchReply(404)
        answer = self.answers[self._name(target)]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return OpenSearchReply(
                answer, problem=Problem("security_exception", "no permissions for [some:action]")
            )
        return OpenSearchReply(200, msgspec.json.encode(answer))

    def _name(self, target: str) -> str:
        path = target.partition("?")[0]
        if path.endswith("/_settings"):
            return "/_settings"
        return path if path in self.answers else "/inventory"

    def close(self) -> None:
        pass


def examined(node: Node, replicas: int = 0, **store: Any) -> dict[str, CheckResult]:
    with closing(opensearch_at([HERE], FakeClock(), replicas=replicas, **store)) as opened:
        opened._client._transport = node
        checks = list(opened.diagnose([Consumer()]))
    assert all(each.hint for each in checks if each.health == "failed")
    assert len(checks) == len({each.what for each in checks})
    return {each.what: each for each in checks}


def test_one_that_is_well_is_ok_throughout() -> None:
    checks = examined(Node())
    assert worst(checks.values()) == "ok"
    assert list(checks) == [
        "store",
        "store-user",
        "store-rights",
        "store-cluster",
        "store-disk",
        "store-blocks",
        "store-settings",
        "store-hidden",
        "store-alias",
        "store-lease",
    ]
    assert "readers, writers" in checks["store-user"].text


BLOCKED: Final = {"wazuh-cve": {"settings": {"index.blocks.read_only_allow_delete": "true"}}}
ASYNC: Final = {"wazuh-context": {"settings": {"index.translog.durability": "ASYNC"}}}
PIPED: Final = {"wazuh-cve": {"settings": {"index.search.default_pipeline": "theirs"}}}
SAFE: Final = {
    "wazuh-cve": {"settings": {"index.translog.durability": "REQUEST", "index.final_pipeline": "_none"}}
}
READ_ONLY: Final = {"persistent": {"cluster.blocks.read_only": "true"}, "transient": {}}
FULL: Final = [{"node": "one", "disk.percent": "90"}]
RED: Final = {"status": "red", "number_of_nodes": 3}
YELLOW: Final = {"status": "yellow", "number_of_nodes": 2}
STRANGE: Final[dict[str, Any]] = {"wazuh-cve": {"aliases": {}, "mappings": {}}}
OLD_1: Final = {"version": {"distribution": "opensearch", "number": "1.3.20"}}
NEW_4: Final = {"version": {"distribution": "opensearch", "number": "4.0.0"}}
AS_7: Final = {"version": {"number": "7.10.2"}, "tagline": "The OpenSearch Project: https://opensearch.org/"}
ELASTIC: Final = {"version": {"number": "8.1.0"}}


@pytest.mark.parametrize(
    ("changed", "replicas", "what", "health", "text"),
    [
        ({"__": OLD_1}, 0, "store", "failed", "1.3.20"),
        ({"__": NEW_4}, 0, "store", "warning", "4.0.0"),
        ({"__": AS_7}, 0, "store", "ok", "is OpenSearch"),
        ({"__": ELASTIC}, 0, "store", "failed", "8.1.0"),
        ({"__": 403}, 0, "store", "warning", "no permissions"),
        ({"___plugins___security__authinfo": 400}, 0, "store-user", "ok", "no security plugin"),
        ({"___cluster__health": RED}, 0, "store-cluster", "failed", "red"),
        ({"___cluster__health": YELLOW}, 0, "store-cluster", "ok", "yellow"),
        ({"___cluster__health": YELLOW}, 1, "store-cluster", "warning", "yellow"),
        ({"___cluster__health": YELLOW}, 2, "store-cluster", "warning", "store.replicas is 2"),
        ({"___cluster__health": 403}, 0, "store-cluster", "failed", "no permissions"),
        ({"___cat__allocation": FULL}, 0, "store-disk", "warning", "90 %"),
        ({"___cat__allocation": 403}, 0, "store-disk", "warning", "no permissions"),
        ({"___settings": BLOCKED}, 0, "store-blocks", "failed", "read_only_allow_delete of wazuh-cve"),
        ({"___cluster__settings": READ_ONLY}, 0, "store-blocks", "failed", "cluster.blocks.read_only"),
        ({"___cluster__settings": 403}, 0, "store-blocks", "ok", "no setting blocks writes"),
        ({"___settings": ASYNC}, 0, "store-settings", "warning", "durability = ASYNC of wazuh-context"),
        ({"___settings": PIPED}, 0, "store-settings", "warning", "default_pipeline = theirs of wazuh-cve"),
        ({"___settings": SAFE}, 0, "store-settings", "ok", "on the disk"),
        ({"__inventory": STRANGE}, 0, "store-alias", "failed", "wazuh-cve is an index"),
        ({"___cat__health": 403}, 0, "store-lease", "failed", "no permissions"),
        ({"__wazuh-context__doc__vd_1.0.0": 403}, 0, "store-lease", "failed", "no permissions"),
    ],
)
def test_what_is_not_well_is_reported_and_hides_nothing(
    changed: dict[str, Any], replicas: int, what: str, health: str, text: str
) -> None:
    changed = {name.replace("context__doc", "context___doc"): answer for name, answer in changed.items()}
    checks = examined(Node(**changed), replicas)
    assert checks[what].health == health
    assert text in checks[what].text
    if what != "store" or health != "failed":
        assert {each for each in checks if checks[each].health != "ok"} <= {what}
        assert len(checks) - ("store-rights" in checks) == 9


@pytest.mark.parametrize("answer", [401, 500, NoReply("connection refused"), {"tagline": "hello"}])
def test_a_server_that_does_not_answer_or_let_us_in_is_reported_once_and_soon(answer: Any) -> None:
    node = Node(__=answer)
    checks = examined(node)
    assert list(checks) == ["store"]
    assert checks["store"].health == "failed"
    assert {target for _, target in node.requests} == {"/"}


def test_a_node_that_calls_itself_an_older_one_is_examined_like_any_other(
    clean_node: OpenSearchNode,
) -> None:
    setting = {"compatibility.override_main_response_version": True}
    clean_node.request("PUT", "/_cluster/settings", {"persistent": setting})
    assert clean_node.request("GET", "/")["version"]["number"] == "7.10.2"
    with closing(kit.open_store(clean_node)) as store:
        results = list(store.diagnose([kit.new_consumer()]))
    assert [each.what for each in results if each.health != "ok"] == []
    assert {"store-cluster", "store-blocks", "store-alias", "store-lease"} <= {each.what for each in results}


def test_on_a_real_node_lease_foreign_index_and_block_are_reported(clean_node: OpenSearchNode) -> None:
    consumer, other = kit.new_consumer(), kit.new_consumer()
    with closing(kit.open_store(clean_node)) as store:
        kit.initialise(store, consumer, [record("CVE-1", 1)], 10)
        clean_node.request("PUT", f"/{other.index}")
        clean_node.request(
            "PUT", f"/{consumer.index}/_settings", {"index.blocks.read_only_allow_delete": True}
        )
        now = int(clean_node.request("GET", "/_cat/health?h=epoch&format=json")[0]["epoch"])
        kit.put_lease(clean_node, consumer, until=now + 600)
        results = list(store.diagnose([consumer, other]))
        kit.put_lease(clean_node, consumer)

    by_consumer = {(each.what, each.about): each for each in results}
    assert "root on other-host" in by_consumer["store-lease", str(consumer)].text
    assert by_consumer["store-alias", str(other)].health == "failed"
    assert by_consumer["store-alias", str(consumer)].health == "ok"
    assert by_consumer["store-blocks", None].health == "failed"


def test_what_to_type_takes_back_what_may_lose_a_confirmed_write(clean_node: OpenSearchNode) -> None:
    """On an index of other software, which is not ours to alter."""
    settings = {"index.translog.durability": "async", "index.default_pipeline": "theirs"}
    clean_node.request("PUT", "/wazuh-context", {"settings": settings})
    with closing(kit.open_store(clean_node)) as store:
        checks = {each.what: each for each in store.diagnose([kit.new_consumer()])}
        hint = checks["store-settings"].hint
        assert hint is not None
        _, _, _, url, _, _, _, body = shlex.split(hint)
        clean_node.request("PUT", url.removeprefix(clean_node.url), json.loads(body))
        again = {each.what: each for each in store.diagnose([kit.new_consumer()])}
    assert (checks["store-settings"].health, again["store-settings"].health) == ("warning", "ok")
