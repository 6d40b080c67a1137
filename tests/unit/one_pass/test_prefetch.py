"""The next range is asked for while the last one is written: once, none too many, and nothing shows early."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from ctisync.core.model import Change, OffsetRange, Record, Write
from ctisync.core.state import ConsumerState, Cooldown, FailedChange
from ctisync.errors import (
    Blocked,
    CtisyncError,
    FeedRefused,
    FeedUnreachable,
    ReplyTooLarge,
    StoreUnavailable,
)
from tests.support.memory_feed import MemoryFeed
from tests.support.memory_store import MemoryWriter
from tests.unit.one_pass.stage import CONSUMER, Stage
from tests.unit.one_pass.test_feed_trouble import too_large_above

Parts = Iterator[tuple[Sequence[str], dict[str, Record]]]


@pytest.fixture
def behind(following: Stage) -> Stage:
    """Two whole ranges and a part of one behind, with an update in each that can be done but once."""
    for number in range(2):
        once = {"op": "test", "path": "/n", "value": number}
        following.server.history.update("CVE-1", [once, {"op": "replace", "path": "/n", "value": number + 1}])
        following.server.history.gap(999)
    following.server.history.create("CVE-3")
    return following


def requested_ranges(stage: Stage) -> list[tuple[int, int]]:
    """The ranges that the server is asked for from now on; a gap at the end of one asks again from there."""
    ranges = []
    answered = stage.server.changes

    def changes(after: int, to: int) -> list[Any]:
        ranges.append((after, to))
        return answered(after, to)

    stage.server.changes = changes  # type: ignore[method-assign]
    return ranges


def test_each_range_is_requested_once_and_none_beyond_the_feeds_last_offset(behind: Stage) -> None:
    ranges = requested_ranges(behind)
    behind.run()
    assert ranges == [(3, 1003), (4, 1003), (1003, 2003), (1004, 2003), (2003, 2004)]
    assert behind.state.offset == 2004
    assert list(behind.store.export(CONSUMER)) == sorted(behind.server.history.expected_records().values())


def test_the_next_range_is_prefetched_when_the_last_one_is_folded_and_not_written_yet(behind: Stage) -> None:
    behind.run()
    first = behind.effects.index("changes")
    assert behind.effects[first : first + 11] == [
        *("changes", "read_in_parts", "prefetch", "apply") * 2,
        *("changes", "read_in_parts", "apply"),
    ]


def refused_above(stage: Stage, offset: int, failure: CtisyncError) -> None:
    answered = stage.server.changes

    def changes(after: int, to: int) -> list[Any]:
        if after >= offset:
            raise failure
        return answered(after, to)

    stage.server.changes = changes  # type: ignore[method-assign]


@pytest.mark.parametrize("failure", [FeedUnreachable("429", cooldown=3600.0), FeedRefused("no JSON")])
def test_what_stands_in_its_way_is_raised_after_the_range_before_it_is_stored_and_sent(
    behind: Stage, failure: CtisyncError
) -> None:
    refused_above(behind, 1003, failure)
    with pytest.raises(type(failure)) as raised:
        behind.run()
    assert raised.value is failure
    assert behind.state.offset == 1003
    assert behind.commands.offsets == [1003]


def test_a_cool_down_that_a_prefetch_met_is_kept(behind: Stage) -> None:
    refused_above(behind, 1003, FeedUnreachable("429", cooldown=3600.0))
    with pytest.raises(FeedUnreachable):
        behind.run()
    assert behind.state.cooldown == Cooldown(behind.clock.now() + timedelta(hours=1), "429")


def test_a_range_that_cannot_be_stored_is_what_the_pass_ends_with(
    behind: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Be the feed in trouble as well: who looks into the feed's trouble would look in the wrong place."""
    refused_above(behind, 1003, FeedUnreachable("429", cooldown=3600.0))
    monkeypatch.setattr(MemoryWriter, "apply", _full)
    with pytest.raises(StoreUnavailable):
        behind.run()
    assert (behind.state.offset, behind.state.cooldown) == (3, None)


def _full(_self: MemoryWriter, _writes: Sequence[Write], _after: ConsumerState, *meanwhile: Any) -> bool:
    for each in meanwhile:
        each()
    raise StoreUnavailable("no space left")


