"""Records are handed out while the snapshot still comes in, and are exactly those of the whole file."""

import functools
import json
import os
import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from ctisync.core.limits import Limits
from ctisync.core.model import Record, Snapshot
from ctisync.errors import FeedUnreachable, SnapshotChanged, SnapshotRefused, StoreUnavailable
from ctisync.feed.client import CtiFeed
from ctisync.feed.http import transport
from ctisync.feed.http.budget import PassLimits
from ctisync.feed.snapshot.file import LocalSnapshot
from tests.feed.conftest import MakeFeed, with_free
from tests.feed.crafted_zip import MEMBER, patched
from tests.feed.downloads import ALWAYS, nothing, served, spooled
from tests.support import feed_failures as failures
from tests.support.clock import FakeClock
from tests.support.feed_simulator import FeedSimulator, zipped
from tests.support.log import KeptLog
from tests.support.records import line

SEED: Final = 20
COUNT: Final = 200
HIGHEST: Final = 1_000_000


def _lines() -> list[bytes]:
    """Some MB that hardly pack, so that a part of the file is a part of the records."""
    chosen = random.Random(SEED)
    return [
        line(f"CVE-{n}", n + 1, b'{"a":"%s"}' % chosen.randbytes(6000).hex().encode()) for n in range(COUNT)
    ]


LINES: Final = _lines()
CONTENT: Final = b"".join(text + b"\n" for text in LINES)


@functools.cache
def archive() -> bytes:
    return zipped({MEMBER: CONTENT})


@pytest.fixture
def large(sim: FeedSimulator, snapshot: Snapshot) -> Snapshot:
    """A snapshot of 1.2 MB in a ZIP."""
    served(sim).body = archive()
    return Snapshot(snapshot.link, HIGHEST)


def _open(feed: CtiFeed, snapshot: Snapshot) -> LocalSnapshot:
    return feed.open_snapshot(snapshot, None, nothing)


def _records(file: LocalSnapshot) -> list[Record]:
    with closing(file):
        return [record for batch in file.records(HIGHEST) for record in batch]


def _lines_of(records: list[Record]) -> list[bytes]:
    return [record.line for record in records]


def test_records_are_handed_out_before_the_rest_of_the_snapshot_has_come(
    sim: FeedSimulator, feed: CtiFeed, large: Snapshot
) -> None:
    sim.fail("snapshot", failures.stall(3600, after=0.6))
    with closing(_open(feed, large)) as file:
        first = next(iter(file.records(HIGHEST)))
        assert _lines_of(first) == LINES[: len(first)]
        assert first
        assert file.path.stat().st_size < len(served(sim).body)


@pytest.mark.parametrize("cut", [failures.cut_off(0.5), failures.reset(0.5)], ids=["closed", "reset"])
def test_a_cut_off_costs_no_record_and_doubles_none(
    sim: FeedSimulator, feed: CtiFeed, large: Snapshot, cut: failures.Failure
) -> None:
    sim.fail("snapshot", cut, times=2)
    assert _lines_of(_records(_open(feed, large))) == LINES
    assert [request.status for request in sim.requests_for("snapshot")] == [200, 206, 206]


def test_what_an_earlier_pass_has_kept_is_loaded_without_being_sent_again(
    sim: FeedSimulator, make_feed: MakeFeed, large: Snapshot
) -> None:
    sim.fail("snapshot", failures.cut_off(0.7))
    with pytest.raises(FeedUnreachable):
        _records(_open(make_feed(retry_budget=0.0), large))
    assert _lines_of(_records(_open(make_feed(), large))) == LINES
    assert sim.requests[-1].headers["range"] == f"bytes={int(len(served(sim).body) * 0.7)}-"


