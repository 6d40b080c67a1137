"""Whether a load will fit is asked before it begins; what was downloaded stays."""

from pathlib import Path

import pytest

from ctisync.core.model import Snapshot
from ctisync.errors import StoreUnavailable
from tests.feed.conftest import MakeFeed, with_free
from tests.support.feed_history import populate
from tests.support.feed_simulator import FeedSimulator


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
