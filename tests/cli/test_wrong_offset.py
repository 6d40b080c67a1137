"""`init-snapshot --from … --offset N`: a number that cannot be right is refused, whatever is stored already.

Taken, one that is too low would have later changes applied to records that hold them; one that is too high
would leave out every change up to it, and the next `sync` would say that the feed went back.
"""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Ctisync
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator


@pytest.fixture
def snapshot(ctisync: Ctisync, feed: FeedSimulator) -> Path:
    path = ctisync.home / "cve.ndjson"
    path.write_bytes(b"\n".join(feed.expected_lines(feed.history.last_offset)) + b"\n")
    return path


def stands_at(ctisync: Ctisync) -> int:
    return int(json.loads(ctisync.run("status", "--json").stdout)["consumers"][0]["offset"])


@pytest.mark.parametrize("before", ["nothing", "a snapshot that was given", "a content of the feed's"])
def test_an_offset_below_a_records_is_refused_whatever_is_stored(
    ctisync: Ctisync, feed: FeedSimulator, snapshot: Path, before: str
) -> None:
    right = feed.history.last_offset
    load = ("init-snapshot", "-q", "--from", str(snapshot), "--offset")
    if before == "a snapshot that was given":
        assert ctisync.run(*load, str(right)).returncode == 0
    elif before == "a content of the feed's":
        churn(feed.history, 30)
        assert ctisync.run("sync", "-q").returncode == 0
    stood = stands_at(ctisync)

    for _ in range(2):
        ended = ctisync.run(*load, str(right - 1))
        assert ended.returncode == 6
        assert f"offset {right}" in ended.stderr
        assert "--offset" in ended.stderr
        assert stands_at(ctisync) == stood

    assert ctisync.run(*load, str(right)).returncode == 0
    assert stands_at(ctisync) == right


def test_an_offset_far_above_the_feeds_last_one_is_refused(
    ctisync: Ctisync, feed: FeedSimulator, snapshot: Path
) -> None:
    assert ctisync.run("sync", "-q").returncode == 0
    right = stands_at(ctisync)
    ahead = {"CTISYNC_LIMITS__OFFSETS_AHEAD": "5000"}
    load = ("init-snapshot", "-q", "--from", str(snapshot), "--offset")

    for _ in range(2):
        ended = ctisync.run(*load, str(right + 5001), **ahead)
        assert ended.returncode == 6
        assert f"{right + 5001}" in ended.stderr
        assert "limits.offsets_ahead" in ended.stderr
        assert stands_at(ctisync) == right

    assert ctisync.run(*load, str(right + 5000), **ahead).returncode == 0, "the feed may have gone on so far"


def test_a_file_name_with_such_an_offset_is_refused_as_well(
    ctisync: Ctisync, feed: FeedSimulator, snapshot: Path
) -> None:
    assert ctisync.run("sync", "-q").returncode == 0
    far = snapshot.rename(snapshot.with_name("999999999999_1746459961.ndjson"))
    assert ctisync.run("init-snapshot", "-q", "--from", str(far)).returncode == 6


def test_before_any_answer_of_the_feed_each_offset_may_be_right(ctisync: Ctisync, snapshot: Path) -> None:
    ended = ctisync.run("init-snapshot", "-q", "--from", str(snapshot), "--offset", "999999999999")
    assert ended.returncode == 0


def test_a_number_that_no_store_can_hold_is_no_offset(ctisync: Ctisync, snapshot: Path) -> None:
    ended = ctisync.run("init-snapshot", "-q", "--from", str(snapshot), "--offset", str(2**63))
    assert ended.returncode == 2
