"""What keeps passes from their work, and what they are at, is in `status` before any limit has passed."""

import json
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ctisync.core.model import Consumer
from ctisync.stores.opensearch.lease import new_lease
from ctisync.system.locks import lock_beside
from tests.cli.conftest import Ctisync
from tests.docs.indexer import indexer
from tests.docs.privileges import rows
from tests.stores import opensearch_kit as kit
from tests.support import feed_failures as failures
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator, unused_port
from tests.support.mounts import small_disk
from tests.support.opened import no_process
from tests.support.opensearch_node import OpenSearchNode

INDEX = "wazuh-cve"


@pytest.fixture
def stored(ctisync: Ctisync, feed: FeedSimulator) -> FeedSimulator:
    assert ctisync.run("sync", "-q").returncode == 0
    assert ctisync.run("status", "--check").returncode == 0
    return feed


@pytest.fixture
def node(ctisync: Ctisync, feed: FeedSimulator, opensearch_2: OpenSearchNode) -> Iterator[OpenSearchNode]:
    opensearch_2.wipe()
    ctisync.environ |= {
        "CTISYNC_CTI__URL": feed.url,
        "CTISYNC_STORE__URL": opensearch_2.url,
        "CTISYNC_CONSUMERS": json.dumps([{"index": INDEX}]),
        "CTISYNC_COMMAND_MANAGER__ENABLED": "false",
    }
    assert ctisync.run("sync", "-q").returncode == 0
    yield opensearch_2
    opensearch_2.wipe()


def consumer_of(ctisync: Ctisync) -> dict[str, Any]:
    [consumer] = json.loads(ctisync.run("status", "--json").stdout)["consumers"]
    assert isinstance(consumer, dict)
    return consumer


def assert_no_pass_can_write(ctisync: Ctisync, words: str) -> None:
    checked = ctisync.run("status", "--check")
    assert checked.returncode == 2, checked.stdout
    assert checked.stdout.startswith("CTISYNC CRITICAL - no pass can write: "), checked.stdout
    assert words in checked.stdout
    assert words in ctisync.run("status").stdout
    [refusal] = json.loads(ctisync.run("status", "--json").stdout)["refuses_writes"]
    assert (words in refusal["why"], bool(refusal["to_do"])) == (True, True)


@pytest.mark.parametrize("which", ["file", "folder"])
@pytest.mark.usefixtures("stored")
def test_a_file_that_its_owner_cannot_write_is_critical(ctisync: Ctisync, which: str) -> None:
    """For each user who looks: monitoring is another one than the one of the passes, or root."""
    path = ctisync.database if which == "file" else ctisync.database.parent
    if os.geteuid() == 0:
        for each in (ctisync.database, ctisync.database.parent):
            os.chown(each, 4711, -1)
    path.chmod(0o400 if which == "file" else 0o500)
    try:
        assert_no_pass_can_write(ctisync, "can be read but not written")
    finally:
        path.chmod(0o700)


@pytest.mark.mounts
def test_a_disk_with_too_little_room_for_a_pass_is_critical_and_has_failed(
    ctisync: Ctisync, feed: FeedSimulator, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "small", 48) as disk:
        ctisync.environ |= {
            "CTISYNC_CTI__URL": feed.url,
            "CTISYNC_STORE__URL": f"sqlite:///{disk}/ctisync.db",
        }
        assert ctisync.run("sync", "-q").returncode == 0
        assert ctisync.run("status", "--check").returncode == 0
        (disk / "ballast").write_bytes(bytes(30 << 20))
        assert_no_pass_can_write(ctisync, "too little for a pass")
        [room] = [
            each
            for each in json.loads(ctisync.run("doctor", "--json").stdout)["checks"]
            if each["check"] == "disk"
        ]
        assert (room["health"], "too little for a pass" in room["said"]) == ("failed", True)


def test_a_flood_stage_is_critical_for_the_user_of_the_passes_and_for_readers(
    ctisync: Ctisync, node: OpenSearchNode
) -> None:
    assert ctisync.run("status", "--check").returncode == 0
    node.request("PUT", "/_all/_settings", {"index.blocks.read_only_allow_delete": True})
    assert_no_pass_can_write(ctisync, "index.blocks.read_only_allow_delete of ctisync-")
    readers = {request for row in rows() if row.readers for request in row.requests}
    with indexer(node, lambda request: request in readers) as opened:
        ctisync.environ["CTISYNC_STORE__URL"] = opened.url
        assert_no_pass_can_write(ctisync, "index.blocks.read_only_allow_delete of ctisync-")


