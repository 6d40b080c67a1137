"""A download goes on where it was cut off, never joins two files, and tells the token to nobody else."""

import errno
import json
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ctisync.core.limits import Limits
from ctisync.core.model import Consumer, ConsumerInfo, Snapshot
from ctisync.core.state import RefusedSnapshot
from ctisync.errors import (
    AccessRefused,
    AnotherPass,
    FeedRefused,
    FeedUnreachable,
    SnapshotRefused,
    StoreUnavailable,
)
from ctisync.feed import download, links
from ctisync.feed.bounds import Bounds
from ctisync.feed.client import CtiFeed
from tests.feed.conftest import MakeFeed
from tests.support import feed_failures as failures
from tests.support.clock import FakeClock
from tests.support.feed_history import populate
from tests.support.feed_simulator import FeedSimulator, Request
from tests.support.report import KeptReport

ALWAYS = None


def _nothing() -> None:
    pass


@pytest.fixture
def snapshot(sim: FeedSimulator) -> Snapshot:
    """A published snapshot of 300 records."""
    populate(sim.history, 300)
    return Snapshot(sim.publish_snapshot(), sim.history.last_offset)


def _file(sim: FeedSimulator) -> bytes:
    (file,) = sim.files.values()
    return file.body


def _spool(tmp_path: Path) -> list[str]:
    return sorted(path.suffix for path in (tmp_path / "spool").iterdir())


def _ranges(sim: FeedSimulator) -> list[str | None]:
    return [request.headers.get("range") for request in sim.asked("snapshot")]


def test_a_snapshot_is_downloaded_whole_for_this_user_alone(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot, tmp_path: Path, report: KeptReport
) -> None:
    alive = []
    file = feed.fetch_snapshot(snapshot, None, lambda: alive.append(1))
    assert file.path.read_bytes() == _file(sim)
    assert file.size == len(_file(sim))
    assert sum(len(batch) for batch in file.records(snapshot.offset)) == 300
    assert file.position == file.size
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "spool").iterdir()} == {0o600}
    assert file.path.name.startswith("vd_1.0.0-vd_4.8.0-")
    assert alive
    (bar,) = report.bars
    assert (bar.step, bar.total, bar.amounts[-1]) == ("download", file.size, file.size)
    assert sim.asked("snapshot")[0].headers["accept-encoding"] == "identity"


def test_what_was_loaded_or_is_no_good_is_removed(feed: CtiFeed, snapshot: Snapshot, tmp_path: Path) -> None:
    file = feed.fetch_snapshot(snapshot, None, _nothing)
    assert _spool(tmp_path) == [".json", ".part"]
    file.discard()
    file.discard()
    assert _spool(tmp_path) == []


@pytest.mark.parametrize("cut", [failures.cut_off(0.4), failures.reset(0.4)], ids=["closed", "reset"])
def test_a_cut_off_download_goes_on_within_the_pass(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot, cut: failures.Failure, report: KeptReport
) -> None:
    sim.fail("snapshot", cut, times=2)
    file = feed.fetch_snapshot(snapshot, None, _nothing)
    assert file.path.read_bytes() == _file(sim)
    first, second, third = sim.asked("snapshot")
    assert first.status == 200
    assert (second.status, third.status) == (206, 206)
    assert second.headers["if-range"] == next(iter(sim.files.values())).etag
    assert len(report.named("retry")) == 2


def test_a_later_pass_goes_on_where_an_earlier_one_gave_up(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot
) -> None:
    sim.fail("snapshot", failures.cut_off(0.4))
    with pytest.raises(FeedUnreachable):
        make_feed(retry_budget=0.0).fetch_snapshot(snapshot, None, _nothing)
    file = make_feed().fetch_snapshot(snapshot, None, _nothing)
    assert file.path.read_bytes() == _file(sim)
    assert _ranges(sim) == [None, f"bytes={int(len(_file(sim)) * 0.4)}-"]


