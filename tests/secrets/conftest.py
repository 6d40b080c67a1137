"""Stages: on SQLite with a content from the start, or on OpenSearch without one."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.secrets.settings import Form
from tests.secrets.stage import Stage
from tests.support.opensearch_node import OpenSearchNode

MakeStage = Callable[..., Stage]


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with the content of a stage's feed."""
    folder = tmp_path_factory.mktemp("filled")
    with Stage(folder, "variable") as stage:
        ended = stage.run("sync", "-q")
        assert (ended.code, ended.stderr) == (0, b"")
        return (stage.home / "state" / "ctisync.db").read_bytes()


@pytest.fixture
def on_sqlite(tmp_path: Path, filled: bytes) -> Iterator[MakeStage]:
    with ExitStack() as opened:

        def make(form: Form = "variable") -> Stage:
            stage = opened.enter_context(Stage(tmp_path, form))
            (stage.home / "state").mkdir()
            (stage.home / "state" / "ctisync.db").write_bytes(filled)
            return stage

        yield make


@pytest.fixture
def on_opensearch(tmp_path: Path, opensearch_2: OpenSearchNode) -> Iterator[MakeStage]:
    with ExitStack() as opened:

        def make(form: Form = "variable") -> Stage:
            opensearch_2.wipe()
            return opened.enter_context(Stage(tmp_path, form, opensearch_2))

        yield make
