"""The commands with a real OpenSearch as the store."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Ctisync
from tests.support import records
from tests.support.command_manager import Command, CommandManagerStandIn
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.opensearch_node import OpenSearchNode

INDEX = "cli-cve"


@pytest.fixture
def node(opensearch_2: OpenSearchNode) -> Iterator[OpenSearchNode]:
    """Wiped before and after: others use the node, and a template that is left would meet them."""
    opensearch_2.wipe()
    yield opensearch_2
    opensearch_2.wipe()


def test_a_whole_life_on_opensearch_from_the_first_sync_to_the_export(
    ctisync: Ctisync, feed: FeedSimulator, node: OpenSearchNode, tmp_path: Path
) -> None:
    with CommandManagerStandIn() as manager:
        ctisync.environ |= {
            "CTISYNC_STORE__URL": node.url,
            "CTISYNC_CONSUMERS": json.dumps([{"index": INDEX}]),
            "CTISYNC_COMMAND_MANAGER__URL": manager.url,
        }
        first = ctisync.run("sync", "-q")
        churn(feed.history, 200)
        second = ctisync.run("sync", "-q")

    assert (first.returncode, first.stderr) == (0, "")
    assert (second.returncode, second.stderr) == (0, "")
    assert manager.commands[-1] == Command(INDEX, str(feed.history.last_offset))
    exported = ctisync.run("export").stdout.encode().splitlines()
    assert [records.comparable(line) for line in exported] == [
        records.comparable(line) for line in feed.expected_lines()
    ]
    document = json.loads(ctisync.run("status", "--json").stdout)
    assert document["store"] == node.url
    assert document["consumers"][0]["offset"] == feed.history.last_offset
    assert document["consumers"][0]["pending_command"] is None
    assert [path.suffix for path in (tmp_path / "state" / "ctisync").iterdir()] == [".lock"]
    page = tmp_path / "page.html"
    for searched in (False, True):
        assert ctisync.run("history", "--html", str(page)).returncode == 0
        assert ("The content" in page.read_text()) == searched
        assert ctisync.run("search", "--names", "-q").stdout.splitlines() != []


def test_a_node_without_the_plugin_gets_the_content_and_owes_the_command(
    ctisync: Ctisync, feed: FeedSimulator, node: OpenSearchNode
) -> None:
    ctisync.environ["CTISYNC_STORE__URL"] = node.url

    owed = ctisync.run("sync", "-q")
    without = ctisync.run("sync", "-q", CTISYNC_COMMAND_MANAGER__ENABLED="false")

    assert owed.returncode == 8
    assert "no handler found" in owed.stderr
    assert "command_manager.enabled = false" in owed.stderr
    assert (
        feed.history.last_offset
        == json.loads(ctisync.run("status", "--json").stdout)["consumers"][0]["offset"]
    )
    assert (without.returncode, without.stderr) == (0, "")


def test_a_content_on_opensearch_is_verified_and_compared_with_a_snapshot(
    ctisync: Ctisync, feed: FeedSimulator, node: OpenSearchNode, tmp_path: Path
) -> None:
    ctisync.environ |= {
        "CTISYNC_STORE__URL": node.url,
        "CTISYNC_CONSUMERS": json.dumps([{"index": INDEX}]),
        "CTISYNC_COMMAND_MANAGER__ENABLED": "false",
    }
    assert ctisync.run("verify").returncode == 10
    assert ctisync.run("sync", "-q").returncode == 0
    snapshot = tmp_path / f"{feed.history.last_offset}_1746459961.json"
    snapshot.write_bytes(b"\n".join(feed.expected_lines()))
    good = ctisync.run("verify", "--deep", "--against", str(snapshot))
    assert (good.returncode, good.stderr.count("\n")) == (0, 1), good.stdout + good.stderr

    name = json.loads(feed.expected_lines()[0])["name"]
    node.request("DELETE", f"/{INDEX}/_doc/{name}?refresh=true")
    bad = ctisync.run("verify", "--against", str(snapshot))
    assert bad.returncode == 9
    assert f"against-missing      {name}" in bad.stdout


def test_doctor_looks_at_a_node_and_sends_it_nothing_that_alters_anything(
    ctisync: Ctisync, feed: FeedSimulator, node: OpenSearchNode, tmp_path: Path
) -> None:
    ctisync.environ |= {
        "CTISYNC_STORE__URL": node.url,
        "CTISYNC_CONSUMERS": json.dumps([{"index": INDEX}]),
    }
    with CommandManagerStandIn() as manager:
        ctisync.environ["CTISYNC_COMMAND_MANAGER__URL"] = manager.url
        fresh = ctisync.run("doctor", "-q")
        assert (fresh.returncode, "no content yet" in fresh.stdout) == (1, True), fresh.stdout
        assert node.request("GET", "/_alias") == {}
        assert not (tmp_path / "state").exists()

        assert ctisync.run("sync", "-q").returncode == 0
        before = node.request("GET", "/_stats/indexing")["_all"]
        followed = ctisync.run("doctor", "-q")
        assert (followed.returncode, followed.stdout, followed.stderr) == (0, "", "")
        after = node.request("GET", "/_stats/indexing")["_all"]
    assert after["primaries"]["indexing"]["index_total"] == before["primaries"]["indexing"]["index_total"]

    without = ctisync.run("doctor", "-q", CTISYNC_COMMAND_MANAGER__URL=node.url)
    assert without.returncode == 2
    assert "there is no Command Manager" in without.stdout


def test_without_a_command_manager_a_hook_can_search_all_that_its_pass_wrote(
    ctisync: Ctisync, feed: FeedSimulator, node: OpenSearchNode, tmp_path: Path
) -> None:
    """The index refreshes nothing by itself, and no command makes the pass ask for it."""
    counted = tmp_path / "counted"
    program = "import sys, urllib.request as u; open(sys.argv[2], 'wb').write(u.urlopen(sys.argv[1]).read())"
    hook = [sys.executable, "-c", program, f"{node.url}/{INDEX}/_count", str(counted)]
    ctisync.environ |= {
        "CTISYNC_STORE__URL": node.url,
        "CTISYNC_CONSUMERS": json.dumps([{"index": INDEX}]),
        "CTISYNC_COMMAND_MANAGER__ENABLED": "false",
        "CTISYNC_HOOKS__ON_UPDATE": json.dumps(hook),
    }
    assert ctisync.run("sync", "-q").returncode == 0
    node.request("PUT", f"/{INDEX}/_settings", {"index": {"refresh_interval": "-1"}})
    populate(feed.history, 7, first=7000)

    assert ctisync.run("sync", "-q").returncode == 0
    assert json.loads(counted.read_bytes())["count"] == len(feed.expected_lines())


@pytest.fixture
def with_facts(ctisync: Ctisync, node: OpenSearchNode) -> Iterator[CommandManagerStandIn]:
    with CommandManagerStandIn() as manager:
        ctisync.environ |= {
            "CTISYNC_STORE__URL": node.url,
            "CTISYNC_STORE__FACTS_INDEX": "true",
            "CTISYNC_CONSUMERS": json.dumps([{"index": INDEX}]),
            "CTISYNC_COMMAND_MANAGER__URL": manager.url,
        }
        yield manager


def test_an_index_of_others_under_the_facts_alias_is_named_when_content_and_command_are_done(
    ctisync: Ctisync, feed: FeedSimulator, node: OpenSearchNode, with_facts: CommandManagerStandIn
) -> None:
    node.request("PUT", f"/{INDEX}-facts", {})
    refused = ctisync.run("sync", "-q")
    assert refused.returncode == 3
    assert f"{INDEX}-facts is an index, which ctisync did not make" in refused.stderr
    assert with_facts.commands[-1] == Command(INDEX, str(feed.history.last_offset))
    assert ctisync.run("export").stdout.count("\n") == len(feed.expected_lines())
    assert ctisync.run("doctor", "-q").stdout.count("store-facts") == 1
    assert "mappings" in node.request("GET", f"/{INDEX}-facts")[f"{INDEX}-facts"]
    node.request("DELETE", f"/{INDEX}-facts")
    healed = ctisync.run("sync", "-q")
    assert (healed.returncode, healed.stderr) == (0, "")


def test_a_facts_index_that_cannot_be_filled_is_a_warning_until_a_pass_can(
    ctisync: Ctisync, feed: FeedSimulator, node: OpenSearchNode, with_facts: CommandManagerStandIn
) -> None:
    assert ctisync.run("sync", "-q").stderr == ""
    [facts] = node.request("GET", f"/{INDEX}-facts")
    node.request("PUT", f"/{facts}/_settings", {"index.blocks.write": True})
    churn(feed.history, 50)
    behind = ctisync.run("sync", "-q")
    assert behind.returncode == 0
    assert "facts-index-behind" in behind.stderr
    assert with_facts.commands[-1] == Command(INDEX, str(feed.history.last_offset))
    check = ctisync.run("status", "--check")
    assert (check.returncode, "the facts index is at offset" in check.stdout) == (1, True)
    node.request("PUT", f"/{facts}/_settings", {"index.blocks.write": None})
    healed = ctisync.run("sync", "--log-format", "json")
    assert "facts-index-filled" in healed.stderr
    [consumer] = json.loads(ctisync.run("status", "--json").stdout)["consumers"]
    assert consumer["facts_offset"] == consumer["offset"] == feed.history.last_offset
    idle = ctisync.run("sync", "--log-format", "json")
    assert "facts-index" not in idle.stderr


def test_switched_off_the_next_pass_removes_the_facts_index(
    ctisync: Ctisync, feed: FeedSimulator, node: OpenSearchNode, with_facts: CommandManagerStandIn
) -> None:
    ctisync.run("sync", "-q")
    del ctisync.environ["CTISYNC_STORE__FACTS_INDEX"]
    off = ctisync.run("sync", "--log-format", "json")
    assert (off.returncode, "facts-index-removed" in off.stderr) == (0, True)
    assert [name for name in node.request("GET", "/ctisync-*") if "facts" in name] == []