def test_a_feed_that_always_cuts_off_is_unreachable_and_the_part_is_kept(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, tmp_path: Path
) -> None:
    sim.fail("snapshot", failures.cut_off(10), times=ALWAYS)
    with pytest.raises(FeedUnreachable):
        make_feed().fetch_snapshot(snapshot, None, _nothing)
    assert _spool(tmp_path) == [".json", ".part"]


def test_a_complete_file_of_a_killed_pass_is_not_downloaded_again(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, report: KeptReport
) -> None:
    make_feed().fetch_snapshot(snapshot, None, _nothing)
    report.bars.clear()
    sim.fail("snapshot", failures.cut_off(0))  # headers alone: a body that is read would fail
    file = make_feed().fetch_snapshot(snapshot, None, _nothing)
    assert file.path.read_bytes() == _file(sim)
    assert report.bars == []
    assert report.named("retry") == []


@pytest.mark.parametrize("complete", [False, True])
def test_another_file_under_the_same_link_is_never_joined_to_the_old_part(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, complete: bool
) -> None:
    if not complete:
        sim.fail("snapshot", failures.cut_off(0.5))
    try:
        make_feed(retry_budget=0.0).fetch_snapshot(snapshot, None, _nothing)
    except FeedUnreachable:
        assert not complete
    (file,) = sim.files.values()
    file.body, file.etag = bytes(reversed(file.body)), '"another"'
    fetched = make_feed().fetch_snapshot(snapshot, None, _nothing)
    assert fetched.path.read_bytes() == file.body
    assert sim.requests[-1].status == 200


@pytest.mark.parametrize("etag", ['W/"weak"', None], ids=["weak", "none"])
def test_without_a_strong_etag_a_part_is_thrown_away(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, etag: str | None
) -> None:
    next(iter(sim.files.values())).etag = etag
    sim.fail("snapshot", failures.cut_off(0.5))
    file = make_feed().fetch_snapshot(snapshot, None, _nothing)
    assert file.path.read_bytes() == _file(sim)
    make_feed().fetch_snapshot(snapshot, None, _nothing)
    assert _ranges(sim) == [None, None, None]


@pytest.mark.parametrize(
    "lie", ["bytes 0-9/10", "bytes 5-99/100", "bytes */5", "items 1-2/3", None, "bytes 99999999-1/2"]
)
def test_a_part_that_is_not_the_one_asked_for_is_not_joined(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot, lie: str | None
) -> None:
    sim.fail("snapshot", failures.cut_off(0.5))
    sim.fail("snapshot", failures.headers(content_range=lie))
    file = feed.fetch_snapshot(snapshot, None, _nothing)
    assert file.path.read_bytes() == _file(sim)
    assert [request.status for request in sim.asked("snapshot")] == [200, 206, 200]


def test_a_part_of_a_file_with_another_etag_is_not_joined(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot
) -> None:
    sim.fail("snapshot", failures.cut_off(0.5))
    sim.fail("snapshot", failures.headers(etag='"another"'))
    file = feed.fetch_snapshot(snapshot, None, _nothing)
    assert file.path.read_bytes() == _file(sim)


def _whole_part(
    sim: FeedSimulator, tmp_path: Path, snapshot: Snapshot, make_feed: MakeFeed, extra: bytes
) -> None:
    """A spool whose note does not know the size, as a server without Content-Length leaves it."""
    file = make_feed().fetch_snapshot(snapshot, None, _nothing)
    file.path.write_bytes(_file(sim) + extra)
    note = file.path.with_suffix(".json")
    note.write_text(json.dumps({**json.loads(note.read_text()), "size": None}))
    sim.requests.clear()


def test_nothing_beyond_what_is_here_means_that_it_is_complete(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, tmp_path: Path
) -> None:
    _whole_part(sim, tmp_path, snapshot, make_feed, b"")
    file = make_feed().fetch_snapshot(snapshot, None, _nothing)
    assert file.path.read_bytes() == _file(sim)
    assert [request.status for request in sim.requests] == [416]


