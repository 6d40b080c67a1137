"""OpenSearch only: what somebody may do to indices, aliases and documents is found, and named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

from ctisync.core.findings import Kind
from ctisync.core.model import Consumer
from ctisync.stores.opensearch.store import OpenSearchStore
from ctisync.verify.audit import Verification, verify
from tests.stores import opensearch_kit as kit
from tests.support.faults import Killed
from tests.support.log import KeptLog
from tests.support.opensearch_node import OpenSearchNode
from tests.support.records import made_up, record

RECORDS = made_up(40)
SOME = RECORDS[2]


@pytest.fixture
def node(opensearch_2: OpenSearchNode) -> OpenSearchNode:
    return opensearch_2


@pytest.fixture
def store(node: OpenSearchNode) -> Iterator[OpenSearchStore]:
    with closing(kit.open_store(node)) as opened:
        yield opened


@pytest.fixture
def consumer(store: OpenSearchStore) -> Consumer:
    """A content of 40 records that stands at offset 100."""
    consumer = kit.new_consumer()
    kit.initialise(store, consumer, RECORDS, 100)
    return consumer


def audited(store: OpenSearchStore, consumer: Consumer) -> Verification:
    return verify(consumer, store=store, log=KeptLog(), deep=True, against=None, at_work=None)


def live_of(node: OpenSearchNode, consumer: Consumer) -> str:
    (name,) = node.request("GET", f"/{consumer.index}")
    return str(name)


def edit_state(node: OpenSearchNode, consumer: Consumer, change: Callable[[Any, Any], None]) -> None:
    """`change` gets the consumer's public fields and our state within them."""
    content = kit.document(node, consumer)
    fields = content[consumer.name]
    change(fields, fields["ctisync"]["state"])
    kit.put_document(node, consumer, content)


def another_programs_record(node: OpenSearchNode, live: str) -> None:
    line = {"name": "CVE-other", "offset": 7, "payload": {}}
    node.request("PUT", f"/{live}/_doc/CVE-1?version=7&version_type=external", line)


def a_record_of_the_future(node: OpenSearchNode, live: str) -> None:
    line = {"name": "CVE-1", "offset": 101, "payload": {}}
    node.request("PUT", f"/{live}/_doc/CVE-1?version=101&version_type=external", line)


def a_version_of_its_own(node: OpenSearchNode, live: str) -> None:
    node.request("POST", f"/{live}/_update/{SOME.name}", {"doc": {"payload": {"planted": 1}}})


def no_record(node: OpenSearchNode, live: str) -> None:
    node.request("PUT", f"/{live}/_doc/CVE-1?version=7&version_type=external", {"name": "CVE-1"})


def read_only(node: OpenSearchNode, live: str) -> None:
    node.request("PUT", f"/{live}/_settings", {"index.blocks.write": True})


def no_refresh(node: OpenSearchNode, live: str) -> None:
    node.request("PUT", f"/{live}/_settings", {"index.refresh_interval": "-1"})


def dynamic(node: OpenSearchNode, live: str) -> None:
    node.request("PUT", f"/{live}/_mapping", {"dynamic": True})


def a_fence(node: OpenSearchNode, live: str) -> None:
    key = live.split("-")[-3]
    add = {"add": {"index": live, "alias": f"ctisync-w-{key}-0123456789abcdef-0"}}
    node.request("POST", "/_aliases", {"actions": [add]})


def a_stray(node: OpenSearchNode, live: str) -> None:
    """Made after the live one, so it is not the one that was replaced."""
    meta = node.request("GET", f"/{live}/_mapping")[live]["mappings"]["_meta"]
    name = f"{live.rsplit('-', 2)[0]}-19990101000000-00000001"
    node.request("PUT", f"/{name}", {"mappings": {"_meta": meta}})


