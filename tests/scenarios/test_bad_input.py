"""Bad input from the feed: its own exit code, a message that names the thing, and nothing lost.

Each case spoils what the feed says after a good first pass, on every store, and then holds the store
to the content and offset of before; a mended feed is followed again.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.support import feed_failures as failures
from tests.support.feed_failures import Failure
from tests.support.feed_history import churn, populate
from tests.support.feed_server import Kind
from tests.support.feed_simulator import zipped
from tests.support.world import World

Json = Any


class Case(NamedTuple):
    when: Kind
    failure: Failure
    exit_code: int
    words: str


def changes(edit: Callable[[list[Json]], list[Json]]) -> Failure:
    return failures.data(edit)


def first_change(**fields: Json) -> Failure:
    return changes(lambda reply: [{**reply[0], **fields}, *reply[1:]])


def info(**fields: Json) -> Failure:
    return failures.data(lambda reply: {**reply, **fields})


CASES: dict[str, Case] = {
    "information that is HTML": Case("info", failures.html(), 6, "not JSON"),
    "information without data": Case("info", failures.without_data(), 6, "no `data` object"),
    "information whose data is null": Case("info", failures.data(lambda _: None), 6, "no `data` object"),
    "a last_offset that is a string": Case("info", info(last_offset="12"), 6, "last_offset is a string"),
    "a last_offset below zero": Case("info", info(last_offset=-1), 6, "last_offset -1 is out of range"),
    "a snapshot link that is a number": Case("info", info(last_snapshot_link=5), 6, "last_snapshot_link"),
    "a snapshot above last_offset": Case(
        "info",
        info(last_snapshot_link="https://x/9_1746459961.zip", last_snapshot_offset=10**9),
        6,
        "is inconsistent",
    ),
    "information cut off": Case("info", failures.cut_off(0.5), 6, "is incomplete"),
    "information refused": Case("info", failures.status(401), 3, "401"),
    "an unknown consumer": Case("info", failures.status(404), 3, "404"),
    "a server in trouble": Case("info", failures.status(503), 5, "503"),
    "a server that wants peace": Case("info", failures.status(429, {"Retry-After": "3600"}), 5, "429"),
    "changes that are HTML": Case("changes", failures.html(), 6, "not JSON"),
    "changes cut off": Case("changes", failures.cut_off(0.5), 6, "is incomplete"),
    "changes that stop within the JSON": Case(
        "changes", failures.body(b'{"data":[{"offset":'), 6, "not JSON"
    ),
    "changes without data": Case("changes", failures.without_data(), 6, "no `data` array"),
    "changes whose data is null": Case("changes", failures.data(lambda _: None), 6, "no `data` array"),
    "changes whose data is an object": Case("changes", failures.data(lambda _: {}), 6, "no `data` array"),
    "changes out of order": Case("changes", changes(lambda reply: reply[::-1]), 6, "out of order"),
    "a change twice": Case("changes", changes(lambda reply: [reply[0], *reply]), 6, "out of order"),
    "a change below the range": Case("changes", first_change(offset=1), 6, "out of range"),
    "a change above the range": Case(
        "changes", changes(lambda reply: [*reply[:-1], {**reply[-1], "offset": 10**9}]), 6, "out of range"
    ),
    "a change of unknown type": Case("changes", first_change(type="merge"), 6, "unknown type 'merge'"),
    "a change without resource": Case("changes", first_change(resource=None), 6, "no resource"),
    "a change whose resource is too long": Case(
        "changes", first_change(resource="x" * 513), 6, "has 513 bytes"
    ),
    "a change without offset": Case("changes", first_change(offset=None), 6, "no offset"),
    "a change that is no object": Case("changes", changes(lambda reply: [7, *reply]), 6, "not an object"),
    "changes refused as unprocessable": Case("changes", failures.refusal(422, "no way"), 6, "no way"),
}


@pytest.fixture
def current(world: World) -> World:
    populate(world.feed.history, 20)
    world.feed.publish_snapshot()
    churn(world.feed.history, 40)
    assert world.run() is None
    return world


@pytest.mark.parametrize("name", CASES)
def test_bad_input_changes_nothing_and_a_mended_feed_is_followed(current: World, name: str) -> None:
    case = CASES[name]
    lines, offset, commands = current.lines(), current.state.offset, current.commands()
    churn(current.feed.history, 30, seed=2)
    current.feed.fail(case.when, case.failure, times=None)
    error = current.run()
    assert error is not None, "a refusal became a silent gap"
    assert error.exit_code == case.exit_code, error.message
    assert case.words in error.message
    assert "\n" not in error.message
    assert (current.lines(), current.state.offset, current.commands()) == (lines, offset, commands)
    assert current.state.failed is None, "what the feed said wrongly is not a failed change"
    assert len(current.feed.requests_for("snapshot")) == 1, "never a reason to initialise again"
    current.feed.heal()
    current.clock.advance(hours=1)  # one of them has asked for it
    assert current.run() is None
    assert current.holds()


RECORD = b'{"name":"CVE-2024-1","offset":3,"version":1,"payload":{}}'

SNAPSHOTS: dict[str, tuple[bytes, str]] = {
    "a line that is no object": (RECORD + b"\n[]\n", "line 2"),
    "a record without name": (
        b'{"offset":3,"payload":{}}\n',
        "line 1 of the snapshot is not a record: it has no name",
    ),
    "a name over 512 bytes": (RECORD.replace(b"CVE-2024-1", b"x" * 513), "513 bytes"),
    "a record above the feed's own offset": (RECORD.replace(b":3", b":99999999"), "99999999"),
    "lines that are blank": (b"\n\n\n", "is empty"),
    "a line that is cut": (RECORD + b"\n" + RECORD[:30], "line 2"),
}


@pytest.mark.parametrize("name", SNAPSHOTS)
@pytest.mark.parametrize("packed", [True, False], ids=["zip", "ndjson"])
def test_a_bad_snapshot_leaves_the_old_content_live(current: World, name: str, packed: bool) -> None:
    body, words = SNAPSHOTS[name]
    lines, offset, commands = current.lines(), current.state.offset, current.commands()
    current.feed.publish_snapshot(body=zipped({"snapshot.json": body}) if packed else body)
    error = current.run("init-snapshot")
    assert error is not None
    assert error.exit_code == 6
    assert words in error.message
    assert (current.lines(), current.state.offset, current.commands()) == (lines, offset, commands)
    assert current.state.phase == "ready"
    assert list(current.spool.iterdir()) == [], "a spool that is refused is removed"


def test_a_damaged_zip_is_noticed_at_its_end_and_nothing_of_it_goes_live(current: World) -> None:
    lines = current.lines()
    good = zipped({"snapshot.json": b"".join(line + b"\n" for line in current.feed.expected_lines())})
    for cut in (10, len(good) // 2, len(good) - 1):
        current.feed.publish_snapshot(body=good[:cut])
        error = current.run("init-snapshot")
        assert error is not None
        assert error.exit_code == 6
    flipped = bytearray(good)
    flipped[len(good) // 3] ^= 0xFF
    current.feed.publish_snapshot(body=bytes(flipped))
    error = current.run("init-snapshot")
    assert error is not None
    assert error.exit_code == 6
    assert current.lines() == lines
    current.feed.publish_snapshot()
    assert current.run("init-snapshot") is None
    assert current.holds()


def test_nothing_is_stored_when_the_very_first_snapshot_is_bad(world: World) -> None:
    populate(world.feed.history, 5)
    world.feed.publish_snapshot(body=b"<html>")
    error = world.run()
    assert error is not None
    assert error.exit_code == 6
    assert (world.state.phase, world.state.offset) == ("empty", 0)
    assert world.commands() == []
