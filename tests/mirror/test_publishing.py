"""What `ctisync mirror` writes: each change as the feed sent it, and nothing secret."""

import errno
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import zstandard

from ctisync.core.manifest import head_of, manifest_of
from ctisync.core.model import OffsetRange
from ctisync.errors import AnotherPass, FeedRefused, FeedUnreachable, SnapshotRefused, StoreUnavailable
from ctisync.settings.model import MirrorSettings
from tests.mirror.parts import CONSUMER, Mirror, read_all
from tests.support import feed_failures as failures
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.records import encode

WEEK: Final = 604_800.0


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    with FeedSimulator() as feed:
        populate(feed.history, 30)
        feed.publish_snapshot()
        churn(feed.history, 1500)
        yield Mirror(tmp_path, feed)


def manifest(mirror: Mirror) -> Any:
    head = head_of((mirror.place / "head.json").read_bytes())
    return manifest_of((mirror.place / head.manifest.name).read_bytes(), str(CONSUMER))


def lines(mirror: Mirror) -> list[bytes]:
    texts = [(mirror.place / each.name).read_bytes() for each in manifest(mirror).segments]
    return b"".join(zstandard.ZstdDecompressor().decompress(text) for text in texts).splitlines()


def test_each_change_is_kept_as_the_feed_sent_it(mirror: Mirror) -> None:
    mirror.feed.history.edit(1031, **{"a field of tomorrow": [10**30, "é\\u00e9/"]})
    mirror.publish()
    floor, end = manifest(mirror).floor, mirror.feed.history.last_offset
    assert lines(mirror) == [encode(each) for each in mirror.feed.history.served(floor, end)]
    assert b'"a field of tomorrow"' in b"".join(lines(mirror))


def test_a_reader_has_what_the_feed_has(mirror: Mirror) -> None:
    mirror.publish()
    info, changes, snapshot = read_all(mirror.reader())
    with mirror.opened() as publisher:
        feed = publisher.feed
        assert info.last_offset == mirror.feed.history.last_offset
        assert info.snapshot is not None
        assert info.snapshot.offset == 1030
        assert [change.offset for change in changes] == [
            change["offset"] for change in mirror.feed.history.served(1000, 10_000)
        ]
        assert [mark for mark, _ in feed.original_changes(OffsetRange(1000, 2000))] == [
            change.mark for change in changes if change.offset <= 2000
        ]
    assert snapshot == next(iter(mirror.feed.files.values())).body


def test_no_link_and_no_query_gets_into_the_folder(mirror: Mirror) -> None:
    link = mirror.feed.publish_snapshot()
    mirror.feed.info["last_snapshot_link"] = link + "?Signature=s3cret&Expires=1"
    mirror.feed.info["token"] = "s3cret"
    mirror.feed.info["paths_filter"] = "https://example.org/s3cret"
    mirror.publish()
    for path in mirror.root.rglob("*"):
        if path.is_file():
            assert "s3cret" not in path.name
            assert b"s3cret" not in path.read_bytes(), path
            assert path.suffix == ".lock" or b"http://" not in path.read_bytes().replace(
                b"http://cna", b""
            ), path


def test_full_segments_stay_and_the_open_one_is_made_anew(mirror: Mirror) -> None:
    mirror.publish()
    before = {path.name: path.stat().st_mtime_ns for path in mirror.place.glob("c-*")}
    churn(mirror.feed.history, 900, seed=2)
    mirror.feed.requests.clear()
    mirror.publish()
    after = [each.name for each in manifest(mirror).segments]
    assert [name in before for name in after] == [True, False, False]
    ranges = [request.range for request in mirror.feed.requests_for("changes")]
    assert min(after for after, _ in ranges) == 2000, "full ones are not requested again"


def test_an_idle_pass_asks_for_no_changes_and_publishes_when_the_feed_answered(mirror: Mirror) -> None:
    mirror.publish()
    first = manifest(mirror)
    mirror.feed.requests.clear()
    mirror.clock.advance(hours=1)
    mirror.publish()
    second = manifest(mirror)
    assert mirror.feed.requests_for("changes") == mirror.feed.requests_for("snapshot") == []
    assert second.checked_at == mirror.clock.now() > first.checked_at
    assert second.serial > first.serial
    assert second.segments == first.segments


