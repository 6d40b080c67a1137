"""Whether a load will fit is asked before it begins; what was downloaded stays."""

from pathlib import Path

import pytest

from ctisync.core.model import Snapshot
from ctisync.errors import StoreUnavailable
from tests.feed.conftest import MakeFeed, with_free
from tests.feed.downloads import nothing, served, spooled
from tests.support.feed_history import populate
from tests.support.feed_simulator import FeedSimulator, zipped
from tests.support.records import line


def test_a_disk_without_room_for_the_records_is_an_error_before_the_load(
    sim: FeedSimulator, make_feed: MakeFeed, tmp_path: Path
) -> None:
    populate(sim.history, 3000)
    snapshot = Snapshot(sim.publish_snapshot(), sim.history.last_offset)
    unpacked = sum(len(line) + 1 for line in sim.expected_lines())
    with pytest.raises(StoreUnavailable, match="/data has 4 MiB of free disk space") as caught:
        make_feed(pass_limits=with_free(lambda: unpacked - 1)).fetch_snapshot(snapshot, None, lambda: None)
    assert "df -h /data" in str(caught.value.hint)
    assert sorted(path.suffix for path in (tmp_path / "spool").iterdir()) == [".json", ".part"]

    body = len(next(iter(sim.files.values())).body)
    feed = make_feed(pass_limits=with_free(lambda: max(unpacked, 6 * body)))
    assert feed.fetch_snapshot(snapshot, None, lambda: None).size == body
    packed = make_feed(pass_limits=with_free(lambda: max(unpacked, 6 * body) // 4, share=0.25))
    assert packed.fetch_snapshot(snapshot, None, lambda: None).size == body, "a quarter of it is enough"
    assert sim.requests[-1].headers.get("range") is None, "it was here already"


def test_the_size_that_the_first_entry_declares_has_no_room_while_the_rest_is_still_to_come(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, tmp_path: Path
) -> None:
    """Else a well packed snapshot is loaded until the disk is full."""
    served(sim).body = zipped({"records.json": line("a", 1, b'"%s"' % (b"x" * (3 << 20)))})
    with pytest.raises(StoreUnavailable, match="need about 3 MiB, plus 0 MiB still to download") as caught:
        make_feed(pass_limits=with_free(lambda: 2 << 20)).open_snapshot(snapshot, None, nothing)
    assert "df -h /data" in str(caught.value.hint)
    assert spooled(tmp_path) == [".json", ".part"]
