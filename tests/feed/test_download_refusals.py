"""What is not downloaded or not taken, where a link may lead, and that the token is told to nobody else."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ctisync.core.limits import Limits
from ctisync.core.model import Snapshot
from ctisync.core.state import RefusedSnapshot
from ctisync.errors import AccessRefused, FeedRefused, SnapshotRefused
from ctisync.feed.client import CtiFeed
from ctisync.feed.http import url_policy as links
from ctisync.feed.http.budget import PassLimits
from tests.feed.conftest import MakeFeed
from tests.feed.downloads import ALWAYS, nothing, served, spooled
from tests.support import feed_failures as failures
from tests.support.clock import FakeClock
from tests.support.feed_simulator import FeedSimulator
from tests.support.log import KeptLog


def _refused(sim: FeedSimulator, snapshot: Snapshot) -> RefusedSnapshot:
    file = served(sim)
    return RefusedSnapshot(link=snapshot.link, etag=file.etag, size=len(file.body), reason="its CRC is wrong")


def test_a_refused_snapshot_is_not_downloaded_again(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot, log: KeptLog
) -> None:
    with pytest.raises(SnapshotRefused, match="its CRC is wrong") as caught:
        feed.fetch_snapshot(snapshot, _refused(sim, snapshot), nothing)
    assert caught.value.hint is not None
    assert "init-snapshot" in caught.value.hint
    assert log.bars == []


@pytest.mark.parametrize("changed", ["etag", "size", "link"])
def test_a_snapshot_that_differs_from_the_refused_one_is_accepted(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot, changed: str
) -> None:
    refused = _refused(sim, snapshot)
    file = served(sim)
    match changed:
        case "etag":
            file.etag = '"mended"'
        case "size":
            file.body += b"\n"
        case _:
            snapshot = Snapshot(sim.publish_snapshot(), snapshot.offset)
    fetched = feed.fetch_snapshot(snapshot, refused, nothing)
    assert fetched.as_refused("again") != refused


def test_how_a_file_is_refused_is_how_it_is_recognised(make_feed: MakeFeed, snapshot: Snapshot) -> None:
    refused = make_feed().fetch_snapshot(snapshot, None, nothing).as_refused("no good")
    with pytest.raises(SnapshotRefused, match="no good"):
        make_feed().fetch_snapshot(snapshot, refused, nothing)


def test_a_refused_file_is_recognised_by_its_first_reply_if_only_that_to_the_rest_has_its_size(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot
) -> None:
    """Else each pass downloads it again."""
    sim.fail("snapshot", failures.undelimited(0.4))
    file = make_feed().fetch_snapshot(snapshot, None, nothing)
    assert [request.status for request in sim.requests_for("snapshot")] == [200, 206]
    file.discard()
    sim.fail("snapshot", failures.undelimited())
    with pytest.raises(SnapshotRefused, match="no good"):
        make_feed().fetch_snapshot(snapshot, file.as_refused("no good"), nothing)


def test_a_body_without_end_is_refused(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, clock: FakeClock, tmp_path: Path
) -> None:
    small = PassLimits(clock, Limits(snapshot_bytes=1000))
    sim.fail("snapshot", failures.undelimited())
    with pytest.raises(SnapshotRefused, match=r"more than 1000 bytes, limits\.snapshot_bytes is 1000"):
        make_feed(pass_limits=small).fetch_snapshot(snapshot, None, nothing)
    assert spooled(tmp_path) == [], "what nobody wants to have does not fill the disk"


def test_a_snapshot_that_is_announced_too_large_is_refused_before_its_body(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, clock: FakeClock, log: KeptLog
) -> None:
    size = len(served(sim).body)
    with pytest.raises(SnapshotRefused, match=rf"has {size} bytes, limits\.snapshot_bytes is 1000"):
        make_feed(pass_limits=PassLimits(clock, Limits(snapshot_bytes=1000))).fetch_snapshot(
            snapshot, None, nothing
        )
    assert log.bars == []
    exactly = PassLimits(clock, Limits(snapshot_bytes=size))
    assert make_feed(pass_limits=exactly).fetch_snapshot(snapshot, None, nothing).size == size


def test_a_snapshot_sent_in_another_encoding_is_refused(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot
) -> None:
    sim.fail("snapshot", failures.headers(content_encoding="gzip"))
    with pytest.raises(SnapshotRefused, match="Content-Encoding"):
        feed.fetch_snapshot(snapshot, None, nothing)


def test_an_unrequested_part_is_refused(sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot) -> None:
    sim.fail("snapshot", failures.status(206, {"Content-Range": "bytes 5-9/10"}))
    with pytest.raises(SnapshotRefused, match="206"):
        feed.fetch_snapshot(snapshot, None, nothing)


@pytest.mark.parametrize(("code", "error"), [(404, AccessRefused), (403, AccessRefused), (410, FeedRefused)])
def test_a_link_that_leads_to_a_refusal_ends_at_once(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot, clock: FakeClock, code: int, error: type[Exception]
) -> None:
    sim.fail("snapshot", failures.status(code))
    with pytest.raises(error, match=str(code)):
        feed.fetch_snapshot(snapshot, None, nothing)
    assert clock.slept == []


def test_a_link_that_leads_nowhere_names_the_way_out(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot
) -> None:
    sim.files.clear()
    with pytest.raises(AccessRefused, match="404") as caught:
        feed.fetch_snapshot(snapshot, None, nothing)
    assert "init-snapshot --from" in str(caught.value.hint)


def _place(server: FeedSimulator) -> str:
    """Its entry in `cti.allowed_hosts`."""
    return urlsplit(server.origin).netloc


@pytest.fixture
def other() -> Iterator[FeedSimulator]:
    """Another server on another port: another origin."""
    with FeedSimulator() as simulator:
        yield simulator


def test_the_token_goes_along_to_the_feeds_own_host(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot
) -> None:
    make_feed(token="s3cret").fetch_snapshot(snapshot, None, nothing)
    assert sim.requests[0].headers["authorization"] == "Bearer s3cret"


def test_the_token_never_goes_to_a_snapshots_other_host(
    sim: FeedSimulator, other: FeedSimulator, make_feed: MakeFeed
) -> None:
    sim.history.create("CVE-2024-1")
    snapshot = Snapshot(sim.publish_snapshot(host=other), sim.history.last_offset)
    file = make_feed(token="s3cret", allowed_hosts=[_place(other)]).fetch_snapshot(snapshot, None, nothing)
    assert sum(len(batch) for batch in file.records(snapshot.offset)) == 1
    assert [request.kind for request in other.requests] == ["snapshot"]
    assert "s3cret" not in str(other.requests)


def test_the_token_never_follows_a_redirect_to_another_host(
    sim: FeedSimulator, other: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot
) -> None:
    other.files.update(sim.files)
    path = urlsplit(snapshot.link).path
    sim.fail("snapshot", failures.redirect("/store/moved"))
    sim.fail("snapshot", failures.redirect(other.origin + path, 307))
    file = make_feed(token="s3cret", allowed_hosts=[_place(other)]).fetch_snapshot(snapshot, None, nothing)
    assert file.path.read_bytes() == served(sim).body
    assert [request.headers.get("authorization") for request in sim.requests] == ["Bearer s3cret"] * 2
    assert [request.headers.get("authorization") for request in other.requests] == [None]


def test_the_token_goes_to_no_other_host_when_the_api_redirects(
    sim: FeedSimulator, other: FeedSimulator, make_feed: MakeFeed
) -> None:
    sim.fail("info", failures.redirect(other.url))
    with pytest.raises(Exception, match="redirect"):
        make_feed(token="s3cret").consumer_info()
    assert other.requests == []


def test_redirects_end_after_five(sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot) -> None:
    sim.fail("snapshot", failures.redirect("/store/round"), times=ALWAYS)
    with pytest.raises(FeedRefused, match="5 redirects"):
        feed.fetch_snapshot(snapshot, None, nothing)
    assert len(sim.requests) == 6


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://host/x", "", "http://["])
def test_a_redirect_that_leads_to_no_web_address_is_refused(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot, target: str
) -> None:
    sim.fail("snapshot", failures.redirect(target), times=ALWAYS)
    with pytest.raises(FeedRefused):
        feed.fetch_snapshot(snapshot, None, nothing)


@pytest.mark.parametrize(
    ("link", "leads_to"),
    [
        ("https://cti.wazuh.com/store/1_1746459961.zip", "https://cti.wazuh.com/store/1_1746459961.zip"),
        ("cti.wazuh.com/store/x.zip", "https://cti.wazuh.com/store/x.zip"),
        ("/store/x.zip", "https://cti.wazuh.com/store/x.zip"),
    ],
)
def test_a_link_without_a_scheme_has_the_feeds(link: str, leads_to: str) -> None:
    assert links.snapshot_url(link, "https://cti.wazuh.com/api/v1") == leads_to


@pytest.mark.parametrize(
    "link", ["http://cti.wazuh.com/x.zip", "ftp://x/y", "file:///etc/passwd", "https://a b/", "https://[x"]
)
def test_a_link_that_leaves_https_or_the_web_is_refused(link: str) -> None:
    with pytest.raises(SnapshotRefused):
        links.snapshot_url(link, "https://cti.wazuh.com/api/v1")


def test_what_is_shown_of_an_address_holds_no_secret() -> None:
    assert links.shown("https://user:s3cret@host:8443/a/b?sig=s3cret#s3cret") == "https://host:8443/a/b"