def test_a_feed_that_does_not_answer_leaves_the_age_as_it_is(mirror: Mirror) -> None:
    mirror.publish()
    before = manifest(mirror)
    mirror.clock.advance(hours=1)
    mirror.feed.fail("info", failures.status(503), times=None)
    with pytest.raises(FeedUnreachable):
        mirror.publish()
    assert manifest(mirror) == before


def test_a_newer_snapshot_comes_once_the_kept_one_is_old(mirror: Mirror) -> None:
    mirror.settings = MirrorSettings(snapshot_age=WEEK, keep_snapshots=2)
    mirror.publish()
    for number, days in enumerate((3, 3, 3, 5), 2):
        mirror.clock.advance(days=days)
        churn(mirror.feed.history, 700, seed=number)
        mirror.feed.publish_snapshot()
        mirror.publish()
        read_all(mirror.reader())
    kept = manifest(mirror)
    assert len(kept.snapshots) == 2
    assert kept.floor <= kept.snapshots[0].highest < kept.floor + 1000


def test_what_is_pruned_stays_a_day_for_readers_that_read_an_older_head(mirror: Mirror) -> None:
    mirror.settings = MirrorSettings(snapshot_age=0.0, keep_snapshots=1, keep_changes=0.0)
    mirror.publish()
    reader = mirror.reader(mirror.root)
    info = reader.consumer_info()
    old = {path.name for path in mirror.place.iterdir()}
    churn(mirror.feed.history, 2500, seed=2)
    mirror.feed.publish_snapshot()
    for _ in range(3):
        mirror.clock.advance(hours=7)
        mirror.publish()
        assert old <= {path.name for path in mirror.place.iterdir()}
        assert info.snapshot is not None
        reader.changes(OffsetRange(1030, 2000))
        reader.fetch_snapshot(info.snapshot, None, lambda: None).discard()
    for _ in range(2):
        mirror.clock.advance(hours=30)
        mirror.publish()
    left = {path.name for path in mirror.place.iterdir()}
    assert left & old == {"head.json"}
    assert manifest(mirror).files <= left
    read_all(mirror.reader())


def test_nothing_is_published_without_a_snapshot(mirror: Mirror) -> None:
    mirror.feed.info = dict.fromkeys(("last_snapshot_link", "last_snapshot_offset"))
    mirror.publish()
    assert not (mirror.place / "head.json").exists()
    assert [event.fields["outcome"] for event in mirror.log.events if event.name == "pass-ended"] == [
        "no-snapshot"
    ]


def test_a_snapshot_that_nobody_could_load_is_not_published_and_not_fetched_again(mirror: Mirror) -> None:
    mirror.publish()
    before = manifest(mirror)
    churn(mirror.feed.history, 10, seed=2)
    mirror.feed.publish_snapshot(body=b"<html>Sorry</html>")
    with pytest.raises(SnapshotRefused):
        mirror.publish()
    assert manifest(mirror) == before
    mirror.feed.requests.clear()
    mirror.publish()
    assert manifest(mirror).snapshots == before.snapshots
    assert manifest(mirror).last_offset == mirror.feed.history.last_offset, "changes go on"
    assert mirror.feed.requests_for("snapshot") == []


def test_a_feed_that_went_back_is_published_only_if_that_was_allowed(mirror: Mirror) -> None:
    mirror.publish()
    before = manifest(mirror)
    mirror.feed.reset(first_offset=10)
    populate(mirror.feed.history, 5)
    mirror.feed.publish_snapshot()
    with pytest.raises(FeedRefused, match="another history"):
        mirror.publish()
    assert manifest(mirror) == before
    mirror.on_feed_reset = "init"
    mirror.publish()
    after = manifest(mirror)
    assert (after.last_offset, after.floor, after.serial) == (15, 0, before.serial + 1)
    assert [each.offset for each in after.snapshots] == [15]
    read_all(mirror.reader())