@pytest.mark.parametrize(
    "other", [CONTENT[: len(CONTENT) // 2], b"<html>", b""], ids=["records", "a page", "empty"]
)
def test_an_archive_behind_another_one_is_recognised_when_its_directory_has_come(
    sim: FeedSimulator, feed: CtiFeed, large: Snapshot, other: bytes
) -> None:
    """Whatever the first one holds: then the whole file is read by its directory."""
    served(sim).body = zipped({MEMBER: other}) + archive()
    with pytest.raises(SnapshotChanged, match="another entry than the first"):
        _records(_open(feed, large))
    assert _lines_of(_records(feed.fetch_snapshot(large, None, nothing))) == LINES


def test_an_abandoned_load_keeps_what_has_come_for_the_next_pass(
    sim: FeedSimulator, make_feed: MakeFeed, large: Snapshot, tmp_path: Path
) -> None:
    with closing(_open(make_feed(), large)) as file:
        next(iter(file.records(HIGHEST)))
    assert spooled(tmp_path) == [".json", ".part"]
    kept = file.path.stat().st_size
    assert kept > 0
    assert _lines_of(_records(_open(make_feed(), large))) == LINES
    assert kept == len(served(sim).body) or sim.requests[-1].headers["range"] == f"bytes={kept}-"


def test_a_whole_file_of_an_earlier_pass_is_loaded_without_a_body(
    sim: FeedSimulator, make_feed: MakeFeed, large: Snapshot
) -> None:
    make_feed().fetch_snapshot(large, None, nothing)
    sim.fail("snapshot", failures.cut_off(0))
    assert _lines_of(_records(_open(make_feed(), large))) == LINES


@pytest.mark.parametrize("etag", ['"another"', 'W/"weak"', None], ids=["another", "weak", "none"])
def test_two_files_are_never_mixed_and_the_whole_of_the_new_one_is_fetched_then(
    sim: FeedSimulator, feed: CtiFeed, large: Snapshot, etag: str | None
) -> None:
    file = served(sim)
    if etag != '"another"':
        file.etag = etag
    sim.fail("snapshot", failures.cut_off(0.5))
    coming = _open(feed, large)
    batches = coming.records(HIGHEST)
    next(batches)
    file.body, file.etag = zipped({MEMBER: CONTENT[::-1]}), etag
    with pytest.raises(SnapshotChanged), closing(coming):
        list(batches)
    fetched = feed.fetch_snapshot(large, None, nothing)
    assert fetched.path.read_bytes() == file.body
    assert sim.requests[-1].status == 200
    assert "range" not in sim.requests[-1].headers


PACKINGS: dict[str, Callable[[], bytes]] = {
    "deflated": archive,
    "stored": lambda: zipped({MEMBER: CONTENT}, 0),
    "a readme first": lambda: zipped({"README.txt": b"hello", MEMBER: CONTENT}),
    "a readme last": lambda: zipped({MEMBER: CONTENT, "README.txt": b"hello"}),
    "lines": lambda: CONTENT,
    "array": lambda: b"[" + b",".join(LINES) + b"]",
}


@pytest.mark.parametrize("pack", PACKINGS.values(), ids=PACKINGS.keys())
@pytest.mark.parametrize(
    "framing", [None, failures.chunked(), failures.undelimited()], ids=["length", "chunked", "close"]
)
def test_every_packing_may_come_in_while_it_is_read(
    sim: FeedSimulator,
    feed: CtiFeed,
    large: Snapshot,
    pack: Callable[[], bytes],
    framing: failures.Failure | None,
) -> None:
    served(sim).body = pack()
    if framing is not None:
        sim.fail("snapshot", framing)
    file = _open(feed, large)
    assert _lines_of(_records(file)) == LINES
    assert file.position == len(served(sim).body)


DAMAGED: dict[str, tuple[Callable[[], bytes], str]] = {
    "a wrong CRC": (lambda: patched(CONTENT, crc=5), "CRC"),
    "a wrong size": (lambda: patched(CONTENT, size=5), "the size of"),
    "a wrong packed size": (lambda: patched(CONTENT, packed=5), "the packed size of"),
    "no directory": (lambda: archive()[:-60], "no usable directory"),
    "the end is missing": (lambda: archive()[:-5000], "truncated"),
    "an encrypted one": (lambda: patched(CONTENT, flags=1), "encrypted"),
    "garbage": (lambda: b"PK\x03\x04" + bytes(1000), "truncated or damaged"),
}


@pytest.mark.parametrize(("damaged", "says"), DAMAGED.values(), ids=DAMAGED.keys())
def test_what_only_the_end_shows_to_be_wrong_is_refused_in_the_end_and_recognised_then(
    sim: FeedSimulator, make_feed: MakeFeed, large: Snapshot, damaged: Callable[[], bytes], says: str
) -> None:
    served(sim).body = damaged()
    file = _open(make_feed(), large)
    with pytest.raises(SnapshotRefused, match=says):
        _records(file)
    refused = file.as_refused("no good")
    with pytest.raises(SnapshotRefused, match="no good"):
        make_feed().open_snapshot(large, refused, nothing)


def test_more_than_the_limit_is_refused_while_it_comes(
    sim: FeedSimulator, make_feed: MakeFeed, large: Snapshot, clock: FakeClock, tmp_path: Path
) -> None:
    sim.fail("snapshot", failures.undelimited())
    few = PassLimits(clock, Limits(snapshot_bytes=300_000))
    with pytest.raises(SnapshotRefused, match=r"limits\.snapshot_bytes is 300000"):
        _records(_open(make_feed(pass_limits=few), large))
    assert spooled(tmp_path) == []


def test_a_slow_store_does_not_count_as_a_slow_server_nor_as_one_that_does_not_answer(
    sim: FeedSimulator,
    make_feed: MakeFeed,
    large: Snapshot,
    clock: FakeClock,
    log: KeptLog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An hour for each batch, and then a cut: neither takes from the budget, or looks like a trickle."""
    monkeypatch.setattr("ctisync.feed.snapshot.spool._PROGRESS", HIGHEST * HIGHEST)
    monkeypatch.setattr(transport, "_WINDOW", 1.0)
    sim.fail("snapshot", failures.cut_off(0.6))
    feed = make_feed(
        retry_budget=10.0, pass_limits=PassLimits(clock, Limits(min_rate=100_000.0, pass_seconds=0))
    )
    records = []
    with closing(_open(feed, large)) as file:
        for batch in file.records(HIGHEST):
            records += batch
            clock.advance(seconds=3600)
    assert _lines_of(records) == LINES
    assert len(log.named("retry")) == 1


def test_the_room_for_the_rest_of_the_download_is_not_counted_as_room_for_records(
    sim: FeedSimulator, make_feed: MakeFeed, large: Snapshot, tmp_path: Path
) -> None:
    body = len(served(sim).body)
    room = max(len(CONTENT), 6 * body) + body
    with pytest.raises(StoreUnavailable, match="plus 1 MiB still to download") as caught:
        _open(make_feed(pass_limits=with_free(lambda: room - 1)), large)
    assert "df -h /data" in str(caught.value.hint)
    assert spooled(tmp_path) == [".json", ".part"]
    assert _lines_of(_records(_open(make_feed(pass_limits=with_free(lambda: room)), large))) == LINES
    kept = make_feed(pass_limits=with_free(lambda: room - body))
    assert _lines_of(_records(_open(kept, large))) == LINES, "all of it was here already"


def test_by_its_setting_a_load_waits_for_the_whole_download(
    sim: FeedSimulator, make_feed: MakeFeed, large: Snapshot, log: KeptLog
) -> None:
    file = _open(make_feed(load_while_downloading=False), large)
    assert file.path.read_bytes() == served(sim).body
    assert [bar.step for bar in log.bars] == ["download"]


def test_a_lease_is_kept_alive_while_the_snapshot_comes(
    sim: FeedSimulator, feed: CtiFeed, large: Snapshot
) -> None:
    called: list[int] = []
    with closing(feed.open_snapshot(large, None, lambda: called.append(1))) as file:
        list(file.records(HIGHEST))
    assert len(called) >= len(served(sim).body) >> 20


def test_a_full_disk_is_named_as_such_in_the_middle_of_a_load(
    sim: FeedSimulator, feed: CtiFeed, large: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _open(feed, large)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailable, match="No space left"):
        list(file.records(HIGHEST))


def test_a_server_that_gives_up_in_the_middle_is_unreachable_and_the_part_is_kept(
    sim: FeedSimulator, feed: CtiFeed, large: Snapshot, tmp_path: Path
) -> None:
    sim.fail("snapshot", failures.cut_off(0.5))
    sim.fail("snapshot", failures.status(503), times=ALWAYS)
    with pytest.raises(FeedUnreachable, match="503"):
        _records(_open(feed, large))
    assert spooled(tmp_path) == [".json", ".part"]
    assert json.loads(next((tmp_path / "spool").glob("*.json")).read_text())["size"] == len(served(sim).body)
