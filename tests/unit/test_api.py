"""The CTI API of a mirror: what clients rely on, in each reply."""

from datetime import timedelta
from typing import Any, Final

import msgspec
import pytest
from msgspec.structs import replace

from ctisync.core import wire
from ctisync.core.api import (
    Announced,
    BadRequest,
    announced_by,
    change_texts,
    changes_request,
    check_coverage,
    consumer_reply,
    is_older,
)
from ctisync.core.manifest import Manifest
from ctisync.core.model import MAX_OFFSET, OffsetRange
from tests.unit.test_mirror_manifest import manifest, segment, snapshot

URL: Final = "https://cti.example:8443/wazuh"
ALWAYS: Final = {"is_public", "name", "context", "last_offset", "last_snapshot_at", "last_snapshot_link"}
LINES: Final = [
    (2, b'{"offset":2,"type":"create","payload":{}}'),
    (3, b'{"offset":3,"type":"update","operations":[]}'),
    (5, b'{"offset":5,"type":"UPDATE","operations":[{"op":"remove","path":"/a"}]}'),
    (6, b'{"offset":6,"type":"update"}'),
    (9, b'{"offset":9,"type":"delete","operations":null}'),
    (10, b'{"offset":10,"type":"update","operations":null}'),
    (12, b'{"offset":12,"type":"create","payload":null}'),
]


def replied(one: Manifest) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.json.decode(consumer_reply(one, URL))["data"]
    return data


def gap_at_the_end() -> Manifest:
    """The feed's last offset is 4321, its last change 4300."""
    last = segment(4000, 4321)
    assert last.last is not None
    last = replace(last, count=299, last=replace(last.last, offset=4300))
    return manifest(segments=(segment(2000, 3000), segment(3000, 4000), last))


def test_the_last_offset_is_that_of_the_last_change_and_not_of_the_gap_after_it() -> None:
    assert replied(gap_at_the_end())["last_offset"] == 4300


def test_an_empty_segment_at_the_end_does_not_hide_the_last_change() -> None:
    one = manifest(segments=(segment(2000, 3000), segment(3000, 4000), segment(4000, 4321, count=0)))
    assert announced_by(one).last_offset == 4000


def test_without_any_change_it_is_the_highest_line_of_the_snapshot_at_which_clients_begin() -> None:
    one = manifest((snapshot(2500, highest=2400),), (segment(2000, 2600, count=0),))
    assert announced_by(one).last_offset == 2400


def test_a_snapshot_within_the_gap_has_the_offset_of_the_last_change_also_in_its_link() -> None:
    """Clients refuse a snapshot above the last offset, and one whose link has another offset."""
    one = manifest((snapshot(2500), snapshot(4310, highest=4200)), gap_at_the_end().segments)
    info = wire.consumer_info({"data": replied(one)})
    assert info.snapshot is not None
    assert info.snapshot.offset == 4300
    assert "/4300_" in info.snapshot.link


def test_all_that_clients_rely_on_is_there_if_the_feed_has_said_nothing() -> None:
    data = replied(replace(manifest(), feed={}))
    assert {key for key in ALWAYS if data.get(key) is None} == set()
    assert (data["name"], data["context"], data["is_public"]) == ("vd_4.8.0", "vd_1.0.0", True)


def test_a_field_of_the_feed_cannot_replace_what_the_mirror_has() -> None:
    false = {"is_public": False, "name": "x", "context": "y", "last_snapshot_at": "never", "id": 4}
    data = replied(replace(manifest(), feed=false))
    assert (data["name"], data["context"], data["is_public"]) == ("vd_4.8.0", "vd_1.0.0", True)
    assert data["last_snapshot_at"] == "2026-12-01T12:00:00.000000Z"
    assert data["id"] == 4


def test_links_begin_with_the_url_and_the_changes_have_no_scheme() -> None:
    data = replied(manifest())
    assert data["last_snapshot_link"].startswith(f"{URL}/store/contexts/vd_1.0.0/consumers/vd_4.8.0/")
    assert data["changes_url"] == (
        "cti.example:8443/wazuh/api/v1/catalog/contexts/vd_1.0.0/consumers/vd_4.8.0/changes"
    )


def test_the_newest_snapshot_is_offered() -> None:
    one = manifest((snapshot(2500), snapshot(4000, age=timedelta(hours=1))))
    info = wire.consumer_info({"data": replied(one)})
    assert info.snapshot is not None
    assert info.snapshot.offset == 4000
    assert one.snapshots[1].sha256 in info.snapshot.link


