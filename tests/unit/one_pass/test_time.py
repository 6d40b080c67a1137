"""Work in memory ends with the time of the pass, keeps the lease, and fits the memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from ctisync.core.limits import Limits
from ctisync.core.model import Json, Record
from ctisync.errors import FeedUnreachable, ReplyTooLarge
from tests.support.memory_store import MemoryWriter
from tests.unit.one_pass.stage import CONSUMER, Stage

SECONDS = 10.0


@pytest.fixture
def slow(following: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Each record takes four seconds, and three records change in each of two ranges."""

    at_once = MemoryWriter.read_in_parts

    def read_in_parts(
        self: MemoryWriter, names: Sequence[str]
    ) -> Iterator[tuple[Sequence[str], dict[str, Record]]]:
        for name in names:
            following.clock.advance(seconds=4)
            yield from at_once(self, [name])

    monkeypatch.setattr(MemoryWriter, "read_in_parts", read_in_parts)
    for number in range(2):
        for name in ("CVE-1", "CVE-2", "TID-1"):
            following.server.history.update(name, [{"op": "replace", "path": "/n", "value": number}])
        following.server.history.gap(997)
    return following


def test_a_fold_beyond_the_time_of_the_pass_ends_it_and_writes_nothing(slow: Stage) -> None:
    with pytest.raises(FeedUnreachable, match=r"longer than limits\.pass_seconds, 10 s"):
        slow.run(limits=Limits(pass_seconds=SECONDS))
    assert slow.state.offset == 3
    assert "apply" not in slow.effects
    assert slow.state.cooldown is None, "nobody asked for one"
    slow.run()
    assert slow.state.offset == 2003


def test_a_fold_ahead_beyond_the_time_of_the_pass_ends_it_after_the_range_before_is_stored_and_sent(
    slow: Stage,
) -> None:
    with pytest.raises(FeedUnreachable, match=r"limits\.pass_seconds"):
        slow.run(limits=Limits(pass_seconds=2 * SECONDS))
    assert slow.state.offset == 1003
    assert slow.commands.offsets == [1003]


def test_the_lease_is_kept_while_a_range_is_folded(slow: Stage) -> None:
    slow.run()
    first = slow.effects.index("read_in_parts")
    assert slow.effects[first : slow.effects.index("apply")].count("keep_alive") == 3


def grow(stage: Stage, names: Sequence[str]) -> None:
    """Some hundred bytes of changes make 100 kB of each record."""
    doubled: Json = [{"op": "add", "path": "/l", "value": ["x" * 100]}]
    doubled += [{"op": "copy", "from": "/l", "path": "/l/-"}] * 10
    for name in names:
        stage.server.history.update(name, doubled)


def test_a_range_whose_records_would_fill_the_memory_is_applied_in_parts(following: Stage) -> None:
    grow(following, ["CVE-1", "CVE-2", "TID-1"])
    following.server.history.gap(1)
    following.run(limits=Limits(reply_bytes=30_000))
    assert following.state.offset == 7
    halved = following.log.named("range-halved")
    assert [fields["range"] for fields in halved] == ["(3, 5]", "(3, 4]", "(4, 6]", "(4, 5]"]
    assert "more than 120000 bytes (4 times limits.reply_bytes)" in halved[0]["why"]
    expected = sorted(following.server.history.expected_records().values())
    assert list(following.store.export(CONSUMER)) == expected


def test_a_range_that_may_be_half_written_is_not_applied_in_parts(following: Stage) -> None:
    grow(following, ["CVE-1", "CVE-2"])
    following.put(range_to=5)
    with pytest.raises(ReplyTooLarge):
        following.run(limits=Limits(reply_bytes=30_000))
    assert following.state.offset == 3
