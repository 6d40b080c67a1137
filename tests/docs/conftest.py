"""What most pages need to be tried: a feed that has lived, and a person with an empty home."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.shell import path_with, tools
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator


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
        "PATH": path_with(tools(tmp_path / "bin", "ctisync")),
        "CTISYNC_CTI__URL": feed.url,
    }
