"""The stores that are held to the contract, each test on storage or names of its own."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ctisync.core.model import Consumer
from ctisync.ports import Store
from ctisync.settings import load_settings
from tests.support.secured_node import SecuredNode, example_role
from tests.support.stores import OPENSEARCH, SECURED, MakeStore, stores_of


@pytest.fixture(scope="session")
def least_privilege(secured_node: SecuredNode) -> dict[str, Any]:
    """How to come in as a user with the role of the passes, written for the aliases of these tests."""
    role = example_role("ctisync")
    role["index_permissions"][0]["index_patterns"] = ["wazuh-cve-*"]
    secured_node.put_role("contract", role)
    settings = load_settings(environ=secured_node.user("contract", "contract")).settings.store
    assert settings.username is not None
    assert settings.password is not None
    return {
        "url": secured_node.url,
        "ca_file": settings.ca_file,
        "username": settings.username,
        "password": settings.password.reveal(),
    }


@pytest.fixture(params=["memory", "folder", "sqlite", *OPENSEARCH, *SECURED])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeStore]:
    with stores_of(request.param, tmp_path, request) as make:
        yield make


@pytest.fixture
def store(make_store: MakeStore) -> Store:
    return make_store()


@pytest.fixture
def new_consumer() -> Callable[[], Consumer]:
    """Consumers that no other test knows: the servers of a run are shared by all tests."""

    def make() -> Consumer:
        token = uuid.uuid4().hex[:12]
        return Consumer(context=f"context_{token}", name="vd_4.8.0", index=f"wazuh-cve-{token}")

    return make


@pytest.fixture
def consumer(new_consumer: Callable[[], Consumer]) -> Consumer:
    return new_consumer()


@pytest.fixture
def killed() -> Iterator[ExitStack]:
    """Plays processes that are killed: what is entered here is left after the test only, and quietly."""
    with ExitStack() as entered:
        yield entered
