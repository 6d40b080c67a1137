"""What docs/sqlite.md shows is run, on packed lines and on plain ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import page
from tests.docs.shell import ROOT, path_with, run, tools
from tests.support.feed_history import populate
from tests.support.feed_simulator import FeedSimulator

PAGE = (ROOT / "docs" / "sqlite.md").read_text()
SNIPPETS = [block.text for block in page.blocks(PAGE, "python")]


@pytest.fixture(params=["zstd", "none"])
def database(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Enough records for a dictionary, as a person has them who has typed `ctisync sync`."""
    with FeedSimulator() as feed:
        populate(feed.history, 900)
        feed.publish_snapshot()
        environment = {
            "HOME": str(tmp_path),
            "PATH": path_with(tools(tmp_path / "bin", "ctisync.cli")),
            "CTISYNC_CTI__URL": feed.url,
            "CTISYNC_STORE__COMPRESSION": request.param,
        }
        assert run("ctisync sync -q", environment, tmp_path).stderr == ""
    return next(tmp_path.rglob("ctisync.db"))


@pytest.mark.parametrize("snippet", SNIPPETS, ids=["with ctisync", "without"])
def test_each_snippet_finds_what_is_stored(database: Path, snippet: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", snippet, str(database)], capture_output=True, text=True, check=False
    )
    assert ended.stderr == ""
    assert len(ended.stdout.splitlines()) == 5
    assert all(line.startswith("CVE-") for line in ended.stdout.splitlines())