def test_a_pass_of_which_nothing_is_remembered_is_a_warning_until_one_is(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    """As where it was killed, or the disk was so full that nothing could be taken down."""
    assert ctisync.run("sync", "-q", CTISYNC_HISTORY="0").returncode == 0
    earlier = time.time() - 300
    os.utime(lock_beside(ctisync.database, Consumer()), (earlier, earlier))

    checked = ctisync.run("status", "--check")
    assert (checked.returncode, "a pass 5 minutes ago left no entry" in checked.stdout) == (1, True), checked
    assert "left no entry in the history" in ctisync.run("status").stdout
    assert ctisync.run("status", "--check", CTISYNC_HISTORY="0").returncode == 0, "none is to be"
    assert ctisync.run("sync", "-q").returncode == 0
    assert ctisync.run("status", "--check").returncode == 0


def test_a_command_that_nobody_waits_for_is_no_warning(ctisync: Ctisync, feed: FeedSimulator) -> None:
    nobody = f"http://127.0.0.1:{unused_port()}"
    assert ctisync.run("sync", "-q", CTISYNC_COMMAND_MANAGER__URL=nobody).returncode == 8
    owed = ctisync.run("status", "--check", CTISYNC_COMMAND_MANAGER__URL=nobody)
    assert (owed.returncode, "is not accepted yet" in owed.stdout) == (1, True)

    without = {"CTISYNC_COMMAND_MANAGER__ENABLED": "false"}
    assert ctisync.run("status", "--check", **without).returncode == 0
    table = ctisync.run("status", **without).stdout
    assert "command owed" not in table
    assert "try:" not in table


def test_while_a_pass_is_at_work_status_says_who_and_since_when_instead_of_what_to_type(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    feed.fail("snapshot", failures.stall(120, after=0.5))
    running = ctisync.start("sync", "-q")
    try:
        while not list(ctisync.database.parent.glob("[!.]*.part")):
            assert running.poll() is None
        table = ctisync.run("status").stdout
        assert re.search(rf"running +ctisync sync, process {running.pid}, since", table), table
        assert "try:" not in table
        work = consumer_of(ctisync)["at_work"]
        assert work["who"] == f"ctisync sync, process {running.pid}"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", work["since"])
        assert f"running: ctisync sync, process {running.pid}" in ctisync.run("status", "--check").stdout
    finally:
        running.kill()
        running.communicate(timeout=120)
    assert consumer_of(ctisync)["at_work"] is None, "it is dead"
    assert "ctisync sync" in ctisync.run("status").stdout


def test_a_dead_pass_of_an_earlier_version_does_not_look_as_if_it_ran(
    ctisync: Ctisync, feed: FeedSimulator, node: OpenSearchNode
) -> None:
    """Its lease names no lock file, so nothing proves that it is dead; but what to do is known."""
    host, dead, until = new_lease().host, no_process(), int(time.time()) + 800
    kit.put_lease(node, Consumer(), host=host, pid=dead, until=until)
    when = f"{datetime.fromtimestamp(until, UTC):%Y-%m-%dT%H:%M:%SZ}"

    table = " ".join(ctisync.run("status").stdout.split())
    assert f"process {dead}; this host has no such process: it was probably killed" in table
    assert f"try: after {when}: ctisync sync" in table
    work = consumer_of(ctisync)["at_work"]
    assert (work["process_missing"], work["lease_until"]) == (True, when)
    checked = ctisync.run("doctor", "--json").stdout
    [lease] = [each for each in json.loads(checked)["checks"] if each["check"] == "store-lease"]
    assert (lease["health"], lease["to_do"]) == ("warning", f"after {when}: ctisync sync")
    churn(feed.history, 10)
    refused = ctisync.run("sync")
    assert refused.returncode == 4
    assert f"process {dead}, which this host does not have" in refused.stderr
    assert f"run the same command after {when}" in refused.stderr

    kit.put_lease(node, Consumer(), host=host, pid=os.getpid(), until=until)
    assert consumer_of(ctisync)["at_work"]["process_missing"] is False
    assert "try:" not in ctisync.run("status").stdout


def test_what_to_type_during_a_cooldown_is_what_asks_the_feed(
    ctisync: Ctisync, stored: FeedSimulator
) -> None:
    ctisync.environ["CTISYNC_CTI__COOLDOWN"] = "600"
    churn(stored.history, 10)
    stored.fail("changes", failures.status(429, {"Retry-After": "600"}))
    assert ctisync.run("sync", "-q").returncode == 5
    assert ctisync.run("sync", "-q").returncode == 5, "the cool-down"
    assert re.search(r"try: ctisync sync --now$", ctisync.run("status").stdout, re.MULTILINE)
    checks = json.loads(ctisync.run("doctor", "--json").stdout)["checks"]
    assert {each["to_do"] for each in checks if each["check"] == "content"} <= {None, "ctisync sync --now"}
    assert ctisync.run("sync", "--now", "-q").returncode == 0
    assert "try:" not in ctisync.run("status").stdout


def test_a_failure_that_a_wrong_clock_has_put_into_the_future_is_shown_until_a_pass_is_good(
    ctisync: Ctisync, node: OpenSearchNode
) -> None:
    """It is the last pass, whatever its date; the next one is later, whatever its date."""
    [hit] = node.request("GET", "/ctisync-history/_search")["hits"]["hits"]
    ahead = {"began_at": "2099-01-01T00:00:00Z", "exit_code": 7, "why": "a full disk", "pass_id": "ahead"}
    node.request("PUT", "/ctisync-history/_doc/ahead?refresh=true", hit["_source"] | ahead)
    assert consumer_of(ctisync)["last_failure"]["why"] == "a full disk"

    assert ctisync.run("sync", "-q").returncode == 0
    assert consumer_of(ctisync)["last_failure"] is None
    assert ctisync.run("status", "--check").returncode == 0


def test_why_the_last_pass_failed_is_shown_until_one_is_good(ctisync: Ctisync, stored: FeedSimulator) -> None:
    stored.fail("info", failures.status(503), times=None)
    assert ctisync.run("sync", "-q").returncode == 5
    table = ctisync.run("status").stdout
    assert re.search(r"last pass +failed just now with exit code 5: .*503", table), table
    failure = consumer_of(ctisync)["last_failure"]
    assert (failure["exit_code"], failure["outcome"]) == (5, "feed-unreachable")
    assert "503" in failure["why"]
    [history] = json.loads(ctisync.run("history", "--last", "1", "--json").stdout)["consumers"]
    assert history["passes"][0]["why"] == failure["why"]

    stored.heal()
    assert ctisync.run("sync", "-q").returncode == 0
    assert consumer_of(ctisync)["last_failure"] is None
    assert "last pass" not in ctisync.run("status").stdout


def test_a_requested_initialisation_is_shown_until_it_is_done(
    ctisync: Ctisync, stored: FeedSimulator
) -> None:
    assert consumer_of(ctisync)["asked_at"] is None
    stored.publish_snapshot()
    stored.fail("snapshot", failures.status(503), times=None)
    assert ctisync.run("init-snapshot", "-q").returncode == 5
    requested_at = consumer_of(ctisync)["asked_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", requested_at), requested_at
    assert "requested  " in ctisync.run("status").stdout

    stored.heal()
    assert ctisync.run("sync", "-q").returncode == 0
    assert consumer_of(ctisync)["asked_at"] is None


def test_an_alias_that_was_moved_to_another_generation_is_critical_until_a_pass_gives_it_back(
    ctisync: Ctisync, node: OpenSearchNode
) -> None:
    """Readers have a content that no offset speaks of, and its records are counted as if all were well."""
    [stored] = node.request("GET", f"/_alias/{INDEX}")
    assert ctisync.run("init-snapshot", "-q").returncode == 0
    [live] = node.request("GET", f"/_alias/{INDEX}")
    moves = [
        {"remove": {"index": live, "alias": INDEX}},
        {"add": {"index": stored, "alias": INDEX}},
    ]
    assert consumer_of(ctisync)["alias_moved"] is None
    node.request("POST", "/_aliases", {"actions": moves})

    checked = ctisync.run("status", "--check")
    assert (checked.returncode, f"alias {INDEX} points to {stored}" in checked.stdout) == (2, True), checked
    table = ctisync.run("status").stdout
    assert re.search(rf"moved +alias {INDEX} points to {stored}", table), table
    assert "try: ctisync sync" in table, table
    assert consumer_of(ctisync)["alias_moved"] == {"to": stored, "from": live}
    [content] = [
        each
        for each in json.loads(ctisync.run("doctor", "--json").stdout)["checks"]
        if each["check"] == "content"
    ]
    assert (content["health"], "points to" in content["said"]) == ("failed", True), content

    assert ctisync.run("sync", "-q").returncode == 0
    assert consumer_of(ctisync)["alias_moved"] is None
    assert ctisync.run("status", "--check").returncode == 0


def test_status_asks_once_which_generations_a_consumer_has(ctisync: Ctisync, node: OpenSearchNode) -> None:
    """Each such request has a busy cluster tell the settings of every generation."""
    with indexer(node) as opened:
        ctisync.environ["CTISYNC_STORE__URL"] = opened.url
        assert ctisync.run("status").returncode == 0
        lists = [each.target for each in opened.received if f"-*,{INDEX}?" in each.target.replace("%2C", ",")]
    assert len(lists) == 1, lists
