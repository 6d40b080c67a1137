"""Consumer information as real servers send it, and as they should not."""

from typing import Any

import pytest

from ctisync.errors import FeedRefused
from ctisync.feed.client import CtiFeed
from tests.support import feed_failures as failures
from tests.support.clock import FakeClock
from tests.support.feed_simulator import ABSENT, FeedSimulator


def test_a_snapshot_and_the_last_offset_are_read(sim: FeedSimulator, feed: CtiFeed) -> None:
    sim.history.create("CVE-2024-1")
    link = sim.publish_snapshot()
    sim.history.gap(10)
    info = feed.consumer_info()
    assert info.last_offset == 1011
    assert info.snapshot is not None
    assert (info.snapshot.link, info.snapshot.offset) == (link, 1001)


def test_an_older_server_sends_the_offset_in_the_file_name_alone(sim: FeedSimulator, feed: CtiFeed) -> None:
    sim.publish_snapshot()
    sim.info["last_snapshot_offset"] = ABSENT
    info = feed.consumer_info()
    assert info.snapshot is not None
    assert info.snapshot.offset == 1000


@pytest.mark.parametrize("nothing", [None, ABSENT], ids=["null", "absent"])
def test_a_consumer_that_knows_nothing_yet_is_no_error(
    sim: FeedSimulator, feed: CtiFeed, nothing: object
) -> None:
    sim.info = dict.fromkeys(("last_offset", "last_snapshot_link", "last_snapshot_offset"), nothing)
    info = feed.consumer_info()
    assert (info.last_offset, info.snapshot) == (None, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("last_offset", "1913009", id="text"),
        pytest.param("last_offset", True, id="boolean"),
        pytest.param("last_offset", 1.5, id="fraction"),
        pytest.param("last_offset", -1, id="negative"),
        pytest.param("last_offset", 2**63, id="beyond 63 bits"),
        pytest.param("last_snapshot_offset", [], id="array"),
        pytest.param("last_snapshot_link", 7, id="a link that is a number"),
    ],
)
def test_a_field_of_the_wrong_type_is_refused_by_name(
    sim: FeedSimulator, feed: CtiFeed, clock: FakeClock, field: str, value: Any
) -> None:
    sim.publish_snapshot()
    sim.info[field] = value
    with pytest.raises(FeedRefused, match=field):
        feed.consumer_info()
    assert clock.slept == []


@pytest.mark.parametrize("document", [b"[]", b"null", b'{"data": []}', b'{"error": "x"}', b"7"])
def test_json_that_is_no_consumer_information_is_refused_at_once(
    sim: FeedSimulator, feed: CtiFeed, clock: FakeClock, document: bytes
) -> None:
    sim.fail("info", failures.body(document))
    with pytest.raises(FeedRefused, match="data"):
        feed.consumer_info()
    assert clock.slept == []
