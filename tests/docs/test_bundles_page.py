"""docs/bundles.md: what it lets you type carries a mirror to a host without a network."""

from pathlib import Path
from typing import Final

from tests.docs import page
from tests.docs.reader import Reader
from tests.docs.shell import ROOT
from tests.docs.stage import LAST_OFFSET
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.records import comparable

PAGE: Final = (ROOT / "docs" / "bundles.md").read_text()
TYPED: Final = {block.names[0]: block.text for block in page.blocks(PAGE, "sh")}


def carry(outside: Reader, inside: Reader, name: str) -> None:
    (inside.home / name).write_bytes((outside.home / name).read_bytes())


def assert_in_step(feed: FeedSimulator, inside: Reader) -> None:
    exported = inside.types("ctisync export").encode().splitlines()
    assert [*map(comparable, exported)] == [*map(comparable, feed.expected_lines())]


def test_the_other_host_has_the_records_of_the_feed_after_each_bundle(tmp_path: Path) -> None:
    assert list(TYPED) == ["first", "import-first", "next", "import-next", "anew", "extract"]
    with FeedSimulator(first_offset=LAST_OFFSET - 10) as feed:
        populate(feed.history, 10)
        feed.publish_snapshot()
        outside, inside = Reader(tmp_path / "outside", feed), Reader(tmp_path / "inside", None)
        for each in (outside, inside):
            each.names |= {"/srv/cti": str(tmp_path / "srv"), "/media/stick/cti": str(tmp_path / "stick")}
        outside.types(TYPED["first"])
        carry(outside, inside, "first.tar")
        assert "1,901,695" in inside.types(TYPED["import-first"])
        churn(feed.history, 40)
        outside.types(TYPED["next"])
        carry(outside, inside, "next.tar")
        assert "apply the changes of" in inside.types(TYPED["import-next"])
        assert_in_step(feed, inside)
        inside.types(TYPED["anew"] + "ctisync import next.tar")
        assert_in_step(feed, inside)
        inside.types(TYPED["extract"] + "CTISYNC_CTI__URL=file:///media/stick/cti ctisync sync")