def test_a_part_longer_than_the_file_is_started_again(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, tmp_path: Path
) -> None:
    _whole_part(sim, tmp_path, snapshot, make_feed, b"more")
    file = make_feed().fetch_snapshot(snapshot, None, _nothing)
    assert file.path.read_bytes() == _file(sim)
    assert [request.status for request in sim.requests] == [416, 200]


@pytest.mark.parametrize(
    "note", [b"", b"{", b"[]", b"\xff", b'{"link": "another", "etag": "\\"x\\"", "size": 5}']
)
def test_a_torn_or_foreign_note_starts_again(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, note: bytes
) -> None:
    file = make_feed().fetch_snapshot(snapshot, None, _nothing)
    file.path.write_bytes(b"rubbish")
    file.path.with_suffix(".json").write_bytes(note)
    assert make_feed().fetch_snapshot(snapshot, None, _nothing).path.read_bytes() == _file(sim)


def test_the_parts_of_older_links_are_removed_and_other_files_are_not(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, tmp_path: Path
) -> None:
    old = make_feed().fetch_snapshot(snapshot, None, _nothing)
    other = make_feed(consumer=Consumer(name="vd_4.8.0-x")).fetch_snapshot(snapshot, None, _nothing)
    database = tmp_path / "spool" / "ctisync.db"
    database.write_bytes(b"precious")
    new = make_feed().fetch_snapshot(Snapshot(sim.publish_snapshot(), snapshot.offset), None, _nothing)
    assert not old.path.exists()
    assert not old.path.with_suffix(".json").exists()
    assert all(path.exists() for path in (other.path, database, new.path))


def _refused(sim: FeedSimulator, snapshot: Snapshot) -> RefusedSnapshot:
    (file,) = sim.files.values()
    return RefusedSnapshot(link=snapshot.link, etag=file.etag, size=len(file.body), reason="its CRC is wrong")


def test_a_refused_snapshot_is_not_downloaded_again(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot, report: KeptReport
) -> None:
    with pytest.raises(SnapshotRefused, match="its CRC is wrong") as caught:
        feed.fetch_snapshot(snapshot, _refused(sim, snapshot), _nothing)
    assert caught.value.hint is not None
    assert "init-snapshot" in caught.value.hint
    assert report.bars == []


@pytest.mark.parametrize("changed", ["etag", "size", "link"])
def test_a_snapshot_that_differs_from_the_refused_one_is_taken(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot, changed: str
) -> None:
    refused = _refused(sim, snapshot)
    (file,) = sim.files.values()
    match changed:
        case "etag":
            file.etag = '"mended"'
        case "size":
            file.body += b"\n"
        case _:
            snapshot = Snapshot(sim.publish_snapshot(), snapshot.offset)
    fetched = feed.fetch_snapshot(snapshot, refused, _nothing)
    assert fetched.as_refused("again") != refused


def test_how_a_file_is_refused_is_how_it_is_recognised(make_feed: MakeFeed, snapshot: Snapshot) -> None:
    refused = make_feed().fetch_snapshot(snapshot, None, _nothing).as_refused("no good")
    with pytest.raises(SnapshotRefused, match="no good"):
        make_feed().fetch_snapshot(snapshot, refused, _nothing)


def test_a_server_that_ends_the_body_by_closing_is_believed_when_the_archive_is_whole(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot, report: KeptReport
) -> None:
    sim.fail("snapshot", failures.undelimited())
    file = feed.fetch_snapshot(snapshot, None, _nothing)
    assert file.path.read_bytes() == _file(sim)
    assert report.named("snapshot-size-unknown")


def test_a_body_that_ends_by_closing_too_early_is_asked_for_again(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot
) -> None:
    sim.fail("snapshot", failures.undelimited(0.5))
    file = feed.fetch_snapshot(snapshot, None, _nothing)
    assert file.path.read_bytes() == _file(sim)


def test_a_body_that_tells_its_own_end_needs_no_length(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot, report: KeptReport
) -> None:
    sim.fail("snapshot", failures.chunked())
    file = feed.fetch_snapshot(snapshot, None, _nothing)
    assert file.path.read_bytes() == _file(sim)
    assert report.bars[0].total is None


