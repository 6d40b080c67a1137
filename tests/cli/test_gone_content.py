"""A content that somebody has taken out of the store: each command says so, and a pass brings it back."""

import json
import sqlite3
from contextlib import closing

import pytest

from tests.cli.conftest import Ctisync
from tests.support.feed_simulator import FeedSimulator
from tests.support.opensearch_node import OpenSearchNode

INDEX = "gone-cve"


@pytest.fixture
def stored(ctisync: Ctisync, feed: FeedSimulator) -> FeedSimulator:
    """In SQLite."""
    assert ctisync.run("sync", "-q").returncode == 0
    return feed


@pytest.fixture
def indexed(ctisync: Ctisync, feed: FeedSimulator, clean_node: OpenSearchNode) -> FeedSimulator:
    """In OpenSearch."""
    ctisync.environ |= {
        "CTISYNC_STORE__URL": clean_node.url,
        "CTISYNC_CONSUMERS": json.dumps([{"index": INDEX}]),
        "CTISYNC_COMMAND_MANAGER__ENABLED": "false",
    }
    assert ctisync.run("sync", "-q").returncode == 0
    return feed


def assert_gone_and_brought_back(ctisync: Ctisync, feed: FeedSimulator) -> None:
    checked = ctisync.run("status", "--check")
    assert (checked.returncode, checked.stdout.split(" - ")[0]) == (2, "CTISYNC CRITICAL")
    assert "removed the content" in checked.stdout
    assert "ctisync sync" in checked.stdout
    table = ctisync.run("status").stdout
    assert "ready" not in table
    assert "up to date" not in table
    assert "removed the content" in table
    assert "ctisync sync" in table
    [consumer] = json.loads(ctisync.run("status", "--json").stdout)["consumers"]
    assert (consumer["phase"], consumer["records"]) == ("empty", None)
    [examined] = [
        check
        for check in json.loads(ctisync.run("doctor", "--json").stdout)["checks"]
        if check["check"] == "content"
    ]
    assert (examined["health"], "removed the content" in examined["said"]) == ("failed", True)
    refused = ctisync.run("export")
    assert (refused.returncode, "is gone" in refused.stderr) == (10, True), refused.stderr

    mended = ctisync.run("sync")
    assert mended.returncode == 0, mended.stderr
    assert "nothing is stored yet" not in mended.stderr
    assert "warning content-gone" in mended.stderr
    assert "is gone" in mended.stderr
    assert ctisync.run("status", "--check").returncode == 0
    assert len(ctisync.run("export").stdout.splitlines()) == len(feed.expected_lines())


def test_a_live_index_that_was_deleted(
    ctisync: Ctisync, indexed: FeedSimulator, clean_node: OpenSearchNode
) -> None:
    [index] = clean_node.request("GET", f"/{INDEX}/_alias")
    clean_node.request("DELETE", f"/{index}")
    assert_gone_and_brought_back(ctisync, indexed)


def test_an_alias_that_was_deleted(
    ctisync: Ctisync, indexed: FeedSimulator, clean_node: OpenSearchNode
) -> None:
    [index] = clean_node.request("GET", f"/{INDEX}/_alias")
    clean_node.request("DELETE", f"/{index}/_alias/{INDEX}")
    assert_gone_and_brought_back(ctisync, indexed)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE consumers SET generation = NULL",
        "DELETE FROM generations",
        "DELETE FROM records WHERE 1; DELETE FROM generations",
    ],
)
def test_rows_that_were_deleted(ctisync: Ctisync, stored: FeedSimulator, statement: str) -> None:
    with closing(sqlite3.connect(ctisync.database)) as database:
        database.executescript(statement)
    assert_gone_and_brought_back(ctisync, stored)


def test_records_that_were_all_deleted_are_critical_and_what_to_type_brings_them_back(
    ctisync: Ctisync, stored: FeedSimulator
) -> None:
    with closing(sqlite3.connect(ctisync.database)) as database:
        database.executescript("DELETE FROM records")
    checked = ctisync.run("status", "--check")
    assert (checked.returncode, "has no records" in checked.stdout) == (2, True), checked.stdout
    assert "ctisync init-snapshot" in checked.stdout
    assert "ctisync init-snapshot" in ctisync.run("status").stdout

    assert ctisync.run("init-snapshot", "-q").returncode == 0
    assert ctisync.run("status", "--check").returncode == 0
    assert len(ctisync.run("export").stdout.splitlines()) == len(stored.expected_lines())
