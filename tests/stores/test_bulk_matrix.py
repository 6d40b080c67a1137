"""Whatever a node answers to a bulk: no offset passes a record that was not confirmed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import msgspec
import pytest

from ctisync.core.model import Consumer, Delete, Snapshot, Write
from ctisync.core.state import ConsumerState
from ctisync.errors import AnotherPass, CtisyncError
from ctisync.stores.opensearch.bulk import Pace
from ctisync.stores.opensearch.client import Client
from ctisync.stores.opensearch.generations import Generations, Inventory
from ctisync.stores.opensearch.lease import LeaseHolder
from ctisync.stores.opensearch.records import Records
from ctisync.stores.opensearch.refusals import Curl
from ctisync.stores.opensearch.state_document import StateEntry
from ctisync.stores.opensearch.writer import OpenSearchWriter
from tests.stores import opensearch_kit as kit
from tests.stores.bulk_matrix import AS_A_WHOLE, Cell, Cluster, cells
from tests.support.clock import FakeClock
from tests.support.figures import figure
from tests.support.records import record

CONSUMER: Final = Consumer()
LIVE: Final = "ctisync-live"
BEFORE: Final = {f"CVE-{number}": (number, number) for number in range(1, 6)}
RANGE: Final[Sequence[Write]] = (
    record("CVE-1", 11),
    record("CVE-2", 12),
    Delete("CVE-3", 13),
    record("CVE-6", 14),
    record("CVE-5", 15),
)
SNAPSHOT: Final = tuple(record(f"CVE-{number}", number) for number in range(1, 6))


class OurLease:
    """A lease that nobody else wants."""

    def __init__(self, state: ConsumerState) -> None:
        self.entry = StateEntry(state=state, generation=LIVE)
        self.token = "ours"

    def commit(self, change: Callable[[StateEntry], StateEntry]) -> None:
        self.entry = change(self.entry)

    def reload(self) -> None:
        pass

    def renew_if_due(self) -> None:
        pass


class OurGenerations:
    """Names and aliases that nobody else changes."""

    def __init__(self) -> None:
        self.live = LIVE
        self.consumer = CONSUMER

    def new_name(self) -> str:
        return "ctisync-new"

    def new_fence(self, token: str, number: int) -> str:
        return f"ctisync-w-{token}-{number}"

    def create(self, name: str, snapshot: Snapshot, fence: str) -> None:
        pass

    def remove_unfinished(self, name: str) -> None:
        pass

    def configure_for_reading(self, fence: str) -> None:
        pass

    def inventory(self) -> Inventory:
        return Inventory({}, self.live)

    def change_aliases(self, actions: Sequence[dict[str, dict[str, Any]]]) -> bool:
        for action in actions:
            if action.get("add", {}).get("alias") == CONSUMER.index:
                self.live = action["add"]["index"]
        return True


class Played:
    """A writer before a node that answers as the cell says."""

    def __init__(self, cell: Cell, records: dict[str, tuple[int, int]]) -> None:
        self.cluster = Cluster(cell, dict(records))
        self.clock = FakeClock()
        self.lease = OurLease(ConsumerState(offset=10, content=True, last_offset=100))
        self.generations = OurGenerations()
        client = Client(self.cluster, Curl("http://127.0.0.1:9200"), self.clock)
        self.writer = OpenSearchWriter(
            client,
            cast(LeaseHolder, self.lease),
            cast(Generations, self.generations),
            Records(client, Pace()),
        )
        self.writer._fenced._inventory = Inventory({}, LIVE)

    @property
    def state(self) -> ConsumerState:
        return self.lease.entry.state

    def apply(self) -> None:
        self.writer.apply(RANGE, self.state.advanced(20, kit.NOW))

    def load(self) -> None:
        kit.load(self.writer, CONSUMER, SNAPSHOT, 50)


FULL: Final = "accepts no writes, its disk is probably full: cluster_block_exception"
OVERLOADED: Final = "is overloaded"
NOT_BELIEVED: Final = "counts none of them as written|does not account for|cannot be read"
REFUSED: Final = r"refuses record CVE-\d"

OF_ITEMS: Final = {
    "200": "",
    "201": "",
    "400 mapping": r"refuses record CVE-\d \(400\): strict_dynamic.*x_new",
    "404": REFUSED,
    "404 index": "another pass has taken over",
    "409": "",
    "413": REFUSED,
    "429 load": OVERLOADED,
    "429 block": FULL,
    "500": REFUSED,
    "503": OVERLOADED,
}
OF_A_WHOLE: Final = {
    "400 mapping": r"refuses a request \(400\): strict_dynamic.*x_new",
    "404": "does not answer like OpenSearch",
    "404 index": "does not answer like OpenSearch",
    "409": r"refuses a request \(409\)",
    "413": "record CVE-1 has .* bytes, more than OpenSearch accepts",
    "429 load": OVERLOADED,
    "429 block": FULL,
    "500": r"refuses a request \(500\)",
    "503": r"refuses a request \(503\)",
}
MAY_PASS: Final = {"429 load", "503"}


def expected(cell: Cell) -> str:
    """What an operator is told; "" when all is written in the end."""
    if cell.telling == AS_A_WHOLE:
        passes = cell.status in MAY_PASS | {"413"} and not cell.lasting  # what is too large is halved
        return "" if passes else OF_A_WHOLE[cell.status]
    if cell.telling not in ("complete", "lying errors"):
        return NOT_BELIEVED
    return "" if cell.status in MAY_PASS and not cell.lasting else OF_ITEMS[cell.status]


@pytest.mark.parametrize("work", ["range", "load"])
def test_no_answer_to_a_bulk_lets_the_offset_pass_a_record_that_was_not_confirmed(work: str) -> None:
    ends = Counter[str]()
    for cell in cells():
        played = Played(cell, BEFORE if work == "range" else {})
        before = played.state
        error: CtisyncError | None = None
        try:
            played.apply() if work == "range" else played.load()
        except CtisyncError as raised:
            error = raised

        message = "" if error is None else error.message
        assert_message(cell, message)
        if error is None:
            assert_written(played, work, cell)
            ends["done"] += 1
        else:
            refused = 3 if "not answer like" in message else 7
            assert error.exit_code == (4 if isinstance(error, AnotherPass) else refused), cell
            assert played.state.offset == before.offset, cell
            assert played.state.owed is None, cell
            assert played.generations.live == LIVE, cell
            ends[str(error.exit_code)] += 1
        if "disk is probably full" in message:
            assert (played.clock.slept, played.cluster.bulks) == ([], 1), cell
        if cell.telling == AS_A_WHOLE and cell.status == "413":
            assert played.clock.slept == [], cell
    figure(f"bulk replies, {work}: {ends.total()} cells, {dict(ends)}; 0 unconfirmed records passed")


def assert_message(cell: Cell, message: str) -> None:
    pattern = expected(cell)
    assert (not message) == (not pattern), f"{cell}: {message or 'done'}"
    assert re.search(pattern, message), f"{cell}: {message}"


def assert_written(played: Played, work: str, cell: Cell) -> None:
    versions = {name: version for name, (version, _) in played.cluster.records.items()}
    if work == "load":
        assert versions == {each.name: each.offset for each in SNAPSHOT}, cell
        assert played.state.offset == 50
        assert played.generations.live == "ctisync-new"
    else:
        assert versions == {"CVE-1": 11, "CVE-2": 12, "CVE-4": 4, "CVE-6": 14, "CVE-5": 15}, cell
        assert played.state.offset == 20
        assert played.state.range_to is None


def test_the_matrix_finds_a_checker_that_ignores_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the one does that has lost records in this feed: a 200 is taken for a success."""
    monkeypatch.setattr(Records, "_check", lambda *_: [])
    passed = 0
    for cell in cells():
        played = Played(cell, BEFORE)
        try:
            played.apply()
            assert_written(played, "range", cell)
        except AssertionError:
            passed += 1
        except (CtisyncError, msgspec.MsgspecError):
            pass
    assert passed > 100
