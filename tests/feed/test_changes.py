"""A range of changes is complete and in order, or it is refused; a gap is never guessed."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from ctisync.core.model import OffsetRange
from ctisync.errors import FeedRefused
from ctisync.feed.client import CtiFeed
from tests.support import feed_failures as failures
from tests.support.clock import FakeClock
from tests.support.feed_simulator import FeedSimulator

Json = Any


def _five(sim: FeedSimulator) -> None:
    for number in range(5):
        sim.history.create(f"CVE-2024-{number}", {"n": number})


def _requested_ranges(sim: FeedSimulator) -> list[tuple[int, int]]:
    return [request.range for request in sim.requests_for("changes")]


def test_each_kind_of_change_is_read_as_it_is(sim: FeedSimulator, feed: CtiFeed) -> None:
    operations = [{"op": "add", "path": "/ж", "value": [1, None, {"": "é"}]}]
    sim.history.create("CVE-2024-1", {"n": 1})
    sim.history.update("CVE-2024-1", operations)
    sim.history.delete("CVE-2024-1")
    sim.history.edit(1003, payload=None, operations=None)
    create, update, delete = feed.changes(OffsetRange(1000, 1003))
    assert (create.type, create.offset, create.version, create.payload) == ("create", 1001, 1, {"n": 1})
    assert (update.type, update.offset, update.version, update.operations) == ("update", 1002, 2, operations)
    assert (delete.type, delete.offset, delete.payload, delete.operations) == ("delete", 1003, None, None)
    assert {change.resource for change in (create, update, delete)} == {"CVE-2024-1"}
    assert _requested_ranges(sim) == [(1000, 1003)]


def test_a_request_for_changes_has_no_parameter_that_no_signature_covers(
    sim: FeedSimulator, feed: CtiFeed
) -> None:
    feed.changes(OffsetRange(1000, 1005))
    assert sim.requests[0].query == {"from_offset": "1000", "to_offset": "1005"}


def test_numbers_keep_their_value(sim: FeedSimulator, feed: CtiFeed) -> None:
    payload = {"a": Decimal("9.30"), "b": 2**53 + 1, "c": 2**64 + 1, "d": 10**30, "e": Decimal("1E-400")}
    sim.history.create("CVE-2024-1", payload)
    (change,) = feed.changes(OffsetRange(1000, 1001))
    assert change.payload == payload
    assert str(change.payload["a"]) == "9.30"


def test_a_reply_that_stops_short_is_gone_on_with(sim: FeedSimulator, feed: CtiFeed) -> None:
    _five(sim)
    sim.fail("changes", failures.only_first(2))
    sim.fail("changes", failures.only_first(1))
    changes = feed.changes(OffsetRange(1000, 1005))
    assert [change.offset for change in changes] == [1001, 1002, 1003, 1004, 1005]
    assert _requested_ranges(sim) == [(1000, 1005), (1002, 1005), (1003, 1005)]


def test_a_gap_at_the_end_is_requested_twice(sim: FeedSimulator, feed: CtiFeed) -> None:
    _five(sim)
    sim.history.gap(3)
    assert [change.offset for change in feed.changes(OffsetRange(1000, 1008))][-1] == 1005
    assert _requested_ranges(sim) == [(1000, 1008), (1005, 1008)]


def test_a_range_that_seems_empty_is_requested_twice(sim: FeedSimulator, feed: CtiFeed) -> None:
    sim.history.gap(5)
    assert feed.changes(OffsetRange(1000, 1005)) == []
    assert _requested_ranges(sim) == [(1000, 1005), (1000, 1005)]


def test_an_empty_reply_that_was_wrong_loses_no_change(sim: FeedSimulator, feed: CtiFeed) -> None:
    _five(sim)
    sim.fail("changes", failures.only_first(0))
    sim.fail("changes", failures.only_first(2))
    assert len(feed.changes(OffsetRange(1000, 1005))) == 5


def test_gaps_within_a_range_need_no_second_question(sim: FeedSimulator, feed: CtiFeed) -> None:
    sim.history.gap(2)
    _five(sim)
    assert len(feed.changes(OffsetRange(1000, 1007))) == 5
    assert _requested_ranges(sim) == [(1000, 1007)]


@pytest.mark.parametrize(
    "document",
    [b"{}", b'{"data": null}', b'{"data": {}}', b'{"data": "x"}', b"[]", b"null", b'{"error": "sorry"}'],
)
def test_a_reply_without_the_array_is_refused_and_never_a_gap(
    sim: FeedSimulator, feed: CtiFeed, clock: FakeClock, document: bytes
) -> None:
    _five(sim)
    sim.fail("changes", failures.body(document))
    with pytest.raises(FeedRefused, match=r"changes \(1000, 1005\].*`data` array"):
        feed.changes(OffsetRange(1000, 1005))
    assert len(sim.requests) == 1
    assert clock.slept == []


def test_a_missing_array_in_the_confirming_reply_is_no_confirmation(
    sim: FeedSimulator, feed: CtiFeed
) -> None:
    _five(sim)
    sim.fail("changes", failures.only_first(2))
    sim.fail("changes", failures.without_data())
    with pytest.raises(FeedRefused, match="data"):
        feed.changes(OffsetRange(1000, 1005))


def _swap(changes: Json) -> Json:
    return [changes[1], changes[0], *changes[2:]]


def _repeat(changes: Json) -> Json:
    return [changes[0], *changes]


def _too_low(changes: Json) -> Json:
    return [{**changes[0], "offset": 1000}, *changes[1:]]


def _too_high(changes: Json) -> Json:
    return [*changes, {**changes[0], "offset": 1006}]


@pytest.mark.parametrize(
    ("edit", "offsets"),
    [
        (_swap, "1001 follows 1002"),
        (_repeat, "1001 follows 1001"),
        (_too_low, "1000"),
        (_too_high, "1006 follows 1005"),
    ],
)
def test_changes_out_of_order_or_out_of_range_are_refused_by_offset(
    sim: FeedSimulator, feed: CtiFeed, clock: FakeClock, edit: Callable[[Json], Json], offsets: str
) -> None:
    _five(sim)
    sim.fail("changes", failures.data(edit))
    with pytest.raises(FeedRefused, match=offsets):
        feed.changes(OffsetRange(1000, 1005))
    assert clock.slept == []


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("type", "rename", "rename"),
        ("type", None, "type"),
        ("resource", None, "resource"),
        ("resource", 7, "resource"),
        ("resource", "x" * 513, "513 bytes"),
        ("offset", "1003", "offset"),
        ("offset", None, "offset"),
        ("payload", [], "payload"),
    ],
)
def test_a_change_that_is_none_is_refused_with_its_range(
    sim: FeedSimulator, feed: CtiFeed, field: str, value: Json, words: str
) -> None:
    _five(sim)
    sim.history.edit(1003, **{field: value})
    with pytest.raises(FeedRefused, match=words) as caught:
        feed.changes(OffsetRange(1000, 1005))
    assert "(1000, 1005]" in caught.value.message


def test_an_element_that_is_no_object_is_refused(sim: FeedSimulator, feed: CtiFeed) -> None:
    _five(sim)
    sim.fail("changes", failures.data(lambda changes: [None, *changes]))
    with pytest.raises(FeedRefused, match="not an object"):
        feed.changes(OffsetRange(1000, 1005))


@pytest.mark.parametrize("offsets", [OffsetRange(0, 1001), OffsetRange(5, 5), OffsetRange(5, 4)])
def test_a_range_that_the_api_would_refuse_is_never_requested(
    sim: FeedSimulator, feed: CtiFeed, offsets: OffsetRange
) -> None:
    with pytest.raises(ValueError, match="no range"):
        feed.changes(offsets)
    assert sim.requests == []
