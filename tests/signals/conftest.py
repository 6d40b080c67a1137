"""A consumer on each store, behind slow connections."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.signals.passes import SLOW, OpenSearchPasses, SqlitePasses
from tests.support.command_manager import CommandManagerStandIn
from tests.support.feed_simulator import FeedSimulator
from tests.support.opensearch_node import OpenSearchNode
from tests.support.tcp_proxy import TcpProxy, port_of


@pytest.fixture
def feed() -> Iterator[FeedSimulator]:
    with FeedSimulator() as feed:
        yield feed


@pytest.fixture
def sqlite(tmp_path: Path, feed: FeedSimulator) -> Iterator[SqlitePasses]:
    with (
        TcpProxy(port_of(feed.url), rate=SLOW) as proxy,
        CommandManagerStandIn() as manager,
    ):
        yield SqlitePasses(tmp_path, feed, manager, proxy)


@pytest.fixture
def opensearch(
    tmp_path: Path, feed: FeedSimulator, opensearch_2: OpenSearchNode
) -> Iterator[OpenSearchPasses]:
    opensearch_2.wipe()
    with (
        TcpProxy(port_of(feed.url), rate=SLOW) as proxy,
        TcpProxy(port_of(opensearch_2.url)) as node_proxy,
        CommandManagerStandIn() as manager,
    ):
        yield OpenSearchPasses(tmp_path, feed, manager, proxy, opensearch_2, node_proxy)
