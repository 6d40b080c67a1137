"""A snapshot from an address that a person gave."""

from pathlib import Path

import pytest

from ctisync.errors import AccessRefused, UsageError
from ctisync.feed.client import CtiFeed
from tests.feed.conftest import MakeFeed
from tests.feed.downloads import nothing
from tests.support.feed_simulator import FeedSimulator


def test_it_is_downloaded_without_asking_the_api(sim: FeedSimulator, feed: CtiFeed) -> None:
    sim.history.create("CVE-2024-1")
    link = sim.publish_snapshot()
    file = feed.fetch_from(link, nothing)
    assert sum(len(batch) for batch in file.records(1001)) == 1
    assert [request.kind for request in sim.requests] == ["snapshot"]


def test_the_token_goes_along_only_to_the_configured_server(sim: FeedSimulator, make_feed: MakeFeed) -> None:
    with FeedSimulator() as other:
        make_feed(token="s3cret").fetch_from(sim.publish_snapshot(), nothing)
        make_feed(token="s3cret").fetch_from(sim.publish_snapshot(host=other), nothing)
        assert "authorization" in sim.requests[0].headers
        assert "authorization" not in other.requests[0].headers


def test_a_file_address_is_a_file(feed: CtiFeed, tmp_path: Path) -> None:
    path = tmp_path / "a b.ndjson"
    path.write_bytes(b"content")
    file = feed.fetch_from(path.as_uri(), nothing)
    assert file.path == path
    file.discard()
    assert path.exists()


@pytest.mark.parametrize("url", ["ftp://host/x.zip", "gopher:x", "https:", "http://", "http://[x", ""])
def test_another_address_is_a_wrong_command(feed: CtiFeed, url: str) -> None:
    with pytest.raises(UsageError, match="address"):
        feed.fetch_from(url, nothing)


def test_an_address_that_leads_nowhere_says_so(sim: FeedSimulator, feed: CtiFeed) -> None:
    with pytest.raises(AccessRefused, match="404"):
        feed.fetch_from(f"{sim.origin}/store/none.zip", nothing)