@pytest.mark.parametrize(
    ("new", "before", "older"),
    [
        (Announced(10, 1, "a"), Announced(9, 8, "a"), False),
        (Announced(10, 1, "a"), Announced(10, 8, "a"), False),
        (Announced(9, 9, "a"), Announced(10, 8, "a"), True),
        (Announced(9, 9, None), Announced(10, 8, "a"), True),
        (Announced(9, 9, "b"), Announced(10, 8, "a"), False),
        (Announced(9, 8, "b"), Announced(10, 8, "a"), True),
        (Announced(99, 7, "b"), Announced(10, 8, "a"), True),
    ],
    ids=[
        "ahead",
        "the same",
        "behind",
        "behind, of no identity",
        "the feed began anew",
        "another folder, behind",
        "an older copy of the history before",
    ],
)
def test_what_is_behind_is_an_older_copy_but_for_a_feed_that_began_anew(
    new: Announced, before: Announced, older: bool
) -> None:
    assert is_older(new, before) is older


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 400),
        ({"from_offset": "1"}, 400),
        ({"from_offset": "-1", "to_offset": "2"}, 400),
        ({"from_offset": "+1", "to_offset": "2"}, 400),
        ({"from_offset": "1.0", "to_offset": "2"}, 400),
        ({"from_offset": " 1", "to_offset": "2"}, 400),
        ({"from_offset": "1\n", "to_offset": "2"}, 400),
        ({"from_offset": "\u0661", "to_offset": "2"}, 400),
        ({"from_offset": "1e3", "to_offset": "2000"}, 400),
        ({"from_offset": "1", "to_offset": str(MAX_OFFSET + 1)}, 400),
        ({"from_offset": "1", "to_offset": "9" * 5000}, 400),
        ({"from_offset": "1", "to_offset": "2", "with_empties": "no"}, 400),
        ({"from_offset": "1", "to_offset": "1002"}, 422),
        ({"from_offset": "2", "to_offset": "1"}, 422),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused(query: dict[str, str], status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        changes_request(query)
    assert caught.value.status == status


def test_a_request_has_a_range_and_by_default_updates_without_operations() -> None:
    query = {"from_offset": "7", "to_offset": "1007"}
    assert changes_request(query) == (OffsetRange(7, 1007), True)
    assert changes_request({**query, "with_empties": "true"}) == (OffsetRange(7, 1007), True)
    assert changes_request({**query, "with_empties": "false"}) == (OffsetRange(7, 1007), False)
    assert changes_request({"from_offset": "7", "to_offset": "7"}).offsets == OffsetRange(7, 7)


@pytest.mark.parametrize(
    ("offsets", "announced", "status"),
    [
        (OffsetRange(0, 1000), 4321, 410),
        (OffsetRange(1999, 2999), 4321, 410),
        (OffsetRange(2000, 3000), 4321, None),
        (OffsetRange(4000, 5000), 4321, None),
        (OffsetRange(4321, 5321), 4321, None),
        (OffsetRange(9000, 9999), 4321, None),
        (OffsetRange(3300, 4300), 9000, None),
        (OffsetRange(4000, 5000), 9000, 500),
        (OffsetRange(8500, 9500), 9000, 500),
        (OffsetRange(9000, 9999), 9000, None),
    ],
)
def test_a_range_that_could_lack_a_change_is_no_empty_reply(
    offsets: OffsetRange, announced: int, status: int | None
) -> None:
    if status is None:
        check_coverage(manifest(), offsets, announced)
        return
    with pytest.raises(BadRequest) as caught:
        check_coverage(manifest(), offsets, announced)
    assert caught.value.status == status


def numbers(text: bytes) -> list[int]:
    return [change["offset"] for change in msgspec.json.decode(b"[%s]" % text)]


@pytest.mark.parametrize("with_empties", [True, False])
def test_each_range_of_a_segment_has_its_changes_and_no_other(with_empties: bool) -> None:
    texts = change_texts(LINES, with_empties=with_empties)
    offsets = [2, 3, 5, 6, 9, 10, 12] if with_empties else [2, 5, 9, 12]
    for after in range(14):
        for to in range(after, 15):
            begin, end = texts.span(OffsetRange(after, to))
            assert numbers(texts.text[begin:end]) == [each for each in offsets if after < each <= to]


def test_changes_are_the_same_bytes_as_in_the_feed() -> None:
    texts = change_texts(LINES, with_empties=True)
    assert texts.text.split(b",{") == [LINES[0][1], *(line[1:] for _, line in LINES[1:])]


def test_what_cannot_be_read_as_an_update_is_no_empty_one() -> None:
    odd = [(1, b'{"offset":1,"type":"update","operations":{}}'), (2, b'{"offset":2,"type":7}')]
    assert numbers(change_texts(odd, with_empties=False).text) == [1, 2]