def test_a_part_with_less_than_it_announces_is_gone_on_with(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot
) -> None:
    sim.fail("snapshot", failures.cut_off(0.5))
    sim.fail("snapshot", failures.shortened(0.5))
    file = feed.fetch_snapshot(snapshot, None, _nothing)
    assert file.path.read_bytes() == _file(sim)
    assert [request.status for request in sim.asked("snapshot")] == [200, 206, 206]


def test_a_body_without_end_is_refused(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, clock: FakeClock, tmp_path: Path
) -> None:
    small = Bounds(clock, Limits(snapshot_bytes=1000))
    sim.fail("snapshot", failures.undelimited())
    with pytest.raises(SnapshotRefused, match=r"more than 1000 bytes, limits\.snapshot_bytes is 1000"):
        make_feed(bounds=small).fetch_snapshot(snapshot, None, _nothing)
    assert _spool(tmp_path) == [], "what nobody wants to have does not fill the disk"


def test_a_snapshot_that_is_announced_too_large_is_refused_before_its_body(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, clock: FakeClock, report: KeptReport
) -> None:
    size = len(_file(sim))
    with pytest.raises(SnapshotRefused, match=rf"has {size} bytes, limits\.snapshot_bytes is 1000"):
        make_feed(bounds=Bounds(clock, Limits(snapshot_bytes=1000))).fetch_snapshot(snapshot, None, _nothing)
    assert report.bars == []
    exactly = Bounds(clock, Limits(snapshot_bytes=size))
    assert make_feed(bounds=exactly).fetch_snapshot(snapshot, None, _nothing).size == size


def test_a_file_that_cannot_be_removed_does_not_hide_how_the_load_ended(
    feed: CtiFeed, snapshot: Snapshot
) -> None:
    file = feed.fetch_snapshot(snapshot, None, _nothing)
    file.path.unlink()
    file.path.mkdir()
    file.discard()
    with pytest.raises(StoreUnavailable, match="cannot be kept"):
        feed.tidy()


def test_what_a_dead_pass_left_is_removed_by_one_that_needs_no_snapshot(
    make_feed: MakeFeed, feed: CtiFeed, snapshot: Snapshot, tmp_path: Path
) -> None:
    feed.tidy()  # there is no folder yet
    feed.fetch_snapshot(snapshot, None, _nothing)
    other = make_feed(consumer=Consumer(name="another"))
    other.tidy()
    assert _spool(tmp_path) == [".json", ".part"], "it belongs to another consumer"
    make_feed().tidy()
    assert _spool(tmp_path) == []


def test_a_link_that_leads_nowhere_names_the_way_out(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot
) -> None:
    sim.files.clear()
    with pytest.raises(AccessRefused, match="404") as caught:
        feed.fetch_snapshot(snapshot, None, _nothing)
    assert "init-snapshot --from" in str(caught.value.hint)


def test_a_snapshot_sent_in_another_encoding_is_refused(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot
) -> None:
    sim.fail("snapshot", failures.headers(content_encoding="gzip"))
    with pytest.raises(SnapshotRefused, match="encoded"):
        feed.fetch_snapshot(snapshot, None, _nothing)


@pytest.mark.parametrize(("code", "error"), [(404, AccessRefused), (403, AccessRefused), (410, FeedRefused)])
def test_a_link_that_leads_to_a_refusal_ends_at_once(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot, clock: FakeClock, code: int, error: type[Exception]
) -> None:
    sim.fail("snapshot", failures.status(code))
    with pytest.raises(error, match=str(code)):
        feed.fetch_snapshot(snapshot, None, _nothing)
    assert clock.slept == []


def test_a_part_that_nobody_asked_for_is_refused(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot
) -> None:
    sim.fail("snapshot", failures.status(206, {"Content-Range": "bytes 5-9/10"}))
    with pytest.raises(SnapshotRefused, match="206"):
        feed.fetch_snapshot(snapshot, None, _nothing)


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
    make_feed(token="s3cret").fetch_snapshot(snapshot, None, _nothing)
    assert sim.requests[0].headers["authorization"] == "Bearer s3cret"


