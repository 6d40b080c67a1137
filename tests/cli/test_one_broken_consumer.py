"""What is wrong with one consumer hides nothing of the others: each is shown, and the broken one first."""

import json
from collections.abc import Iterator

import pytest

from tests.cli.conftest import Ctisync
from tests.support import feed_failures as failures
from tests.support.feed_simulator import FeedSimulator
from tests.support.opensearch_node import OpenSearchNode

GOOD, BROKEN = "vd_1.0.0/vd_4.8.0", "vd_1.0.0/broken"


@pytest.fixture
def node(ctisync: Ctisync, feed: FeedSimulator, opensearch_2: OpenSearchNode) -> Iterator[OpenSearchNode]:
    """One consumer is stored; the other one stands before it in the settings."""
    opensearch_2.wipe()
    both = [{"consumer": "broken", "index": "broken-cve"}, {"index": "good-cve"}]
    ctisync.environ |= {
        "CTISYNC_CTI__URL": feed.url,
        "CTISYNC_STORE__URL": opensearch_2.url,
        "CTISYNC_CONSUMERS": json.dumps(both),
        "CTISYNC_COMMAND_MANAGER__ENABLED": "false",
    }
    assert ctisync.run("sync", "-q", "--consumer", "vd_4.8.0").returncode == 0
    yield opensearch_2
    opensearch_2.wipe()


def break_alias(node: OpenSearchNode) -> None:
    node.request("PUT", "/broken-cve")


def test_an_alias_that_is_another_programs_index(ctisync: Ctisync, node: OpenSearchNode) -> None:
    break_alias(node)

    table = ctisync.run("status")
    assert (table.returncode, "broken-cve is an index" in table.stderr) == (3, True)
    assert 0 < table.stdout.index(BROKEN) < table.stdout.index(GOOD)
    assert "20 as good-cve" in table.stdout

    document = ctisync.run("status", "--json")
    assert document.returncode == 3
    broken, good = json.loads(document.stdout)["consumers"]
    assert broken.keys() == good.keys()
    assert (good["phase"], good["records"], good["error"]) == ("ready", 20, None)
    assert (broken["consumer"], broken["phase"], broken["offset"]) == ("broken", None, None)
    assert "broken-cve is an index" in broken["error"]["message"]
    assert "curl" in broken["error"]["to_do"]

    checked = ctisync.run("status", "--check")
    assert checked.returncode == 2
    assert checked.stdout.startswith(f"CTISYNC CRITICAL - {BROKEN}: broken-cve is an index")
    assert f"; {GOOD}: offset " in checked.stdout
    assert f"'{GOOD} records'=20" in checked.stdout

    alone = ctisync.run("status", "--check", "--consumer", "broken")
    assert (alone.returncode, "CTISYNC CRITICAL - broken-cve is an index" in alone.stdout) == (2, True)


def test_an_index_that_cannot_be_counted(ctisync: Ctisync, node: OpenSearchNode) -> None:
    """Its shard is on no node."""
    [index] = node.request("GET", "/good-cve/_alias")
    made = node.request("GET", f"/{index}")[index]
    body = {
        "aliases": made["aliases"],
        "mappings": made["mappings"],
        "settings": {"index.routing.allocation.require._name": "nobody"},
    }
    node.request("DELETE", f"/{index}")
    node.request("PUT", f"/{index}?wait_for_active_shards=0", body)

    checked = ctisync.run("status", "--check")
    assert checked.returncode == 2
    assert checked.stdout.startswith(f"CTISYNC CRITICAL - {GOOD}: ")
    assert f"; {BROKEN}: no content yet" in checked.stdout


def test_a_feed_that_refuses_one_of_them(ctisync: Ctisync, feed: FeedSimulator, node: OpenSearchNode) -> None:
    """The simulator knows one consumer alone."""
    table = ctisync.run("status", "--remote")
    assert (table.returncode, "broken" in table.stderr) == (3, True)
    assert "20 as good-cve" in table.stdout
    feed.fail("info", failures.status(503), times=None)
    checked = ctisync.run("status", "--remote", "--check")
    assert (checked.returncode, f"{GOOD}: " in checked.stdout) == (2, True)
