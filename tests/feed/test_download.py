"""A download goes on where it was cut off, never joins two files, and is complete when it ends."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from ctisync.core.model import ConsumerInfo, Snapshot
from ctisync.errors import FeedUnreachable, SnapshotRefused
from ctisync.feed.client import CtiFeed
from ctisync.feed.http.budget import RetryLater
from ctisync.feed.http.transport import FeedReply
from ctisync.feed.snapshot import download
from tests.feed.conftest import MakeFeed
from tests.feed.downloads import ALWAYS, nothing, served, spooled
from tests.support import feed_failures as failures
from tests.support.clock import FakeClock
from tests.support.feed_history import populate
from tests.support.feed_server import Request
from tests.support.feed_simulator import FeedSimulator
from tests.support.log import KeptLog


def _ranges(sim: FeedSimulator) -> list[str | None]:
    return [request.headers.get("range") for request in sim.requests_for("snapshot")]


@pytest.mark.parametrize("cut", [failures.cut_off(0.4), failures.reset(0.4)], ids=["closed", "reset"])
def test_a_cut_off_download_goes_on_within_the_pass(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot, cut: failures.Failure, log: KeptLog
) -> None:
    sim.fail("snapshot", cut, times=2)
    file = feed.fetch_snapshot(snapshot, None, nothing)
    assert file.path.read_bytes() == served(sim).body
    first, second, third = sim.requests_for("snapshot")
    assert first.status == 200
    assert (second.status, third.status) == (206, 206)
    assert second.headers["if-range"] == served(sim).etag
    assert len(log.named("retry")) == 2


def test_a_later_pass_goes_on_where_an_earlier_one_gave_up(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot
) -> None:
    sim.fail("snapshot", failures.cut_off(0.4))
    with pytest.raises(FeedUnreachable):
        make_feed(retry_budget=0.0).fetch_snapshot(snapshot, None, nothing)
    file = make_feed().fetch_snapshot(snapshot, None, nothing)
    assert file.path.read_bytes() == served(sim).body
    assert _ranges(sim) == [None, f"bytes={int(len(served(sim).body) * 0.4)}-"]


def test_a_feed_that_always_cuts_off_is_unreachable_and_the_part_is_kept(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, tmp_path: Path
) -> None:
    sim.fail("snapshot", failures.cut_off(10), times=ALWAYS)
    with pytest.raises(FeedUnreachable):
        make_feed().fetch_snapshot(snapshot, None, nothing)
    assert spooled(tmp_path) == [".json", ".part"]


def _is_late(request: Request) -> bool:
    return request.kind == "snapshot" and "range" in request.headers


def test_the_budget_is_not_spent_by_a_download_that_gets_on(
    sim: FeedSimulator,
    make_feed: MakeFeed,
    snapshot: Snapshot,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ctisync.feed.snapshot.spool._PROGRESS", 1000)
    sim.fail("snapshot", failures.cut_off(0.5))
    sim.fail(_is_late, failures.cut_off(0.5))
    feed = make_feed(retry_budget=10.0)
    file = feed.fetch_snapshot(snapshot, None, lambda: clock.advance(seconds=8))
    assert file.size == len(served(sim).body)


def test_a_complete_file_of_a_killed_pass_is_not_downloaded_again(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, log: KeptLog
) -> None:
    make_feed().fetch_snapshot(snapshot, None, nothing)
    log.bars.clear()
    sim.fail("snapshot", failures.cut_off(0))  # headers alone: a body that is read would fail
    file = make_feed().fetch_snapshot(snapshot, None, nothing)
    assert file.path.read_bytes() == served(sim).body
    assert log.bars == []
    assert log.named("retry") == []


@pytest.mark.parametrize("complete", [False, True])
def test_another_file_under_the_same_link_is_never_joined_to_the_old_part(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, complete: bool
) -> None:
    if not complete:
        sim.fail("snapshot", failures.cut_off(0.5))
    try:
        make_feed(retry_budget=0.0).fetch_snapshot(snapshot, None, nothing)
    except FeedUnreachable:
        assert not complete
    file = served(sim)
    file.body, file.etag = bytes(reversed(file.body)), '"another"'
    fetched = make_feed().fetch_snapshot(snapshot, None, nothing)
    assert fetched.path.read_bytes() == file.body
    assert sim.requests[-1].status == 200


@pytest.mark.parametrize("etag", ['W/"weak"', None], ids=["weak", "none"])
def test_without_a_strong_etag_a_part_is_thrown_away(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, etag: str | None
) -> None:
    served(sim).etag = etag
    sim.fail("snapshot", failures.cut_off(0.5))
    file = make_feed().fetch_snapshot(snapshot, None, nothing)
    assert file.path.read_bytes() == served(sim).body
    make_feed().fetch_snapshot(snapshot, None, nothing)
    assert _ranges(sim) == [None, None, None]


UNFIT = {
    "not ASCII": '"caf\xe9"',
    "of other bytes": '"\xc2\x80\xff"',
    "an escape": '"\x1b[2J"',
    "a space": '"a b"',
    "a quote within": '"a"b"',
    "unquoted": "abc",
    "half": '"abc',
    "two": '"a", "b"',
    "90 kB": f'"{"x" * 90_000}"',
}
"""What no `If-Range` can hold, or no server takes (RFC 9110, 8.8.3)."""


@pytest.mark.parametrize("etag", UNFIT.values(), ids=UNFIT.keys())
def test_an_etag_that_no_request_can_hold_is_none_and_ends_no_pass(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, etag: str
) -> None:
    served(sim).etag = etag
    sim.fail("snapshot", failures.cut_off(0.5))
    with pytest.raises(FeedUnreachable):
        make_feed(retry_budget=0.0).fetch_snapshot(snapshot, None, nothing)

    file = make_feed().fetch_snapshot(snapshot, None, nothing)

    assert file.path.read_bytes() == served(sim).body
    assert file.as_refused("").etag is None
    assert _ranges(sim) == [None, None]


@pytest.mark.parametrize("etag", UNFIT.values(), ids=UNFIT.keys())
def test_a_note_whose_etag_no_request_can_hold_is_dropped(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, tmp_path: Path, etag: str
) -> None:
    """As earlier versions have left them."""
    sim.fail("snapshot", failures.cut_off(0.5))
    with pytest.raises(FeedUnreachable):
        make_feed(retry_budget=0.0).fetch_snapshot(snapshot, None, nothing)
    (note,) = (tmp_path / "spool").glob("*.json")
    note.write_text(json.dumps({**json.loads(note.read_text()), "etag": etag}))

    file = make_feed().fetch_snapshot(snapshot, None, nothing)

    assert file.path.read_bytes() == served(sim).body
    assert _ranges(sim) == [None, None]


@pytest.mark.parametrize("status", [400, 412, 413, 431])
def test_where_a_server_refuses_to_send_the_rest_all_is_requested(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, status: int
) -> None:
    sim.fail("snapshot", failures.cut_off(0.5))
    sim.fail(_is_late, failures.status(status), times=ALWAYS)
    file = make_feed().fetch_snapshot(snapshot, None, nothing)
    assert file.path.read_bytes() == served(sim).body
    assert [request.status for request in sim.requests_for("snapshot")] == [200, status, 200]


def test_a_part_that_comes_with_an_etag_which_is_none_is_not_joined(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot
) -> None:
    sim.fail("snapshot", failures.cut_off(0.5))
    sim.fail("snapshot", failures.headers(etag=UNFIT["not ASCII"]))
    file = feed.fetch_snapshot(snapshot, None, nothing)
    assert file.path.read_bytes() == served(sim).body
    assert [request.status for request in sim.requests_for("snapshot")] == [200, 206, 200]


@pytest.mark.parametrize(
    "lie", ["bytes 0-9/10", "bytes 5-99/100", "bytes */5", "items 1-2/3", None, "bytes 99999999-1/2"]
)
def test_a_part_that_is_not_the_requested_one_is_not_joined(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot, lie: str | None
) -> None:
    sim.fail("snapshot", failures.cut_off(0.5))
    sim.fail("snapshot", failures.headers(content_range=lie))
    file = feed.fetch_snapshot(snapshot, None, nothing)
    assert file.path.read_bytes() == served(sim).body
    assert [request.status for request in sim.requests_for("snapshot")] == [200, 206, 200]


def test_a_part_of_a_file_with_another_etag_is_not_joined(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot
) -> None:
    sim.fail("snapshot", failures.cut_off(0.5))
    sim.fail("snapshot", failures.headers(etag='"another"'))
    file = feed.fetch_snapshot(snapshot, None, nothing)
    assert file.path.read_bytes() == served(sim).body


def _replies_to_a_part(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, extra: bytes
) -> list[int | None]:
    """How the server answers whoever has the whole file and `extra`, and has it right in the end.

    The note beside it does not know the size, as a server without Content-Length leaves it.
    """
    file = make_feed().fetch_snapshot(snapshot, None, nothing)
    file.path.write_bytes(served(sim).body + extra)
    note = file.path.with_suffix(".json")
    note.write_text(json.dumps({**json.loads(note.read_text()), "size": None}))
    sim.requests.clear()
    assert make_feed().fetch_snapshot(snapshot, None, nothing).path.read_bytes() == served(sim).body
    return [request.status for request in sim.requests]


def test_nothing_beyond_what_is_here_means_that_it_is_complete(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot
) -> None:
    assert _replies_to_a_part(sim, make_feed, snapshot, extra=b"") == [416]


@pytest.mark.parametrize(
    ("status", "says"), [(416, "bytes */6"), (206, "bytes 6-6/7")], ids=["nothing more", "a shorter rest"]
)
def test_the_size_that_the_server_sent_first_is_the_end_of_the_file(
    tmp_path: Path, status: int, says: str
) -> None:
    """Else lines that were cut off in between are taken for all: nothing else tells where they end."""
    part = tmp_path / "x.part"
    part.write_bytes(b"old!")
    part.with_suffix(".json").write_text(json.dumps({"link": "x", "etag": '"a"', "size": None}))
    spooled = download.Download(part, "x", None, 100, KeptLog())
    first = {"etag": '"a"', "content-range": "bytes 4-8/9"}
    with pytest.raises(RetryLater, match="stopped after 6 of 9"):
        list(spooled.store(FeedReply("x", 206, first, "", iter([b"ne"]))))
    with pytest.raises(RetryLater, match="does not fit the download"):
        list(spooled.store(FeedReply("x", status, {"etag": '"a"', "content-range": says}, "", iter([b"!"]))))


@pytest.mark.parametrize(("status", "says"), [(206, "bytes 4-3/4"), (416, "bytes */4")])
def test_a_part_is_no_answer_to_who_asks_for_the_whole(tmp_path: Path, status: int, says: str) -> None:
    """All of it is here: only a whole answer tells whether the server still has this one."""
    part = tmp_path / "x.part"
    part.write_bytes(b"old!")
    part.with_suffix(".json").write_text(json.dumps({"link": "x", "etag": '"a"', "size": 4}))
    spooled = download.Download(part, "x", None, 100, KeptLog())
    assert "Range" not in spooled.request_headers()
    with pytest.raises(SnapshotRefused, match="to a request for the whole snapshot"):
        list(spooled.store(FeedReply("x", status, {"content-range": says}, "", iter(()))))


def test_a_part_longer_than_the_file_is_started_again(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot
) -> None:
    assert _replies_to_a_part(sim, make_feed, snapshot, extra=b"more") == [416, 200]


@pytest.mark.parametrize(
    "note",
    [b"", b"{", b"[]", b"\xff", b'{"link": "another", "etag": "\\"x\\"", "size": 5}', b'{"x":' + b"[" * 9999],
)
def test_a_torn_or_foreign_note_starts_again(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, note: bytes
) -> None:
    file = make_feed().fetch_snapshot(snapshot, None, nothing)
    file.path.write_bytes(b"rubbish")
    file.path.with_suffix(".json").write_bytes(note)
    assert make_feed().fetch_snapshot(snapshot, None, nothing).path.read_bytes() == served(sim).body


def test_a_server_that_ends_the_body_by_closing_is_believed_when_the_archive_is_whole(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot, log: KeptLog
) -> None:
    sim.fail("snapshot", failures.undelimited())
    file = feed.fetch_snapshot(snapshot, None, nothing)
    assert file.path.read_bytes() == served(sim).body
    assert log.named("snapshot-size-unknown")


def test_a_body_that_ends_by_closing_too_early_is_requested_again(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot
) -> None:
    sim.fail("snapshot", failures.undelimited(0.5))
    file = feed.fetch_snapshot(snapshot, None, nothing)
    assert file.path.read_bytes() == served(sim).body


def test_an_archive_of_unknown_length_whose_end_makes_no_sense_is_refused_when_it_is_read(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot
) -> None:
    archive, mark, end = served(sim).body.partition(b"PK\x05\x06")
    several_disks = b"PK\x06\x07" + struct.pack("<LQL", 0, 0, 2)
    lies = archive + several_disks + mark + end
    sim.fail("snapshot", lambda reply: replace(reply, body=lies, framing="close"))
    with pytest.raises(SnapshotRefused, match="no usable directory"):
        list(feed.fetch_snapshot(snapshot, None, nothing).records(snapshot.offset))


def test_a_body_that_marks_its_own_end_needs_no_length(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot, log: KeptLog
) -> None:
    sim.fail("snapshot", failures.chunked())
    file = feed.fetch_snapshot(snapshot, None, nothing)
    assert file.path.read_bytes() == served(sim).body
    assert log.bars[0].total is None


def test_a_part_with_less_than_it_announces_is_gone_on_with(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot
) -> None:
    sim.fail("snapshot", failures.cut_off(0.5))
    sim.fail("snapshot", failures.shortened(0.5))
    file = feed.fetch_snapshot(snapshot, None, nothing)
    assert file.path.read_bytes() == served(sim).body
    assert [request.status for request in sim.requests_for("snapshot")] == [200, 206, 206]


def test_a_snapshot_and_its_offset_are_those_of_the_feeds_answer(sim: FeedSimulator, feed: CtiFeed) -> None:
    populate(sim.history, 3)
    sim.publish_snapshot()
    info: ConsumerInfo = feed.consumer_info()
    assert info.snapshot is not None
    populate(sim.history, 3, first=10)
    sim.publish_snapshot()
    file = feed.fetch_snapshot(info.snapshot, None, nothing)
    assert sum(len(batch) for batch in file.records(info.snapshot.offset)) == 3
