"""A cluster of three that loses a node in the middle of a load: readers go on, the next pass loads anew."""

import time
from contextlib import ExitStack

import pytest

from tests.real.followed import INDEX, Followed
from tests.support.feed_history import churn
from tests.support.figures import figure
from tests.support.opensearch_node import RestartableNode, restartable_nodes
from tests.support.tcp_proxy import TcpProxy, port_of


@pytest.mark.long
@pytest.mark.own_server
@pytest.mark.timeout(900)
def test_a_node_that_is_killed_with_the_half_loaded_content_takes_nothing_else_along(
    followed: Followed,
) -> None:
    with ExitStack() as parts:
        nodes = parts.enter_context(restartable_nodes("2.19.1", 3))
        proxies = [parts.enter_context(TcpProxy(port_of(node.node.url))) for node in nodes]
        followed.ctisync.environ |= {
            "CTISYNC_STORE__URL": "http://" + ",".join(f"127.0.0.1:{proxy.port}" for proxy in proxies),
            "CTISYNC_STORE__REPLICAS": "1",
        }
        followed.assert_in_step()
        nodes[0].node.request("GET", "/_cluster/health?wait_for_status=green&timeout=60s")
        before = generations(nodes[0])
        reached = followed.feed.history.last_offset
        churn(followed.feed.history, 500)
        followed.feed.publish_snapshot()
        running = followed.ctisync.start("init-snapshot", "-q")
        while not (new := generations(nodes[0]) - before):
            time.sleep(0.005)
        for proxy in proxies:
            proxy.hang()

        killed = holder(nodes, *new)
        killed.kill()
        for proxy in proxies:
            proxy.go_on()
        _, stderr = running.communicate(timeout=600)

        assert running.returncode == 7, stderr.decode()
        assert followed.offset == reached
        followed.assert_holds(reached)
        followed.assert_in_step()
        figure(f"three nodes, one killed in mid-load: exit {running.returncode}, then in step on two")
        killed.start()
        followed.assert_in_step()


@pytest.mark.long
@pytest.mark.own_server
@pytest.mark.timeout(900)
def test_status_ends_in_time_whichever_of_three_nodes_hangs(followed: Followed) -> None:
    """A node that hangs stays in the cluster for a while, and may be the one that the others wait for."""
    with ExitStack() as parts:
        nodes = parts.enter_context(restartable_nodes("2.19.1", 3))
        followed.ctisync.environ |= {
            "CTISYNC_STORE__URL": "http://"
            + ",".join(f"127.0.0.1:{port_of(each.node.url)}" for each in nodes),
            "CTISYNC_STORE__REPLICAS": "1",
        }
        followed.assert_in_step()
        for number, node in enumerate(nodes):
            nodes[0].node.request("GET", "/_cluster/health?wait_for_status=green&timeout=120s")
            with node.hung():
                began = time.monotonic()
                checked = followed.ctisync.run("status", "--check")
                took = time.monotonic() - began
            figure(f"node {number} of three hangs: status --check {checked.returncode} after {took:.1f} s")
            assert took < 11, checked.stdout
            assert checked.returncode in (0, 2, 3), checked.stdout
            assert checked.stdout.startswith("CTISYNC "), checked


def generations(node: RestartableNode) -> set[str]:
    return set(node.node.request("GET", f"/ctisync-{INDEX}-*/_alias?allow_no_indices=true"))


def holder(nodes: list[RestartableNode], index: str) -> RestartableNode:
    """The node that holds the index's only shard."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        shards = nodes[0].node.request("GET", f"/_cat/shards/{index}?format=json&h=id,state")
        for node in nodes:
            [own] = node.node.request("GET", "/_nodes/_local/http")["nodes"]
            if any((each["id"], each["state"]) == (own, "STARTED") for each in shards):
                return node
        time.sleep(0.05)
    raise AssertionError(f"no node holds {index}")
