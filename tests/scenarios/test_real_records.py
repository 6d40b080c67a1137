"""Real records go in and come out unchanged, however they are packed; a patch alters just what it names.

Where the ten real lines do not lie beside the checkout, the same tests run on made-up ones.
"""

import copy
from decimal import Decimal
from pathlib import Path

import pytest

from ctisync.core.model import Json, Snapshot
from ctisync.core.steps import Policy
from ctisync.feed.http.budget import PassLimits
from ctisync.feed.snapshot.file import open_file, snapshot_offset
from ctisync.sync.run_pass import run_pass
from ctisync.system.clock import SystemClock
from tests.support import records
from tests.support.feed_history import History
from tests.support.feed_simulator import SnapshotKind, zipped
from tests.support.memory_feed import MemoryFeed, MemoryServer
from tests.support.one_pass import good, parts_of
from tests.support.world import World

LINES = records.sample_lines()


def packed(lines: list[bytes], kind: SnapshotKind) -> bytes:
    match kind:
        case "zip":
            return zipped({"vd_1.0.0_vd_4.8.0_sample.json": b"\n".join(lines)})
        case "ndjson":
            return b"\r\n".join(lines) + b"\r\n"
        case "array":
            return b"[\n" + b",\n".join(lines) + b"\n]"


def by_name(lines: list[bytes]) -> list[Json]:
    """The lines' values, as an export must order them."""
    documents = [records.comparable(line) for line in lines]
    return sorted(documents, key=lambda record: record["name"].encode())


@pytest.mark.parametrize("kind", ["zip", "ndjson", "array"])
def test_real_records_from_a_file_are_exported_value_for_value(
    world: World, tmp_path: Path, kind: SnapshotKind
) -> None:
    path = tmp_path / "sample"
    path.write_bytes(packed(LINES, kind))
    file = open_file(path, PassLimits(SystemClock()))
    offset, how = snapshot_offset(file, path.name)
    assert how == "highest line"
    store = world.store()
    parts = parts_of(
        world.consumer,
        feed=MemoryFeed(MemoryServer(History(world.consumer.context))),
        store=store,
        commands=None,
        clock=world.clock,
        log=world.log,
        policy=Policy(mode="init-snapshot"),
    )
    good(run_pass(parts, Snapshot(str(path), offset), file))
    assert [records.comparable(line) for line in world.lines()] == by_name(LINES)
    assert world.state.offset == offset == max(int(record["offset"]) for record in by_name(LINES))
    assert path.exists(), "a given file is never removed"
    if kind != "array":
        assert sorted(world.lines()) == sorted(LINES), "lines are kept byte for byte"


@pytest.fixture
def loaded(world: World) -> World:
    """The sample and what a careless program alters, loaded from a feed that goes on from there."""
    awkward = [record.line for record in records.awkward() if record.name != "TID-0039"]
    names = {line["name"] for line in by_name(awkward)}
    lines = [line for line in LINES if records.comparable(line)["name"] not in names] + awkward
    highest = max(int(record["offset"]) for record in by_name(lines))
    world.feed.history = History(world.consumer.context, first_offset=highest)
    world.feed.publish_snapshot("array", body=packed(lines, "array"), offset=highest)
    assert world.run() is None
    assert [records.comparable(line) for line in world.lines()] == by_name(lines)
    return world


def test_a_series_of_patches_gives_the_result_worked_out_by_hand(loaded: World) -> None:
    before = {record["name"]: record for record in by_name(loaded.lines())}
    history = loaded.feed.history
    history.update("TID-0039", [{"op": "add", "path": "/action/-", "value": "last"}])
    history.update(
        "TID-0039",
        [
            {"op": "test", "path": "/action/0", "value": before["TID-0039"]["payload"]["action"][0]},
            {"op": "add", "path": "/action/0", "value": "first"},
            {"op": "replace", "path": "/source/product", "value": "^Téams ~ / \\d+$"},
        ],
    )
    history.update("TID-0039", [{"op": "move", "from": "/source/product", "path": "/a~1b~0c"}])
    last = history.update("TID-0039", [{"op": "add", "path": "/score", "value": Decimal("9.30")}])
    assert loaded.run() is None

    expected = copy.deepcopy(before)
    record = expected["TID-0039"]
    record["payload"]["action"] = ["first", *record["payload"]["action"], "last"]
    del record["payload"]["source"]["product"]
    record["payload"]["a/b~c"] = "^Téams ~ / \\d+$"
    record["payload"]["score"] = Decimal("9.3")
    record["offset"] = Decimal(last)
    record["version"] = Decimal(4)
    assert {record["name"]: record for record in by_name(loaded.lines())} == expected


def test_a_patched_record_keeps_its_numbers_and_keys_to_the_digit(loaded: World) -> None:
    loaded.feed.history.update("CVE-2024-90001", [{"op": "add", "path": "/new", "value": 2**70}])
    loaded.feed.history.update("CVE-2024-90002", [{"op": "remove", "path": "/a~1b"}])
    loaded.feed.history.update("CVE-2024-90006", [{"op": "remove", "path": "/containers/cna/descriptions/0"}])
    loaded.feed.history.update("ТИД-é-日本", [{"op": "copy", "from": "/text", "path": "/again"}])
    before = {record["name"]: record["payload"] for record in by_name(loaded.lines())}
    assert loaded.run() is None
    after = {record["name"]: record["payload"] for record in by_name(loaded.lines())}

    before["CVE-2024-90001"]["new"] = Decimal(2**70)
    del before["CVE-2024-90002"]["a/b"]
    del before["CVE-2024-90006"]["containers"]["cna"]["descriptions"][0]
    before["ТИД-é-日本"]["again"] = before["ТИД-é-日本"]["text"]
    assert after == before
    line = next(line for line in loaded.lines() if b'"CVE-2024-90001"' in line)
    assert b'"score":9.30' in line
    assert b"18446744073709551617" in line
