"""What the feed says is kept within bounds, and a link that cannot be used stops no changes."""

import sqlite3

import pytest

from tests.cli.conftest import Ctisync
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator

LONG = f"https://h/{'x' * 5_000_000}/1.zip"


@pytest.mark.parametrize("link", [LONG, "https://h/\x1b[2J\n.zip", "https://h/\u202e.zip", "ftp://h/x.zip"])
def test_a_link_that_cannot_be_used_stops_no_changes_and_is_not_kept_whole(
    ctisync: Ctisync, feed: FeedSimulator, link: str
) -> None:
    assert ctisync.run("sync", "-q").returncode == 0
    churn(feed.history, 10, seed=1)
    feed.info["last_snapshot_link"] = link
    feed.info["last_snapshot_offset"] = feed.history.last_offset

    ended = ctisync.run("sync", "-q")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ctisync.run("export").stdout.encode().splitlines() == feed.expected_lines()
    with sqlite3.connect(ctisync.database) as database:
        [(state,)] = database.execute("SELECT state FROM consumers").fetchall()
    database.close()
    assert len(state) < 20_000


@pytest.mark.parametrize("link", [LONG, "https://h/\x1b[2J\n.zip"])
def test_where_a_snapshot_is_needed_such_a_link_is_refused_in_a_line(
    ctisync: Ctisync, feed: FeedSimulator, link: str
) -> None:
    feed.info |= {"last_snapshot_link": link, "last_snapshot_offset": feed.history.last_offset}
    ended = ctisync.run("sync", "-q")
    assert ended.returncode == 6
    assert "not an http(s) address" in ended.stderr
    assert len(ended.stderr) < 1000
