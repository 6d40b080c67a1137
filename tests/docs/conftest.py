"""What most pages need to be tried: a feed that has lived, and a person with an empty home."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.shell import path_with, tools
from tests.docs.stage import LAST_OFFSET, RECORDS, Stage
from tests.support.command_manager import CommandManagerStandIn
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.opensearch_node import OpenSearchNode


@pytest.fixture
def feed() -> Iterator[FeedSimulator]:
    with FeedSimulator() as simulator:
        populate(simulator.history, 20)
        simulator.publish_snapshot()
        churn(simulator.history, 30)
        yield simulator


@pytest.fixture
def environment(tmp_path: Path, feed: FeedSimulator) -> dict[str, str]:
    """That of a person with an empty home, `ctisync` on the PATH, and a `sleep` that does not wait."""
    return {
        "HOME": str(tmp_path),
        "PATH": path_with(tools(tmp_path / "bin", "ctisync.cli")),
        "CTISYNC_CTI__URL": feed.url,
    }


@pytest.fixture
def feed_of_the_page() -> Iterator[FeedSimulator]:
    with FeedSimulator(first_offset=LAST_OFFSET - RECORDS) as simulator:
        yield simulator


@pytest.fixture
def manager() -> Iterator[CommandManagerStandIn]:
    with CommandManagerStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def stage(tmp_path: Path, feed_of_the_page: FeedSimulator, manager: CommandManagerStandIn) -> Stage:
    """The host of the page for operators, whose content is in SQLite."""
    return Stage(tmp_path, feed_of_the_page, manager, None)


@pytest.fixture
def indexer(
    tmp_path: Path,
    feed_of_the_page: FeedSimulator,
    manager: CommandManagerStandIn,
    opensearch_2: OpenSearchNode,
) -> Stage:
    """The same with an OpenSearch."""
    opensearch_2.wipe()
    return Stage(tmp_path, feed_of_the_page, manager, opensearch_2)