def test_a_feed_that_began_anew_and_is_further_already_is_noticed_by_its_last_change(mirror: Mirror) -> None:
    mirror.publish()
    before = manifest(mirror)
    churn(mirror.feed.history, 50, seed=2)
    mirror.feed.history.edit(before.segments[-1].last.offset, inserted_at="2026-11-30T00:00:00Z")
    with pytest.raises(FeedRefused, match="another history"):
        mirror.publish()
    assert manifest(mirror) == before


def test_two_publishers_never_work_on_one_folder(mirror: Mirror) -> None:
    with mirror.opened(), pytest.raises(AnotherPass):
        mirror.publish()


def test_a_damaged_head_is_named_with_what_to_do(mirror: Mirror) -> None:
    mirror.publish()
    (mirror.place / "head.json").write_bytes(b"")
    with pytest.raises(StoreUnavailable, match="damaged") as caught:
        mirror.publish()
    assert caught.value.hint is not None
    (mirror.place / "head.json").unlink()
    mirror.publish()
    read_all(mirror.reader())


def test_an_interrupted_pass_goes_on_where_it_was(mirror: Mirror) -> None:
    """After 50 segments it remembers them."""
    mirror.feed.history.gap(70_000)
    churn(mirror.feed.history, 10, seed=2)
    mirror.feed.fail(
        lambda request: request.kind == "changes" and request.range[0] == 60_000,
        failures.status(503),
        times=None,
    )
    with pytest.raises(FeedUnreachable):
        mirror.publish()
    assert not (mirror.place / "head.json").exists()
    mirror.feed.heal()
    mirror.feed.requests.clear()
    mirror.publish()
    assert mirror.feed.requests_for("snapshot") == []
    assert min(request.range[0] for request in mirror.feed.requests_for("changes")) >= 51_000
    read_all(mirror.reader())


def test_a_disk_without_fsync_costs_a_warning(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse)
    mirror.publish()
    assert [event.name for event in mirror.log.events if event.level == "warning"] == ["mirror-not-synced"]
    read_all(mirror.reader())


def test_a_head_that_a_reader_has_open_is_replaced_a_little_later(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SMB does it."""
    replace = os.replace
    refused: list[object] = []

    def busy(source: Any, target: Any) -> None:
        if str(target).endswith("head.json") and len(refused) < 5:
            refused.append(target)
            raise PermissionError(errno.EACCES, "in use")
        replace(source, target)

    monkeypatch.setattr(os, "replace", busy)
    mirror.publish()
    assert len(refused) == 5
    read_all(mirror.reader())


def test_a_draft_whose_files_are_gone_is_made_anew(mirror: Mirror) -> None:
    mirror.feed.history.gap(70_000)
    last = failures.status(503)
    mirror.feed.fail(
        lambda request: request.kind == "changes" and request.range[0] > 60_000, last, times=None
    )
    with pytest.raises(FeedUnreachable):
        mirror.publish()
    shutil.rmtree(mirror.place)
    mirror.feed.heal()
    mirror.publish()
    read_all(mirror.reader())


@pytest.mark.parametrize("seed", range(3))
def test_readers_of_a_mirror_that_never_rests_have_no_mismatch(mirror: Mirror, seed: int) -> None:
    """Between any two of a reader's steps the publisher may make a pass, a day or an hour later."""
    chance = random.Random(seed)
    mirror.settings = MirrorSettings(snapshot_age=0.0, keep_snapshots=1, keep_changes=0.0)
    mirror.publish()
    for number in range(30):
        reader = mirror.reader()
        info = reader.consumer_info()
        assert info.last_offset is not None
        assert info.mirror is not None
        churn(mirror.feed.history, chance.randint(0, 1500), seed=number)
        if chance.random() < 0.5:
            mirror.feed.publish_snapshot()
        for _ in range(chance.randint(0, 2)):
            mirror.clock.advance(hours=chance.choice((1, 13)))
            mirror.publish()
        offset = info.last_offset - info.last_offset % 1000
        after = max(info.mirror.floor, offset - 300)
        if after < info.last_offset:
            offsets = OffsetRange(after, min(after + 1000, info.last_offset))
            served = mirror.feed.history.served(offsets.after, offsets.to)
            assert [each.offset for each in reader.changes(offsets)] == [each["offset"] for each in served]
