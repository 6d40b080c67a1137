"""What a role hides from the user of the passes is not lost: a pass that would write back what it read ends
before it writes."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from ctisync.stores.opensearch.client import OpenSearchReply
from ctisync.stores.opensearch.transport import HttpTransport
from tests.cli.conftest import Ctisync
from tests.secured.removal import Ended, assert_in_step, assert_intact, hidden, passed, stored_documents
from tests.support.feed_history import WAZUH_5, churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.secured_node import SecuredNode, example_role

ROLE: Final = example_role("ctisync")
READER: Final = example_role("ctisync_reader")
CONTENTS, STATE = 1, 2
"""Places of the role's parts."""

RULES: Final[dict[str, dict[str, Any]]] = {
    "fls excludes the payload": {"fls": ["~payload"]},
    "fls excludes the version": {"fls": ["~version"]},
    "fls excludes a field of the payload": {"fls": ["~payload.cveMetadata"]},
    "fls includes some fields": {"fls": ["name", "offset", "version"]},
    "fls includes a field of the payload": {"fls": ["name", "offset", "payload.containers.*"]},
    "fls excludes the name": {"fls": ["~name"]},
    "the name is masked": {"masked_fields": ["name"]},
    "values of the payload are masked": {"masked_fields": ["payload.*"]},
    "the date is masked": {"masked_fields": ["inserted_at"]},
    "dls hides documents": {"dls": '{"bool": {"must_not": {"prefix": {"name": "CVE-"}}}}'},
}
RULES_OF_THE_STATE: Final[dict[str, dict[str, Any]]] = {
    "fls excludes another consumer": {"fls": ["~other"]},
    "fls excludes our own": {"fls": ["~vd_4*"]},
    "values are masked": {"masked_fields": ["*"]},
    "dls hides the document": {"dls": '{"term": {"_id": "none"}}'},
}


def ruled(part: int, rule: Mapping[str, Any], of: Mapping[str, Any] = ROLE) -> dict[str, Any]:
    role: dict[str, Any] = copy.deepcopy(dict(of))
    role["index_permissions"][part].update(rule)
    return role


@pytest.fixture
def environ(node: SecuredNode, feed: FeedSimulator, tmp_path: Path) -> Mapping[str, str]:
    homes = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"), str(tmp_path))
    feeds = {"CTISYNC_CTI__URL": feed.url, "CTISYNC_CTI__COOLDOWN": "0"}
    return {
        **homes,
        **feeds,
        "CTISYNC_COMMAND_MANAGER__ENABLED": "false",
        **node.user("ctisync", "ctisync"),
    }


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_an_update_does_not_write_back_records_of_which_a_part_is_hidden(
    node: SecuredNode, feed: FeedSimulator, environ: Mapping[str, str], rule: Mapping[str, Any]
) -> None:
    assert passed(environ) == Ended(0, "")
    churn(feed.history, 40)
    before = stored_documents(node)
    node.put_role("ctisync", ruled(CONTENTS, rule))

    assert_reported(passed(environ), "index ctisync-wazuh-cve-")

    assert stored_documents(node) == before
    assert_healed(node, feed, environ)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_an_initialisation_puts_nothing_in_place_that_is_hidden_from_its_own_checks(
    node: SecuredNode, feed: FeedSimulator, environ: Mapping[str, str], rule: Mapping[str, Any]
) -> None:
    node.put_role("ctisync", ruled(CONTENTS, rule))
    assert_reported(passed(environ), "index ctisync-wazuh-cve-")
    assert not node.request("GET", "/ctisync-wazuh-*"), "a content was begun and stays"
    assert_healed(node, feed, environ)

    churn(feed.history, 40)
    feed.publish_snapshot()
    before = stored_documents(node)
    node.put_role("ctisync", ruled(CONTENTS, rule))
    assert_reported(passed(environ, "init-snapshot"), "index ctisync-wazuh-cve-")
    assert stored_documents(node) == before
    assert_healed(node, feed, environ)


@pytest.mark.parametrize("rule", RULES_OF_THE_STATE.values(), ids=RULES_OF_THE_STATE)
@pytest.mark.parametrize("changes", [0, 40], ids=["nothing new", "changes"])
def test_what_others_keep_beside_the_state_is_not_lost_when_it_is_hidden(
    node: SecuredNode, feed: FeedSimulator, environ: Mapping[str, str], rule: Mapping[str, Any], changes: int
) -> None:
    assert passed(environ) == Ended(0, "")
    beside = {"doc": {"other": {"offset": 7, "text": "of another program"}}}
    node.request("POST", "/wazuh-context/_update/vd_1.0.0?refresh=true", beside)
    churn(feed.history, changes)
    before = stored_documents(node)
    node.put_role("ctisync", ruled(STATE, rule))

    assert_reported(passed(environ), "index wazuh-context")

    assert stored_documents(node) == before
    assert_healed(node, feed, environ)
    kept = node.request("GET", "/wazuh-context/_doc/vd_1.0.0")["_source"]
    assert kept["other"] == beside["doc"]["other"]


