"""The command, a feed and a Command Manager; and an OpenSearch that may be harmed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Ctisync
from tests.real.followed import INDEX, Followed
from tests.support.command_manager import CommandManagerStandIn
from tests.support.feed_history import populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.opensearch_node import RestartableNode, restartable_nodes


@pytest.fixture(scope="module", params=["2.19.1", pytest.param("3.3.2", marks=pytest.mark.long)])
def own_node(request: pytest.FixtureRequest) -> Iterator[RestartableNode]:
    """A node that no other module's tests use."""
    with restartable_nodes(request.param) as [node]:
        yield node


@pytest.fixture
def followed(tmp_path: Path) -> Iterator[Followed]:
    with FeedSimulator() as feed, CommandManagerStandIn() as manager:
        populate(feed.history, 300)
        feed.publish_snapshot()
        ctisync = Ctisync(tmp_path)
        ctisync.environ |= {
            "CTISYNC_CTI__URL": feed.url,
            "CTISYNC_CONSUMERS": json.dumps([{"index": INDEX}]),
            "CTISYNC_COMMAND_MANAGER__URL": manager.url,
        }
        yield Followed(ctisync, feed, manager)
