"""The simulated feed tells one story: a snapshot and the changes after it lead to what it expects."""

import subprocess
import sys
from typing import Any

import jsonpatch

from ctisync.core.model import OffsetRange
from ctisync.feed.client import CtiFeed
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.records import comparable, encode

Json = Any


def test_a_snapshot_and_all_changes_after_it_give_the_expected_records(
    sim: FeedSimulator, feed: CtiFeed
) -> None:
    populate(sim.history, 50)
    churn(sim.history, 100, seed=5)
    sim.publish_snapshot()
    churn(sim.history, 500, seed=6)
    info = feed.consumer_info()
    assert info.snapshot is not None
    assert info.last_offset is not None
    file = feed.fetch_snapshot(info.snapshot, None, lambda: None)
    content = {
        record.name: comparable(record.line)
        for batch in file.records(info.snapshot.offset)
        for record in batch
    }
    assert content == {
        name: comparable(line) for name, line in sim.expected_records(info.snapshot.offset).items()
    }
    kinds = set()
    for change in feed.changes(OffsetRange(info.snapshot.offset, info.last_offset)):
        kinds.add(change.type)
        if change.type == "delete":
            del content[change.resource]
        elif change.type == "create":
            content[change.resource] = {"payload": comparable(encode(change.payload))}
        else:
            operations = comparable(encode(change.operations))
            content[change.resource]["payload"] = jsonpatch.apply_patch(
                content[change.resource]["payload"], operations
            )
    assert kinds == {"create", "update", "delete"}
    expected = {name: comparable(line)["payload"] for name, line in sim.expected_records().items()}
    assert {name: record["payload"] for name, record in content.items()} == expected


def test_a_feed_that_lives_on_has_gaps_and_changes_records_again_within_a_range(sim: FeedSimulator) -> None:
    populate(sim.history, 50)
    churn(sim.history, 900)
    changes = sim.history.served(1050, 2050)
    assert len(changes) < sim.history.last_offset - 1050
    assert len({change["resource"] for change in changes}) < len(changes) / 2


def test_the_same_seed_makes_the_same_history() -> None:
    with FeedSimulator() as one, FeedSimulator() as other:
        for sim in (one, other):
            populate(sim.history, 20)
            churn(sim.history, 200, seed=3)
        assert one.expected_lines() == other.expected_lines()


def test_it_can_be_started_by_hand() -> None:
    command = [sys.executable, "-m", "tests.support.feed_simulator", "--records", "3", "--changes", "5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        second = process.stdout.readline()
        process.terminate()
    assert "http://127.0.0.1:" in first
    assert "ctisync sync" in second