def test_the_token_never_goes_to_a_snapshots_other_host(
    sim: FeedSimulator, other: FeedSimulator, make_feed: MakeFeed
) -> None:
    sim.history.create("CVE-2024-1")
    snapshot = Snapshot(sim.publish_snapshot(host=other), sim.history.last_offset)
    file = make_feed(token="s3cret", allowed_hosts=[_place(other)]).fetch_snapshot(snapshot, None, _nothing)
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
    file = make_feed(token="s3cret", allowed_hosts=[_place(other)]).fetch_snapshot(snapshot, None, _nothing)
    assert file.path.read_bytes() == _file(sim)
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
        feed.fetch_snapshot(snapshot, None, _nothing)
    assert len(sim.requests) == 6


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://host/x", "", "http://["])
def test_a_redirect_that_leads_to_no_web_address_is_refused(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot, target: str
) -> None:
    sim.fail("snapshot", failures.redirect(target), times=ALWAYS)
    with pytest.raises(FeedRefused):
        feed.fetch_snapshot(snapshot, None, _nothing)


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


def test_a_full_disk_is_told_before_the_download(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    full = type("Usage", (), {"free": 10})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(StoreUnavailable, match="No space") as caught:
        feed.fetch_snapshot(snapshot, None, _nothing)
    assert str(tmp_path / "spool") in str(caught.value.hint)


def test_a_disk_that_fills_up_on_the_way_is_the_stores_failure(
    feed: CtiFeed, snapshot: Snapshot, tmp_path: Path
) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StoreUnavailable, match="No space"):
        feed.fetch_snapshot(snapshot, None, full)


def test_a_folder_that_cannot_be_made_is_the_stores_failure(
    make_feed: MakeFeed, snapshot: Snapshot, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be kept in"):
        make_feed(spool_dir=tmp_path / "file" / "spool").fetch_snapshot(snapshot, None, _nothing)


def test_a_planted_link_is_not_written_through(
    make_feed: MakeFeed, snapshot: Snapshot, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    file = make_feed().fetch_snapshot(snapshot, None, _nothing)
    file.path.unlink()
    file.path.symlink_to(precious)
    with pytest.raises(StoreUnavailable):
        make_feed().fetch_snapshot(snapshot, None, _nothing)
    assert precious.read_text() == "precious"


def test_a_lost_lease_ends_the_download_and_keeps_the_part(
    feed: CtiFeed, snapshot: Snapshot, tmp_path: Path
) -> None:
    def lost() -> None:
        raise AnotherPass("taken over")

    with pytest.raises(AnotherPass):
        feed.fetch_snapshot(snapshot, None, lost)
    assert _spool(tmp_path) == [".json", ".part"]


def test_a_snapshot_and_its_offset_are_those_that_the_feed_told(sim: FeedSimulator, feed: CtiFeed) -> None:
    populate(sim.history, 3)
    sim.publish_snapshot()
    info: ConsumerInfo = feed.consumer_info()
    assert info.snapshot is not None
    populate(sim.history, 3, first=10)
    sim.publish_snapshot()
    file = feed.fetch_snapshot(info.snapshot, None, _nothing)
    assert sum(len(batch) for batch in file.records(info.snapshot.offset)) == 3


def _is_late(request: Request) -> bool:
    return request.kind == "snapshot" and "range" in request.headers


def test_the_budget_is_not_spent_by_a_download_that_gets_on(
    sim: FeedSimulator, make_feed: MakeFeed, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    populate(sim.history, 300)
    snapshot = Snapshot(sim.publish_snapshot(), sim.history.last_offset)
    monkeypatch.setattr(download, "_GOT_ON", 1000)
    sim.fail("snapshot", failures.cut_off(0.5))
    sim.fail(_is_late, failures.cut_off(0.5))
    feed = make_feed(retry_budget=10.0)
    file = feed.fetch_snapshot(snapshot, None, lambda: clock.advance(seconds=8))
    assert file.size == len(_file(sim))