@pytest.mark.parametrize(
    ("plant", "kinds"),
    [
        (another_programs_record, {Kind.RECORD_MISLABELLED: 1}),
        (a_record_of_the_future, {Kind.OFFSET_TOO_HIGH: 1}),
        (a_version_of_its_own, {Kind.RECORD_MISLABELLED: 1}),
        (no_record, {Kind.RECORD_UNREADABLE: 1}),
        (read_only, {Kind.GENERATION_WRONG: 1}),
        (no_refresh, {Kind.GENERATION_WRONG: 1}),
        (dynamic, {Kind.GENERATION_WRONG: 1}),
        (a_fence, {Kind.WRITER_DEAD: 1}),
        (a_stray, {Kind.GENERATION_STRAY: 1}),
    ],
)
def test_planted_damage_is_named(
    node: OpenSearchNode,
    store: OpenSearchStore,
    consumer: Consumer,
    plant: Callable[[OpenSearchNode, str], None],
    kinds: dict[Kind, int],
) -> None:
    assert audited(store, consumer).findings == ()
    plant(node, live_of(node, consumer))

    assert audited(store, consumer).counts == kinds


def lower(fields: Any, state: Any) -> None:
    fields["offset"] = 30


def other_snapshot(fields: Any, state: Any) -> None:
    state["snapshot_offset"] = 99


def stale_command(fields: Any, state: Any) -> None:
    state["owed"] = {"offset": 90, "attempts": 0}


def other_generation(fields: Any, state: Any) -> None:
    fields["ctisync"]["generation"] = "ctisync-another"


def without_content(fields: Any, state: Any) -> None:
    fields["offset"], state["content"], state["owed"] = 0, False, None


@pytest.mark.parametrize(
    ("edit", "kinds"),
    [
        (lower, {Kind.STATE_WRONG, Kind.COMMAND_WRONG, Kind.OFFSET_TOO_HIGH}),
        (other_snapshot, {Kind.GENERATION_WRONG}),
        (stale_command, {Kind.COMMAND_WRONG}),
        (other_generation, {Kind.GENERATION_WRONG, Kind.STATE_UNSETTLED, Kind.OFFSET_NOT_JUDGED}),
        (without_content, {Kind.COUNT_WRONG, Kind.OFFSET_NOT_JUDGED}),
    ],
)
def test_a_state_edited_by_hand_is_a_finding(
    node: OpenSearchNode,
    store: OpenSearchStore,
    consumer: Consumer,
    edit: Callable[[Any, Any], None],
    kinds: set[Kind],
) -> None:
    edit_state(node, consumer, edit)
    audit = audited(store, consumer)

    assert set(audit.counts) == kinds
    assert not audit.is_good


def test_a_writer_at_work_is_named_and_what_he_builds_is_no_difference(
    node: OpenSearchNode, store: OpenSearchStore, consumer: Consumer
) -> None:
    with store.writer(consumer) as writer, writer.load(kit.snapshot(200)) as load:
        load.add([record("CVE-new", 200)])
        audit = audited(store, consumer)

    assert audit.is_good
    assert set(audit.counts) == {Kind.WRITER_AT_WORK, Kind.GENERATION_LEFT}


@pytest.mark.parametrize("writes", range(1, 16))
def test_wherever_a_load_is_killed_nothing_is_called_a_difference(
    node: OpenSearchNode, store: OpenSearchStore, consumer: Consumer, writes: int
) -> None:
    with closing(kit.mortal_store(node, writes)) as mortal, suppress(Killed):
        kit.initialise(mortal, consumer, [record("CVE-new", 200)], 200)
    audit = audited(store, consumer)

    assert audit.differences == 0, audit.findings
    assert audit.records in (1, 40)


def test_an_inspection_includes_what_was_written_just_now(
    node: OpenSearchNode, store: OpenSearchStore, consumer: Consumer
) -> None:
    """Also when nobody has made it searchable."""
    with store.writer(consumer) as writer:
        kit.apply(writer, [record("CVE-new", 150)], to=150)

    assert audited(store, consumer).records == 41
    with store.inspect(consumer) as inspection:
        assert inspection.lookup(["CVE-new"]) == {"CVE-new": record("CVE-new", 150)}


def test_an_inspection_is_of_one_moment(
    node: OpenSearchNode, store: OpenSearchStore, consumer: Consumer
) -> None:
    with store.inspect(consumer) as inspection:
        kit.initialise(store, consumer, [record("CVE-new", 200)], 200)
        assert inspection.count() == 40
        assert len(list(inspection.scan())) == 40
        assert inspection.lookup(["CVE-new", SOME.name]) == {SOME.name: SOME}
    assert audited(store, consumer).is_good
