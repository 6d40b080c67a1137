"""A world for each story, on each store."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ctisync.core.model import Consumer
from tests.support.command_manager import CommandManagerStandIn
from tests.support.feed_simulator import FeedSimulator
from tests.support.stores import stores_of
from tests.support.world import World


@pytest.fixture(params=["folder", "sqlite", "opensearch-2.19.1"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    token = uuid.uuid4().hex[:12]  # a server of the run is shared by all tests
    consumer = Consumer(context="vd_1.0.0", name=f"vd_{token}", index=f"wazuh-cve-{token}")
    with (
        stores_of(request.param, tmp_path, request) as make_store,
        FeedSimulator(consumer.context, consumer.name) as feed,
        CommandManagerStandIn() as manager,
    ):
        yield World(consumer, make_store, tmp_path, feed, manager)