def assert_reported(ended: Ended, index: str) -> None:
    """What is hidden, in which index, from whom, and what to type."""
    assert ended.code == 3, ended.stderr
    assert f"of {index}" in ended.stderr
    assert "a role of user ctisync hides" in ended.stderr
    assert "take dls, fls and masked_fields" in ended.stderr
    assert "/_plugins/_security/api/roles/ctisync" in ended.stderr


def assert_healed(node: SecuredNode, feed: FeedSimulator, environ: Mapping[str, str]) -> None:
    assert_intact(node, feed)
    node.put_role("ctisync")
    assert passed(environ) == Ended(0, "")
    assert_in_step(node, feed)


@pytest.mark.parametrize("rule", ["fls excludes the payload", "dls hides documents"])
def test_a_rule_that_comes_within_a_pass_is_noticed_before_records_are_written_back(
    node: SecuredNode,
    feed: FeedSimulator,
    environ: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    rule: str,
) -> None:
    assert passed(environ) == Ended(0, "")
    churn(feed.history, 40)
    node.request("POST", "/ctisync-*/_refresh")
    inner = HttpTransport.send

    def send(
        self: HttpTransport, method: str, target: str, body: bytes | None, timeout: float
    ) -> OpenSearchReply:
        if "_mget" in target:
            node.put_role("ctisync", ruled(CONTENTS, RULES[rule]))
        return inner(self, method, target, body, timeout)

    with monkeypatch.context() as patched:
        patched.setattr(HttpTransport, "send", send)
        assert_reported(passed(environ), "index ctisync-wazuh-cve-")
    assert_healed(node, feed, environ)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_reader_who_sees_a_part_gets_an_error(
    node: SecuredNode, environ: Mapping[str, str], rule: Mapping[str, Any]
) -> None:
    assert passed(environ) == Ended(0, "")
    reading = {**environ, **node.user("ctisync_reader", "ctisync_reader")}
    assert hidden(reading) is None

    node.put_role("ctisync_reader", ruled(CONTENTS, rule, READER))

    assert hidden(reading) is not None


@pytest.mark.parametrize(
    "rule", [{"fls": ["~resource"]}, {"masked_fields": ["resource"]}, {"fls": ["~payload"]}], ids=str
)
def test_a_reader_who_sees_a_part_of_a_catalog_whose_lines_say_resource_gets_an_error(
    node: SecuredNode, feed: FeedSimulator, environ: Mapping[str, str], rule: Mapping[str, Any]
) -> None:
    feed.history.dialect = WAZUH_5
    feed.publish_snapshot()
    assert passed(environ) == Ended(0, "")
    reading = {**environ, **node.user("ctisync_reader", "ctisync_reader")}
    assert hidden(reading) is None

    node.put_role("ctisync_reader", ruled(CONTENTS, rule, READER))

    assert hidden(reading) is not None


@pytest.mark.parametrize("rule", ["the name is masked", "dls hides documents", "fls excludes the name"])
def test_what_speaks_of_a_part_of_the_content_says_so_and_ends(
    reader: Ctisync, ctisync: Ctisync, node: SecuredNode, feed: FeedSimulator, rule: str
) -> None:
    populate(feed.history, 300, first=1000)  # more than a page
    feed.publish_snapshot()
    assert ctisync.run("sync", "-q").returncode == 0
    node.put_role("ctisync_reader", ruled(CONTENTS, RULES[rule], READER))

    for command in (["status"], ["status", "--json"], ["export"], ["show", "CVE-2000-1"]):
        ended = reader.run(*command, "-q")
        assert "content-hidden" in ended.stderr, command
    ended = reader.run("verify", "-q")
    assert "store-hidden" in ended.stdout or ended.returncode == 3
    assert "init-snapshot" not in ended.stderr, "it would change nothing"
    checks = json.loads(ctisync.run("doctor", "--json").stdout)["checks"]
    assert [each["health"] for each in checks if each["check"] == "store-hidden"] == ["ok"]
    node.put_role("ctisync", ruled(CONTENTS, RULES[rule]))
    checks = json.loads(ctisync.run("doctor", "--json").stdout)["checks"]
    assert [each["health"] for each in checks if each["check"] == "store-hidden"] == ["failed"]
