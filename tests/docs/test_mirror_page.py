"""docs/mirror.md: what it lets you type publishes, carries and follows the feed."""

from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.docs import page
from tests.docs.reader import Reader
from tests.docs.shell import ROOT
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.records import comparable
from tests.support.web_folder import WebFolder

PAGE: Final = (ROOT / "docs" / "mirror.md").read_text()
TYPED: Final = {block.names[0]: block.text for block in page.blocks(PAGE, "sh")}


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    return {
        "/srv/cti": str(tmp_path / "srv"),
        "/media/stick/cti": str(tmp_path / "stick"),
        "/srv/branch": str(tmp_path / "branch"),
    }


def test_each_block_is_typed_by_a_test() -> None:
    assert list(TYPED) == ["publish", "dry-run", "carry", "follow", "web", "relay", "anew"]


def test_the_other_host_has_the_records_of_the_feed_after_each_copy(
    tmp_path: Path, places: dict[str, str]
) -> None:
    with FeedSimulator() as feed, ExitStack() as stack:
        populate(feed.history, 10)
        feed.publish_snapshot()
        outside, inside = Reader(tmp_path / "outside", feed), Reader(tmp_path / "inside", None)
        outside.names |= places
        inside.names |= places
        outside.types(TYPED["publish"])
        outside.types(TYPED["carry"])
        server = stack.enter_context(WebFolder(Path(places["/media/stick/cti"])))
        inside.names["mirror+https://mirror.example/cti"] = f"mirror+{server.url}"
        for seed in (1, 2):
            churn(feed.history, 40, seed=seed)
            assert "a pass would now" in outside.types(TYPED["dry-run"])
            outside.types(TYPED["publish"])
            outside.types(TYPED["carry"])
            for way in ("follow", "web"):
                inside.types(TYPED[way])
                exported = inside.types("ctisync export").encode().splitlines()
                assert [comparable(each) for each in exported] == list(map(comparable, feed.expected_lines()))
            inside.types(TYPED["relay"])
            inside.types("export CTISYNC_CTI__URL=file:///srv/branch\nctisync sync")
        inside.types("export CTISYNC_CTI__URL=file:///media/stick/cti\n" + TYPED["anew"])
