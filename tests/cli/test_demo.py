"""`ctisync demo`: two passes against its own feed, without network, services or questions."""

import itertools
from pathlib import Path

from ctisync.commands.demo import CHANGES_LATER, CHANGES_SINCE_SNAPSHOT, RECORDS
from ctisync.demo import DemoFeed
from tests.cli.conftest import Ctisync
from tests.support.feed_simulator import unused_port
from tests.support.records import comparable, encode


def feed_at_the_end() -> DemoFeed:
    feed = DemoFeed(RECORDS)
    feed.publish_snapshot()
    feed.live_on(CHANGES_SINCE_SNAPSHOT)
    feed.live_on(CHANGES_LATER)
    return feed


def test_the_demo_shows_both_passes_and_keeps_what_the_feed_holds(ctisync: Ctisync) -> None:
    ended = ctisync.run("demo", "--keep", "kept")
    feed = feed_at_the_end()

    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count(" pass-ended ") == 2
    assert ended.stderr.count(" initialised ") == 1
    assert ended.stderr.count(" range-applied ") >= 4
    assert f"{feed.last_offset:,} of {feed.last_offset:,}, up to date" in ended.stdout
    database = f"sqlite:///{ctisync.home}/kept/ctisync.db"
    assert f"CTISYNC_STORE__URL={database} ctisync export" in ended.stdout
    exported = ctisync.run("export", CTISYNC_STORE__URL=database).stdout.encode().splitlines()
    expected = sorted(feed.records.values(), key=lambda record: str(record["name"]).encode())
    assert [comparable(line) for line in exported] == [comparable(encode(record)) for record in expected]


def test_the_demo_leaves_nothing_behind_and_needs_no_proxy(ctisync: Ctisync, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    nowhere = f"http://127.0.0.1:{unused_port()}"

    ended = ctisync.run(
        "demo", "-q", TMPDIR=str(temporary), HTTP_PROXY=nowhere, http_proxy=nowhere, ALL_PROXY=nowhere
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "ctisync demo --keep DIR" in ended.stdout
    assert list(temporary.iterdir()) == []
    assert list(ctisync.home.iterdir()) == [temporary]


def test_the_demo_does_not_touch_a_database_that_is_there(ctisync: Ctisync) -> None:
    (ctisync.home / "kept").mkdir()
    (ctisync.home / "kept" / "ctisync.db").write_bytes(b"mine")

    ended = ctisync.run("demo", "--keep", "kept")

    assert ended.returncode == 2
    assert "kept/ctisync.db already exists" in ended.stderr
    assert (ctisync.home / "kept" / "ctisync.db").read_bytes() == b"mine"


def test_the_made_up_feed_is_the_same_every_time_and_changes_as_real_ones_do() -> None:
    one, other = feed_at_the_end(), feed_at_the_end()

    assert (one.records, one.changes, one.snapshot) == (other.records, other.changes, other.snapshot)
    since = [change for change in one.changes if change["offset"] > one.snapshot_offset]
    kinds = [change["type"] for change in since]
    assert kinds.count("update") > 0.7 * len(kinds)
    assert kinds.count("create") > kinds.count("delete") > 0
    offsets = [change["offset"] for change in since]
    assert any(later - earlier > 1 for earlier, later in itertools.pairwise(offsets))
    assert max(offsets) - one.snapshot_offset > 3000
