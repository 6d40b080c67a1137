"""Made-up lives of feed, passes and Command Manager on each store; the machine says what must hold.

`MODEL_SEQUENCES=10000` runs so many of them on each store instead of the short list.
"""

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from ctisync.core.model import Consumer
from ctisync.stores.sqlite.store import SqliteStore
from tests.properties.machine import ModelMachine
from tests.properties.model import at
from tests.stores import opensearch_kit as kit
from tests.support.clock import FakeClock
from tests.support.long import some
from tests.support.memory_store import MemoryStorage, MemoryStore
from tests.support.opensearch_node import OpenSearchNode

STEPS = 40
SEQUENCES = os.environ.get("MODEL_SEQUENCES")


def run(make: Callable[[], ModelMachine], sequences: int) -> None:
    chosen = int(SEQUENCES) if SEQUENCES else len(some(range(sequences), 10))
    options = settings(max_examples=chosen, stateful_step_count=STEPS)
    run_state_machine_as_test(make, settings=options)  # type: ignore[arg-type]  # any maker will do


def test_whatever_happens_in_whatever_order_the_promises_hold_in_memory() -> None:
    run(lambda: ModelMachine(partial(MemoryStore, MemoryStorage()), Consumer()), 1000)


def test_of_two_changes_that_hide_each_other_neither_has_the_snapshot_fetched_again_and_again() -> None:
    """Seen by the machine: from the snapshot on, the first one fails; with the delete behind it in the same
    range, only the second one does."""
    machine = ModelMachine(partial(MemoryStore, MemoryStorage()), Consumer())
    machine.begin(reset="refuse", hours=0, late=False)
    machine.feed_lives_on_and_a_pass_runs(kinds=["create"], mode="sync", name="a", pick=0)
    machine.feed_lives_on(kinds=["far gap", "create", "far gap", "delete"], name="A", pick=0)
    machine.feed_poisons_its_past(pick=0)
    machine.feed_lives_on_and_a_pass_runs(kinds=["poison"], mode="sync", name="A", pick=0)
    machine.a_blocked_content_is_tried_again()


def test_nor_when_the_second_change_lies_in_a_later_range_than_the_delete_that_hides_the_first() -> None:
    """The content then advances over the first one, and what was tried because of it is still known."""
    machine = ModelMachine(partial(MemoryStore, MemoryStorage()), Consumer())
    machine.begin(reset="refuse", hours=0, late=False)
    machine.feed_lives_on_and_a_pass_runs(kinds=["create"], mode="sync", name="a", pick=0)
    for kind in ("far gap", "poison"):
        machine.feed_lives_on(kinds=[kind], name="A", pick=0)
    machine.a_pass_runs("sync")
    for kind in ("far gap", "delete", "far gap", "poison"):
        machine.feed_lives_on(kinds=[kind], name="A", pick=0)
    machine.a_blocked_content_is_tried_again()


def test_whatever_happens_in_whatever_order_the_promises_hold_on_sqlite(tmp_path: Path) -> None:
    def make() -> ModelMachine:
        path = Path(tempfile.mkdtemp(dir=tmp_path)) / "ctisync.db"
        return ModelMachine(lambda: SqliteStore(path, FakeClock()), Consumer())

    run(make, 60)


def test_whatever_happens_in_whatever_order_the_promises_hold_on_opensearch(
    opensearch_2: OpenSearchNode,
) -> None:
    def make() -> ModelMachine:
        consumer = kit.new_consumer()
        return ModelMachine(
            lambda: kit.open_store(opensearch_2),
            consumer,
            prepare_look=lambda: kit.refresh(opensearch_2, consumer),
            looks_within=False,
        )

    run(make, 6)


@pytest.mark.parametrize("on_feed_reset", ["refuse", "init"])
def test_whoever_was_overtaken_after_asking_the_feed_does_not_take_it_for_one_that_went_back(
    on_feed_reset: str,
) -> None:
    """Its last offset, as told before, lies below what the other pass has stored since"""
    machine = ModelMachine(partial(MemoryStore, MemoryStorage()), Consumer())
    machine.begin(reset=on_feed_reset, hours=24, late=False)
    machine.feed_lives_on_and_a_pass_runs(["update"], 0, "A", "sync")
    machine.feed_lives_on(["update"], 0, "A")
    after_the_answer = 4

    def overtaken() -> None:
        machine.feed_lives_on_and_a_pass_runs(["update"], 0, "A", "sync")

    assert machine._run("sync", at(after_the_answer, overtaken)) is None
    machine.readers_are_well()
    machine.the_state_is_true()
    assert len(machine.server.downloads) == 1
