"""The facts index follows the content: filled last, never a reason why content or command wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ctisync.core.model import Consumer
from ctisync.core.pass_report import FactsFill
from ctisync.errors import (
    AnotherPass,
    CommandNotAccepted,
    CtisyncError,
    FeedUnreachable,
    ForeignIndex,
    StoreUnavailable,
)
from tests.support.memory_store import MemoryStorage, MemoryStore, MemoryWriter
from tests.unit.one_pass.stage import ABOUT, CONSUMER, Stage, in_order

Answer = FactsFill | CtisyncError | None


class FactsWriter(MemoryWriter):
    """`answer`: what a fill comes to."""

    answer: Answer = None

    def fill_facts(self, check: Callable[[], None]) -> FactsFill | None:
        check()
        if isinstance(self.answer, CtisyncError):
            raise self.answer
        return self.answer


class FactsStore(MemoryStore):
    """Its facts index is `behind` for a pass without a lease."""

    def __init__(self, storage: MemoryStorage, answer: Answer, *, behind: bool) -> None:
        super().__init__(storage)
        self._storage = storage
        self._answer = answer
        self._behind = behind

    def facts_behind(self, consumer: Consumer) -> bool:
        return self._behind

    @contextmanager
    def writer(self, consumer: Consumer) -> Iterator[MemoryWriter]:
        writer = FactsWriter(self._storage, consumer)
        writer.answer = self._answer
        yield writer


def answering(stage: Stage, answer: Answer, *, behind: bool = False) -> Stage:
    stage.store = FactsStore(stage.storage, answer, behind=behind)
    return stage


def test_it_is_filled_once_after_the_content_is_live_and_the_command_sent(stage: Stage) -> None:
    answering(stage, FactsFill(3)).run()
    assert in_order(stage.effects, "publish", "send_update", "fill_facts", "leave writer")
    assert stage.effects.count("fill_facts") == stage.effects.count("writer") == 1
    [filled] = stage.log.named("facts-index-filled")
    assert filled == ABOUT | {"offset": 3, "documents": 3}


def test_a_pass_with_nothing_new_takes_the_lease_only_if_the_index_is_behind(following: Stage) -> None:
    answering(following, FactsFill(3)).run()
    assert "writer" not in following.effects
    answering(following, FactsFill(is_removed=True), behind=True).run()
    assert in_order(following.effects, "consumer_info", "writer", "fill_facts", "leave writer")
    assert [event.name for event in following.shown] == ["feed-asked", "pass-ended", "facts-index-removed"]


@pytest.mark.parametrize(
    ("error", "level"), [(StoreUnavailable("no space left"), "warning"), (AnotherPass("theirs"), "info")]
)
def test_a_failure_that_passes_by_itself_is_logged_and_the_pass_succeeds(
    following: Stage, error: CtisyncError, level: str
) -> None:
    following.server.history.create("CVE-3")
    answering(following, error).run()
    assert (following.state.offset, following.state.owed, following.commands.offsets) == (4, None, [4])
    [event] = [each for each in following.log.events if each.name == "facts-index-behind"]
    assert event.level == level
    assert event.fields["why"] == error.message
    assert following.ended()["outcome"] == "up-to-date"


def test_what_only_the_operator_can_resolve_ends_the_pass_when_all_else_is_done(following: Stage) -> None:
    following.server.history.create("CVE-3")
    with pytest.raises(ForeignIndex):
        answering(following, ForeignIndex("theirs")).run()
    assert (following.state.offset, following.state.owed, following.commands.offsets) == (4, None, [4])
    assert following.ended()["outcome"] == "up-to-date"


def test_a_refused_command_is_the_error_of_the_pass_and_the_index_is_filled_nevertheless(
    following: Stage,
) -> None:
    following.server.history.create("CVE-3")
    following.commands.refusals = 1
    with pytest.raises(CommandNotAccepted):
        answering(following, FactsFill(1)).run()
    assert following.log.named("facts-index-filled")


def test_a_feed_that_fails_after_some_ranges_does_not_leave_the_index_behind(following: Stage) -> None:
    following.server.history.create("CVE-3")
    following.server.history.gap(1000)
    following.server.history.create("CVE-4")
    answered = following.server.changes

    def changes(after: int, to: int) -> object:
        if to > 1003:
            raise FeedUnreachable("reset")
        return answered(after, to)

    following.server.changes = changes  # type: ignore[method-assign, assignment]
    with pytest.raises(FeedUnreachable):
        answering(following, FactsFill(1)).run()
    assert following.store.read_state(CONSUMER).offset == 1003
    assert in_order(following.effects, "apply", "send_update", "fill_facts")
