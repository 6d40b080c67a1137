"""A mirror of a mirror: the same manifest, and each file that it names."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ctisync.errors import CtisyncError, FeedRefused, FeedUnreachable
from ctisync.mirror.publish import Plan
from tests.mirror.parts import CONSUMER, Mirror, read_all
from tests.mirror.test_publishing import manifest
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.web_folder import WebFolder, instead


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    with FeedSimulator() as feed:
        populate(feed.history, 20)
        feed.publish_snapshot()
        churn(feed.history, 1200)
        mirror = Mirror(tmp_path, feed)
        mirror.publish()
        yield mirror


@pytest.fixture
def second(mirror: Mirror) -> Path:
    return mirror.home / "second"


def copy(mirror: Mirror, second: Path, url: str | None = None) -> None:
    with mirror.opened_of(url or mirror.root.as_uri(), second) as copier:
        copier.run()


def planned(mirror: Mirror, second: Path) -> Plan:
    with mirror.opened_of(mirror.root.as_uri(), second) as copier:
        return copier.plan()


def served(root: Path) -> dict[str, bytes]:
    """The files that the head and its manifest name."""
    place = root / str(CONSUMER)
    head = (place / "head.json").read_bytes()
    name = json.loads(head)["manifest"]["name"]
    text = (place / name).read_bytes()
    listed = json.loads(text)
    names = [each["name"] for each in (*listed["snapshots"], *listed["segments"])]
    return {"head.json": head, name: text, **{each: (place / each).read_bytes() for each in names}}


def further(mirror: Mirror, changes: int = 1100) -> None:
    mirror.clock.sleep(3600.0)
    churn(mirror.feed.history, changes, seed=7)
    mirror.feed.publish_snapshot()
    mirror.publish()


def test_a_copy_has_the_same_bytes_after_each_pass(mirror: Mirror, second: Path) -> None:
    for _ in range(3):
        copy(mirror, second)
        assert served(second) == served(mirror.root)
        further(mirror)
    third = mirror.home / "third"
    copy(mirror, third, second.as_uri())
    assert served(third) == served(second)
    assert read_all(mirror.reader(third)) == read_all(mirror.reader(second))


def test_only_what_is_missing_is_read(mirror: Mirror, second: Path) -> None:
    with WebFolder(mirror.root) as web:
        url = f"mirror+{web.url}"
        copy(mirror, second, url)
        further(mirror, 5)
        before = served(second)
        web.requests.clear()
        copy(mirror, second, url)
        new = [name for name in served(second) if served(second)[name] != before.get(name)]
        assert sorted(web.names) == sorted([*new, *(f"{name}.minisig" for name in new if name[0] == "m")])
        web.requests.clear()
        copy(mirror, second, url)
        assert [(each.name, each.status) for each in web.requests] == [("head.json", 304)]


def test_an_idle_pass_leaves_the_head_as_it_is_so_that_its_etag_stays(mirror: Mirror, second: Path) -> None:
    copy(mirror, second)
    head = second / str(CONSUMER) / "head.json"
    before = head.stat()
    copy(mirror, second)
    assert (head.stat().st_mtime_ns, head.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


@pytest.mark.parametrize("kind", ["m-", "c-", "s-"])
def test_nothing_is_published_while_a_file_is_missing_or_damaged(
    mirror: Mirror, second: Path, kind: str
) -> None:
    copy(mirror, second)
    before = served(second)
    further(mirror)
    (path, *_) = (
        each
        for each in (mirror.root / str(CONSUMER)).glob(f"{kind}*")
        if each.name in served(mirror.root).keys() - before.keys()
    )
    content = path.read_bytes()
    for damage, error in (
        (path.unlink, FeedUnreachable),
        (lambda: path.write_bytes(content[:-1] + b"?"), FeedRefused),
    ):
        damage()
        with pytest.raises(error):
            copy(mirror, second)
        assert served(second) == before
    path.write_bytes(content)
    copy(mirror, second)
    assert served(second) == served(mirror.root)


def test_what_the_copy_has_already_may_be_missing_at_its_source(mirror: Mirror, second: Path) -> None:
    """As on a stick with a bundle."""
    copy(mirror, second)
    further(mirror, 10)
    for name in served(second).keys() & served(mirror.root).keys() - {"head.json"}:
        (mirror.root / str(CONSUMER) / name).unlink()
    copy(mirror, second)
    assert read_all(mirror.reader(second))[0].last_offset == mirror.feed.history.last_offset


def test_an_older_mirror_is_not_published(mirror: Mirror, second: Path) -> None:
    old = mirror.copied().rename(mirror.home / "old")
    further(mirror)
    copy(mirror, second)
    before = served(second)
    copy(mirror, second, old.as_uri())
    assert served(second) == before
    assert [each["outcome"] for each in mirror.log.named("pass-ended")] == ["mirror-behind"]


def test_another_history_is_refused_unless_the_settings_say_otherwise(mirror: Mirror, second: Path) -> None:
    copy(mirror, second)
    before = served(second)
    mirror.feed.reset(first_offset=500)
    populate(mirror.feed.history, 2000)
    mirror.feed.publish_snapshot()
    mirror.feed.info["inserted_at"] = "2026-11-30T00:00:00Z"
    shutil.rmtree(mirror.root)
    mirror.publish()
    with pytest.raises(FeedRefused, match="another history"):
        copy(mirror, second)
    with pytest.raises(FeedRefused, match="another history"):
        planned(mirror, second)
    assert served(second) == before
    mirror.on_feed_reset = "init"
    copy(mirror, second)
    assert served(second) == served(mirror.root)


def test_a_dry_run_tells_what_is_missing(mirror: Mirror, second: Path) -> None:
    first = planned(mirror, second)
    assert (first.published, first.changes.after, first.changes.to) == (
        None,
        1000,
        manifest(mirror).last_offset,
    )
    assert first.snapshot is not None
    assert first.bytes == manifest(mirror).snapshots[0].size
    copy(mirror, second)
    idle = planned(mirror, second)
    assert (idle.snapshot, idle.changes.after, idle.changes.to) == (None, first.changes.to, first.changes.to)
    old = mirror.copied()
    further(mirror)
    copy(mirror, second)
    with mirror.opened_of(old.as_uri(), second) as copier:
        older = copier.plan()
    assert (older.snapshot, older.changes.after) == (None, older.changes.to)


def test_a_damaged_snapshot_of_a_server_is_not_fetched_again_by_the_next_pass(
    mirror: Mirror, second: Path
) -> None:
    with WebFolder(mirror.root) as web:
        web.lies["s-"] = instead(lambda content: content[:-1] + b"?", ETag='"1"')
        for _ in range(2):
            with pytest.raises(CtisyncError, match="damaged"):
                copy(mirror, second, f"mirror+{web.url}")
        web.lies.clear()
        copy(mirror, second, f"mirror+{web.url}")
    assert served(second) == served(mirror.root)