def test_the_next_range_is_folded_before_the_last_one_is_stored(
    behind: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node and ctisync would wait for each other in turn."""
    stood: list[int] = []
    read_in_parts = MemoryWriter.read_in_parts

    def noted(self: MemoryWriter, names: Sequence[str]) -> Parts:
        stood.append(self.state.offset)
        yield from read_in_parts(self, names)

    monkeypatch.setattr(MemoryWriter, "read_in_parts", noted)
    behind.run()
    assert stood == [3, 3, 1003]


def test_a_store_that_fails_ahead_is_an_error_after_the_range_before_it_is_stored(
    behind: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_in_parts, failure = MemoryWriter.read_in_parts, StoreUnavailable("no answer")
    reads: list[int] = []

    def failing(self: MemoryWriter, names: Sequence[str]) -> Parts:
        reads.append(len(reads))
        if len(reads) == 2:
            raise failure
        yield from read_in_parts(self, names)

    monkeypatch.setattr(MemoryWriter, "read_in_parts", failing)
    with pytest.raises(StoreUnavailable) as raised:
        behind.run()
    assert raised.value is failure
    assert (behind.state.offset, len(reads)) == (1003, 2)


def test_a_change_that_cannot_be_applied_ahead_is_met_when_its_turn_comes(behind: Stage) -> None:
    """Everything before it is stored, and sent."""
    poison = behind.server.history.poison("CVE-2")
    with pytest.raises(Blocked, match=f"change {poison} of CVE-2"):
        behind.run()
    assert (behind.state.offset, behind.commands.offsets[-1]) == (poison - 1, poison - 1)


def test_what_was_folded_ahead_is_forgotten_when_a_write_is_unconfirmed(
    behind: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = MemoryWriter.apply

    def doubting(self: MemoryWriter, *args: Any) -> bool:
        apply(self, *args)
        return False

    monkeypatch.setattr(MemoryWriter, "apply", doubting)
    behind.run()
    assert behind.effects.count("read_in_parts") == 5
    assert list(behind.store.export(CONSUMER)) == sorted(behind.server.history.expected_records().values())


def test_what_was_folded_ahead_is_not_applied_to_another_content(
    behind: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A content that waits at a failed change may initialise again as soon as the interval has passed: here
    between two ranges, and to where the next one begins."""
    failed = FailedChange(5000, "CVE-2", 0, "why", "digest", "old", reinitialised=True, blocked=True)
    behind.put(failed=failed, reinitialised_at=behind.clock.now() - timedelta(hours=23, minutes=59))
    history = behind.server.history
    behind.server.offer_snapshot(1003)
    apply = MemoryWriter.apply

    def slow(self: MemoryWriter, *args: Any) -> bool:
        behind.clock.advance(minutes=2)
        return apply(self, *args)

    monkeypatch.setattr(MemoryWriter, "apply", slow)
    behind.run()
    after_load = behind.effects[behind.effects.index("publish") :]
    assert after_load[: after_load.index("apply")].count("read_in_parts") == 1
    assert list(behind.store.export(CONSUMER)) == sorted(history.expected_records().values())


def test_after_a_range_that_was_too_large_nothing_is_prefetched(behind: Stage) -> None:
    too_large_above(behind, 600)
    behind.run()
    assert behind.state.offset == 2004
    assert behind.effects.index("prefetch") < behind.effects.index("writer")
    assert behind.effects.count("prefetch") == 1, "before the lease alone"
    assert [fields["range"] for fields in behind.log.named("range-halved")] == [
        "(3, 503]",
        "(503, 1003]",
        "(1003, 1503]",
    ]


def test_a_range_that_is_too_large_ahead_is_halved_when_its_turn_comes(behind: Stage) -> None:
    answered = behind.server.changes
    ranges = []

    def changes(after: int, to: int) -> list[Any]:
        ranges.append((after, to))
        if after >= 1003 and to - after > 600:
            raise ReplyTooLarge("too much")
        return answered(after, to)

    behind.server.changes = changes  # type: ignore[method-assign]
    behind.run()
    assert behind.state.offset == 2004
    assert [fields["range"] for fields in behind.log.named("range-halved")] == ["(1003, 1503]"]
    assert ranges[2:] == [(1003, 2003), (1003, 1503), (1004, 1503), (1503, 2004)]


class Reply(list[Change]):
    """Changes of which can be told whether anybody still holds them."""


def test_while_a_range_is_written_only_the_next_changes_are_in_memory(
    behind: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoded, they take a multiple of the reply's bytes."""
    replies: list[weakref.ref[Reply]] = []
    decoded: list[int] = []
    written = MemoryWriter.apply

    class CountedFeed(MemoryFeed):
        def _fetch_changes(self, offsets: OffsetRange) -> list[Change]:
            reply = Reply(super()._fetch_changes(offsets))
            replies.append(weakref.ref(reply))
            return reply

    def apply(self: MemoryWriter, *args: Any) -> bool:
        decoded.append(sum(reply() is not None for reply in replies))
        return written(self, *args)

    monkeypatch.setattr("tests.unit.one_pass.stage.MemoryFeed", CountedFeed)
    monkeypatch.setattr(MemoryWriter, "apply", apply)
    behind.run()
    assert decoded == [1, 1, 0]
