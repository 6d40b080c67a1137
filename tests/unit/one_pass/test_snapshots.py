"""Which snapshots a pass loads: what is refused stays refused, what is given as a file is loaded as it is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ctisync.core.model import Consumer, Snapshot
from ctisync.core.state import ConsumerState, RefusedSnapshot
from ctisync.core.steps import Policy
from ctisync.errors import ConfigurationError, SnapshotRefused
from ctisync.ports import CommandManager
from ctisync.sync.run_pass import run_pass
from tests.support.memory_feed import MemoryFeed, MemorySnapshot
from tests.support.memory_store import MemoryStore
from tests.support.one_pass import good, parts_of
from tests.unit.one_pass.stage import ABOUT, CONSUMER, Stage, in_order


def test_a_refused_snapshot_is_remembered_and_removed_and_not_fetched_again_by_itself(stage: Stage) -> None:
    link = stage.server.offer_snapshot(damaged=True)
    with pytest.raises(SnapshotRefused, match="damaged"):
        stage.run()
    assert stage.state.refused is not None
    assert (stage.state.refused.link, stage.state.refused.reason) == (
        link,
        "the snapshot's end is damaged, or there is nothing in it",
    )
    assert in_order(stage.effects, "records", "save", "discard"), "remembered before it is gone"
    assert stage.state.offset == 0
    with pytest.raises(SnapshotRefused, match="refused before"):
        stage.run()
    assert stage.server.downloads == [link]


@pytest.mark.parametrize("body", [("etag", 12), None], ids=["by its download", "by its address"])
def test_a_snapshot_that_is_refused_before_it_is_there_is_remembered_when_it_can_be_recognised(
    stage: Stage, body: tuple[str, int] | None
) -> None:
    def snapshot(link: str) -> Any:
        raise SnapshotRefused("too large", body=body)

    stage.server.snapshot = snapshot  # type: ignore[method-assign]
    with pytest.raises(SnapshotRefused, match="too large"):
        stage.run()
    remembered = RefusedSnapshot(str(stage.server.link), "etag", 12, "too large")
    assert stage.state.refused == (remembered if body is not None else None)


def test_a_load_whose_snapshot_is_exchanged_meanwhile_begins_anew_with_the_whole_file(stage: Stage) -> None:
    stage.server.exchanged = True
    stage.run()
    assert stage.state.offset == 3
    assert stage.commands.offsets == [3]
    assert stage.log.named("load-begun-anew") == [{**ABOUT, "why": "it is another file now"}]
    of_the_file = {"open_snapshot", "leave load", "close", "fetch_snapshot", "publish", "discard"}
    assert [name for name in stage.effects if name in of_the_file] == [
        *("open_snapshot", "leave load", "close"),
        *("fetch_snapshot", "publish", "leave load", "discard", "close"),
    ]


def test_what_is_exchanged_for_something_refused_is_remembered(stage: Stage) -> None:
    link = stage.server.offer_snapshot(damaged=True)
    stage.server.exchanged = True
    with pytest.raises(SnapshotRefused, match="damaged"):
        stage.run()
    assert stage.state.refused is not None
    assert stage.state.refused.link == link
    assert stage.state.offset == 0
    assert stage.server.downloads == [link, link]


def test_an_operator_may_have_a_refused_snapshot_fetched_again(stage: Stage) -> None:
    assert stage.server.link is not None
    stage.put(refused=RefusedSnapshot(stage.server.link, None, None, "damaged"))
    stage.run(mode="init-snapshot")
    assert stage.state.offset == 3
    assert stage.state.refused is None
    assert stage.ended()["outcome"] == "initialised"
    assert "tidy" in stage.effects


def test_a_snapshot_may_hold_what_the_feed_had_when_it_answered_and_nothing_newer(stage: Stage) -> None:
    """It is written while the feed goes on."""
    stage.server.history.update("CVE-1", [])
    offered = stage.server.offered
    assert offered is not None
    assert stage.server.link is not None
    newer = list(stage.server.history.expected_records(4).values())
    stage.server.snapshots[stage.server.link] = replaced(offered, newer)
    stage.run()
    assert stage.state.offset == 4
    stage.server.history.update("CVE-1", [])
    newest = list(stage.server.history.expected_records(5).values())
    stage.server.last_offset = 4
    stage.server.snapshots[stage.server.link] = replaced(offered, newest)
    with pytest.raises(SnapshotRefused, match="above offset 4"):
        stage.run(mode="init-snapshot")


def replaced(offered: Any, lines: list[bytes]) -> Any:
    return type(offered)(offered.history, offered.offset, lines, offered.damaged)


def test_resources_that_fit_nothing_in_the_snapshot_leave_the_store_as_it_is(stage: Stage) -> None:
    nothing = msgspec.structs.replace(CONSUMER, resources=("XYZ-*",))
    with pytest.raises(ConfigurationError, match=r"no record of the snapshot \(3 records\) .* \['XYZ-\*'\]"):
        stage.run(consumer=nothing)
    assert "publish" not in stage.effects
    assert "discard" not in stage.effects, "it is sound, and need not be downloaded again"
    assert stage.state.content is False


def test_only_selected_resources_are_loaded_and_counted(stage: Stage) -> None:
    stage.run(consumer=msgspec.structs.replace(CONSUMER, resources=("CVE-*",)))
    assert stage.log.named("initialised")[0]["records"] == 2
    assert stage.store.summary(CONSUMER).records == 2


def load_into(stage: Stage, store: MemoryStore, commands: CommandManager | None) -> None:
    """What the feed offers, given as a file that stands at offset 3."""
    assert stage.server.offered is not None
    parts = parts_of(
        CONSUMER,
        feed=MemoryFeed(stage.server),
        store=store,
        commands=commands,
        clock=stage.clock,
        log=stage.log,
        policy=Policy(mode="init-snapshot"),
    )
    good(run_pass(parts, Snapshot("file:3.zip", 3), MemorySnapshot("file:3.zip", stage.server.offered)))


def test_a_snapshot_file_is_loaded_without_a_request_to_the_feed_and_left_where_it_lies(stage: Stage) -> None:
    load_into(stage, stage.store, stage.commands)
    assert (stage.state.offset, stage.state.last_offset) == (3, None)
    assert stage.commands.offsets == [3]
    assert stage.ended()["outcome"] == "initialised"


class Overtaken(MemoryStore):
    """Another pass has initialised between our look and our lease."""

    def read_state(self, consumer: Consumer) -> ConsumerState:
        return ConsumerState()


def test_a_snapshot_file_is_loaded_also_when_another_pass_came_between(following: Stage) -> None:
    """The word that it brings is its own, not an old one of the feed's."""
    load_into(following, Overtaken(following.storage), None)
    assert following.store.read_state(CONSUMER).offset == 3


def test_lines_that_contradict_each_other_are_logged_and_repeated_ones_are_not(stage: Stage) -> None:
    assert stage.server.offered is not None
    lines = stage.server.offered.lines
    lines += [lines[0], lines[0].replace(b'"n":', b'"m":')]
    stage.run()
    assert [event for event in stage.log.events if event.name == "lines-ambiguous"] == [
        ("warning", "lines-ambiguous", ABOUT | {"lines": 1})
    ]
