"""A real OpenSearch that restarts, is full, or has been altered: nothing is lost, and a person is told."""

import random
import time
from collections import Counter
from contextlib import closing

import pytest

from ctisync.core.model import Consumer
from ctisync.system.clock import SystemClock
from tests.real.followed import INDEX, Followed
from tests.support.feed_history import churn, populate
from tests.support.figures import figure
from tests.support.long import LONG
from tests.support.opensearch_node import RestartableNode
from tests.support.opensearch_store import opensearch_at
from tests.support.tcp_proxy import TcpProxy, port_of

pytestmark = [pytest.mark.own_server, pytest.mark.timeout(3600 if LONG else 300)]


@pytest.fixture
def node(own_node: RestartableNode, followed: Followed) -> RestartableNode:
    own_node.node.wipe()
    followed.ctisync.environ["CTISYNC_STORE__URL"] = own_node.node.url
    return own_node


def test_a_node_that_restarts_in_the_middle_of_a_bulk_costs_a_pass_at_most(
    followed: Followed, node: RestartableNode
) -> None:
    assert followed.run().returncode == 0
    chance, ends = random.Random(5), Counter[int]()
    for number in range(8 if LONG else 1):
        before = followed.feed.history.last_offset
        churn(followed.feed.history, 3000, seed=number)
        running = followed.ctisync.start("sync" if number % 2 else "init-snapshot", "-q")
        time.sleep(chance.uniform(0.6, 1.6))

        node.kill() if number % 2 else node.stop()
        node.start()
        _, stderr = running.communicate(timeout=240)

        ends[running.returncode] += 1
        assert running.returncode in (0, 7), stderr.decode()
        followed.assert_in_step()
        assert followed.feed.history.last_offset > before
    figure(
        f"OpenSearch {node.node.version} restarted in mid-pass: {ends.total()} times, "
        f"exit codes {dict(ends)}, 0 divergences"
    )


def test_a_full_disk_is_7_at_once_and_the_offset_stays(followed: Followed, node: RestartableNode) -> None:
    assert followed.run().returncode == 0
    reached = followed.feed.history.last_offset
    churn(followed.feed.history, 300)
    watermarks = "cluster.routing.allocation.disk.watermark"
    tiny = {f"{watermarks}.{level}": "900pb" for level in ("low", "high", "flood_stage")}
    settings = {
        **tiny,
        "cluster.routing.allocation.disk.threshold_enabled": True,
        "cluster.info.update.interval": "10s",
    }
    node.node.request("PUT", "/_cluster/settings", {"persistent": settings})
    await_block(node, INDEX, blocked=True)

    began = time.monotonic()
    full = followed.run()
    seconds = time.monotonic() - began

    assert full.returncode == 7
    assert "accepts no writes, its disk is probably full" in full.stderr
    assert seconds < 30
    assert followed.offset == reached
    followed.assert_holds(reached)
    figure(f"OpenSearch {node.node.version}, flood stage: exit 7 after {seconds:.1f} s, offset unchanged")

    lifted: dict[str, object] = dict.fromkeys(settings)
    lifted["cluster.info.update.interval"] = "10s"
    node.node.request("PUT", "/_cluster/settings", {"persistent": lifted})
    await_block(node, INDEX, blocked=False)
    followed.assert_in_step()


def test_a_strict_mapping_in_the_way_names_record_and_field_and_the_offset_stays(
    followed: Followed, node: RestartableNode
) -> None:
    """Somebody has made the live index anew, with a mapping that does not know all that a record has."""
    assert followed.run().returncode == 0
    reached = followed.feed.history.last_offset
    [(name, live)] = node.node.request("GET", f"/{INDEX}").items()
    node.node.request("DELETE", f"/{name}")
    mapping = live["mappings"] | {"dynamic": "strict"}
    del mapping["properties"]["inserted_at"]
    node.node.request("PUT", f"/{name}", {"aliases": {INDEX: {}}, "mappings": mapping})
    populate(followed.feed.history, 20, first=7000)

    refused = followed.run()

    assert refused.returncode == 7
    reason = "strict_dynamic_mapping_exception: mapping set to strict, dynamic introduction of [inserted_at]"
    assert f"refuses record CVE-2000-17000 (400): {reason}" in refused.stderr
    assert followed.offset == reached
    assert len(followed.feed.requests_for("snapshot")) <= 1, "no reason to start again"

    followed.feed.publish_snapshot()
    assert followed.run("init-snapshot", "-q").returncode == 0
    followed.assert_in_step()


def test_a_node_that_hangs_is_left_alone_while_another_one_answers(node: RestartableNode) -> None:
    with (
        TcpProxy(port_of(node.node.url)) as hanging,
        closing(opensearch_at([hanging.url, node.node.url], SystemClock(), wait=0.3)) as store,
    ):
        hanging.hang()
        for _ in range(5):
            assert store.summary(Consumer(index=INDEX)).records is None

        assert hanging.connections == 1


def await_block(node: RestartableNode, index: str, *, blocked: bool) -> None:
    """Until the cluster has looked at its disk, and forbids writes or has stopped to do so."""
    end = time.monotonic() + 120
    while True:
        settings = node.node.request("GET", f"/{index}/_settings?flat_settings=true")
        blocks = [each["settings"].get("index.blocks.read_only_allow_delete") for each in settings.values()]
        if (blocks == ["true"]) == blocked:
            return
        assert time.monotonic() < end, settings
        time.sleep(0.3)
