"""A secured node with the example roles, a feed, and the command as a user that has one of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Ctisync
from tests.support.feed_history import populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.secured_node import SecuredNode


@pytest.fixture
def node(secured_node: SecuredNode) -> Iterator[SecuredNode]:
    """Without an index, with the roles of the examples as they are."""
    secured_node.wipe()
    for role in ("ctisync", "ctisync_reader"):
        secured_node.put_role(role)
    yield secured_node
    secured_node.wipe()


@pytest.fixture
def feed() -> Iterator[FeedSimulator]:
    with FeedSimulator() as simulator:
        populate(simulator.history, 60)
        simulator.publish_snapshot()
        yield simulator


@pytest.fixture
def ctisync(tmp_path: Path, node: SecuredNode, feed: FeedSimulator) -> Ctisync:
    """As the user of the passes, where there is no Command Manager."""
    command = Ctisync(tmp_path)
    command.environ |= node.user("ctisync", "ctisync")
    command.environ |= {"CTISYNC_CTI__URL": feed.url, "CTISYNC_COMMAND_MANAGER__ENABLED": "false"}
    return command


@pytest.fixture
def reader(ctisync: Ctisync, node: SecuredNode) -> Ctisync:
    """As a user who only reads."""
    command = Ctisync(ctisync.home)
    command.environ |= ctisync.environ | node.user("ctisync_reader", "ctisync_reader")
    return command
