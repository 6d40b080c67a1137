"""What lies on the disk of a download: this user's alone, removed in time, never another's."""

import errno
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ctisync.core.model import Consumer, Snapshot
from ctisync.errors import AnotherPass, FeedUnreachable, StoreUnavailable
from ctisync.feed.client import CtiFeed
from ctisync.system.locks import lock_for_server
from tests.feed.conftest import MakeFeed
from tests.feed.downloads import nothing, served, spooled
from tests.support import feed_failures as failures
from tests.support import odd_files
from tests.support.feed_simulator import FeedSimulator
from tests.support.log import KeptLog


def test_a_snapshot_is_downloaded_whole_for_this_user_alone(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot, tmp_path: Path, log: KeptLog
) -> None:
    alive = []
    file = feed.fetch_snapshot(snapshot, None, lambda: alive.append(1))
    assert file.path.read_bytes() == served(sim).body
    assert file.size == len(served(sim).body)
    assert sum(len(batch) for batch in file.records(snapshot.offset)) == 300
    assert file.position == file.size
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "spool").iterdir()} == {0o600}
    assert file.path.name.startswith("ctisync.db.vd_1.0.0.vd_4.8.0-")
    assert alive
    (bar,) = log.bars
    assert (bar.step, bar.total, bar.amounts[-1]) == ("download", file.size, file.size)
    assert sim.requests_for("snapshot")[0].headers["accept-encoding"] == "identity"


def test_what_was_loaded_or_is_no_good_is_removed(feed: CtiFeed, snapshot: Snapshot, tmp_path: Path) -> None:
    file = feed.fetch_snapshot(snapshot, None, nothing)
    assert spooled(tmp_path) == [".json", ".part"]
    file.discard()
    file.discard()
    assert spooled(tmp_path) == []


def test_a_file_that_cannot_be_removed_does_not_hide_how_the_load_ended(
    feed: CtiFeed, snapshot: Snapshot
) -> None:
    file = feed.fetch_snapshot(snapshot, None, nothing)
    file.path.unlink()
    file.path.mkdir()
    file.discard()
    with pytest.raises(StoreUnavailable, match="cannot store the snapshot"):
        feed.tidy()


def test_the_parts_of_older_links_are_removed_and_other_files_are_not(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, tmp_path: Path
) -> None:
    old = make_feed().fetch_snapshot(snapshot, None, nothing)
    other = make_feed(consumer=Consumer(name="vd_4.8.0-x")).fetch_snapshot(snapshot, None, nothing)
    database = tmp_path / "spool" / "ctisync.db"
    database.write_bytes(b"precious")
    new = make_feed().fetch_snapshot(Snapshot(sim.publish_snapshot(), snapshot.offset), None, nothing)
    assert not old.path.exists()
    assert not old.path.with_suffix(".json").exists()
    assert all(path.exists() for path in (other.path, database, new.path))


def test_what_a_dead_pass_left_is_removed_by_one_that_needs_no_snapshot(
    make_feed: MakeFeed, feed: CtiFeed, snapshot: Snapshot, tmp_path: Path
) -> None:
    feed.tidy()  # there is no folder yet
    feed.fetch_snapshot(snapshot, None, nothing)
    other = make_feed(consumer=Consumer(name="another"))
    other.tidy()
    assert spooled(tmp_path) == [".json", ".part"], "it belongs to another consumer"
    make_feed().tidy()
    assert spooled(tmp_path) == []


def test_two_servers_in_one_state_folder_download_one_snapshot_at_the_same_time_and_get_it_whole(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, tmp_path: Path
) -> None:
    one, other = (
        make_feed(lock=lock_for_server(tmp_path / "spool", (f"https://{host}:9200",), Consumer()))
        for host in ("one", "other")
    )
    others: list[bytes] = []

    def meanwhile() -> None:
        """At the first piece of the one."""
        if not others:
            others.append(other.fetch_snapshot(snapshot, None, nothing).path.read_bytes())

    ones = one.fetch_snapshot(snapshot, None, meanwhile).path.read_bytes()

    assert [ones, *others] == [served(sim).body] * 2
    one.tidy()
    assert spooled(tmp_path) == [".json", ".part"], "it belongs to the other server"


def test_a_lost_lease_ends_the_download_and_keeps_the_part(
    feed: CtiFeed, snapshot: Snapshot, tmp_path: Path
) -> None:
    def lost() -> None:
        raise AnotherPass("taken over")

    with pytest.raises(AnotherPass):
        feed.fetch_snapshot(snapshot, None, lost)
    assert spooled(tmp_path) == [".json", ".part"]


def test_a_full_disk_is_an_error_before_the_download(
    sim: FeedSimulator, feed: CtiFeed, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    full = type("Usage", (), {"free": 10})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(StoreUnavailable, match="No space") as caught:
        feed.fetch_snapshot(snapshot, None, nothing)
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
    with pytest.raises(StoreUnavailable, match="cannot store the snapshot in"):
        make_feed(lock=tmp_path / "file" / "spool" / "x.lock").fetch_snapshot(snapshot, None, nothing)


@pytest.mark.parametrize("suffix", [".part", ".json", ".json.new"])
@pytest.mark.parametrize("plant", [odd_files.link, odd_files.hard_link, odd_files.pipe])
def test_what_is_planted_under_our_names_is_not_used_and_the_download_begins_anew(
    sim: FeedSimulator,
    make_feed: MakeFeed,
    snapshot: Snapshot,
    tmp_path: Path,
    plant: Callable[[Path, Path], None],
    suffix: str,
) -> None:
    precious = tmp_path / "precious"
    sim.fail("snapshot", failures.cut_off(0.5))
    with pytest.raises(FeedUnreachable):
        make_feed(retry_budget=0.0).fetch_snapshot(snapshot, None, nothing)
    (note,) = (tmp_path / "spool").glob("*.json")
    planted = note.with_suffix(suffix)
    precious.write_bytes(planted.read_bytes() if planted.exists() else b"precious")
    before = precious.read_bytes()
    planted.unlink(missing_ok=True)
    plant(planted, precious)

    file = make_feed().fetch_snapshot(snapshot, None, nothing)

    assert file.path.read_bytes() == served(sim).body
    assert precious.read_bytes() == before
    assert {stat.S_IFMT(path.lstat().st_mode) for path in (tmp_path / "spool").iterdir()} == {stat.S_IFREG}


def test_a_part_and_its_note_that_another_user_has_planted_are_not_used(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot
) -> None:
    """Whole and with the right ETag, so that nothing would be asked of the server but headers."""
    part = make_feed().fetch_snapshot(snapshot, None, nothing).path
    part.write_bytes(b"x" * len(served(sim).body))
    if os.geteuid() != 0:
        pytest.skip("only root can make another user's files")
    for path in (part, part.with_suffix(".json")):
        os.chown(path, 12345, -1)

    file = make_feed().fetch_snapshot(snapshot, None, nothing)

    assert file.path.read_bytes() == served(sim).body


def test_what_is_put_in_place_of_a_part_is_not_read(
    feed: CtiFeed, snapshot: Snapshot, tmp_path: Path
) -> None:
    file = feed.fetch_snapshot(snapshot, None, nothing)
    file.path.rename(tmp_path / "elsewhere")
    file.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailable, match="symbolic link"):
        list(file.records(snapshot.offset))
