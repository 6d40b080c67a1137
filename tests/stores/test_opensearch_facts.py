"""OpenSearch only: the facts index equals the facts of the content, whatever happened to a pass before."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, Final

import pytest

from ctisync.core.facts_document import LONGEST_TEXT, LONGEST_VALUE, MOST_VALUES, document_of
from ctisync.core.model import Consumer, Delete, Json, Record, Write
from ctisync.core.pass_report import FactsFill
from ctisync.errors import AnotherPass, FeedUnreachable, ForeignIndex
from ctisync.ports import Store, Writer
from ctisync.stores.opensearch.facts_index import MAPPING
from ctisync.stores.opensearch.store import OpenSearchStore
from tests.stores import opensearch_kit as kit
from tests.support.clock import FakeClock
from tests.support.faults import Killed
from tests.support.faults_node import ForgetfulTransport, TransportInFront
from tests.support.opensearch_node import OpenSearchNode
from tests.support.records import record

SNAPSHOT: Final = [record(f"CVE-{number}", number) for number in range(1, 13)]
GONE: Final[list[Write]] = [Delete("CVE-3", 22), Delete("CVE-4", 23)]
RANGE: Final[list[Write]] = [
    record("CVE-2", 21),
    *GONE,
    record("CVE-99", 25),
]
NEXT: Final[list[Write]] = [record("CVE-5", 31), record("CVE-3", 33), Delete("CVE-99", 34)]


@pytest.fixture
def node(opensearch_2: OpenSearchNode) -> OpenSearchNode:
    return opensearch_2


@pytest.fixture
def consumer() -> Consumer:
    return kit.new_consumer()


@pytest.fixture
def store(node: OpenSearchNode) -> Iterator[OpenSearchStore]:
    with closing(kit.open_store(node, facts_index=True)) as store:
        yield store


def go_on() -> None:
    """There is time left."""


def loaded(writer: Writer, consumer: Consumer) -> None:
    kit.load(writer, consumer, SNAPSHOT, 20)


def filled(store: Store, consumer: Consumer) -> FactsFill | None:
    """What a pass does at its end."""
    with store.writer(consumer) as writer:
        return writer.fill_facts(go_on)


def facts(node: OpenSearchNode, consumer: Consumer) -> dict[str, Json]:
    """The documents that a dashboard finds."""
    hits = node.request("GET", f"/{consumer.index}-facts/_search?size=1000&version=true")["hits"]["hits"]
    documents = {hit["_id"]: hit["_source"] for hit in hits}
    assert all(hit["_version"] == hit["_source"]["offset"] for hit in hits)
    return documents


def facts_of_content(store: Store, consumer: Consumer) -> dict[str, Json]:
    """The same, made from an export."""
    documents = {}
    for line in store.export(consumer):
        head = json.loads(line)
        documents[head["name"]] = json.loads(document_of(Record(head["name"], head["offset"], line)))
    return documents


def facts_indices(node: OpenSearchNode, consumer: Consumer) -> list[str]:
    return [name for name in kit.aliases(node, consumer) if "-facts-" in name]


def assert_equal(store: Store, node: OpenSearchNode, consumer: Consumer) -> None:
    assert facts(node, consumer) == facts_of_content(store, consumer)
    [name] = facts_indices(node, consumer)
    assert kit.aliases(node, consumer)[name] == {f"{consumer.index}-facts"}
    assert not store.facts_behind(consumer)


def test_it_follows_the_content_through_load_changes_deletions_and_another_load(
    store: OpenSearchStore, node: OpenSearchNode, consumer: Consumer
) -> None:
    kit.initialise(store, consumer, SNAPSHOT, 20)
    store.read_state(consumer)
    assert store.facts_behind(consumer)
    assert filled(store, consumer) == FactsFill(12)
    store.read_state(consumer)
    assert_equal(store, node, consumer)
    first = facts_indices(node, consumer)

    with store.writer(consumer) as writer:
        kit.apply(writer, RANGE, 30)
        assert writer.fill_facts(go_on) == FactsFill(2), "the changed documents alone"
    assert facts_indices(node, consumer) == first
    store.read_state(consumer)
    assert_equal(store, node, consumer)
    assert filled(store, consumer) is None

    with store.writer(consumer) as writer:
        kit.load(writer, consumer, [record("CVE-7", 40)], 40)
        assert facts(node, consumer) != {}, "readers keep the old facts until the new ones are complete"
        assert writer.fill_facts(go_on) == FactsFill(1)
    assert facts_indices(node, consumer) != first
    store.read_state(consumer)
    assert_equal(store, node, consumer)


def test_ranges_that_passes_without_the_setting_have_applied_are_caught_up(
    store: OpenSearchStore, node: OpenSearchNode, consumer: Consumer
) -> None:
    kit.initialise(store, consumer, SNAPSHOT, 20)
    filled(store, consumer)
    with store.writer(consumer) as writer:  # it is killed before it fills
        kit.apply(writer, RANGE, 30)
    with store.writer(consumer) as writer:
        kit.apply(writer, NEXT, 40)
    store.read_state(consumer)
    assert store.facts_behind(consumer)
    assert filled(store, consumer) == FactsFill(3), "only what is above its mark"
    store.read_state(consumer)
    assert_equal(store, node, consumer)


def test_under_another_index_of_the_settings_it_moves_with_the_content(
    store: OpenSearchStore, node: OpenSearchNode, consumer: Consumer
) -> None:
    kit.initialise(store, consumer, SNAPSHOT, 20)
    filled(store, consumer)
    renamed = Consumer(consumer.context, consumer.name, f"{consumer.index}-new")
    kit.initialise(store, renamed, SNAPSHOT, 20)
    filled(store, renamed)
    store.read_state(renamed)
    assert_equal(store, node, renamed)
    assert facts_indices(node, consumer) == facts_indices(node, renamed), "the old one is gone"


def test_documents_that_another_program_has_removed_come_back(
    store: OpenSearchStore, node: OpenSearchNode, consumer: Consumer
) -> None:
    kit.initialise(store, consumer, SNAPSHOT, 20)
    filled(store, consumer)
    node.request("DELETE", f"/{consumer.index}-facts/_doc/CVE-7?refresh=true")
    with store.writer(consumer) as writer:
        kit.apply(writer, RANGE, 30)
        writer.fill_facts(go_on)
    store.read_state(consumer)
    assert_equal(store, node, consumer)


def whole_pass(store: Store, consumer: Consumer) -> None:
    """Initialise when its content isn't there, apply the ranges (20, 30] and (30, 40], fill."""
    with store.writer(consumer) as writer:
        if writer.state.offset not in (20, 30, 40):
            loaded(writer, consumer)
        if writer.state.offset == 20:
            kit.apply(writer, RANGE, 30)
        if writer.state.offset == 30:
            kit.apply(writer, NEXT, 40)
        writer.fill_facts(go_on)


@pytest.mark.parametrize("before", ["nothing", "facts of the same content", "facts of an older content"])
def test_killed_after_any_write_the_next_pass_leaves_one_facts_index_equal_to_the_content(
    store: OpenSearchStore, node: OpenSearchNode, before: str
) -> None:
    writes, died = 0, True
    while died:
        writes += 1
        consumer = kit.new_consumer()
        if before != "nothing":
            offset = 20 if before == "facts of the same content" else 19
            kit.initialise(store, consumer, SNAPSHOT, offset)
            filled(store, consumer)
        with closing(kit.mortal_store(node, writes, facts_index=True)) as mortal:
            try:
                whole_pass(mortal, consumer)
                died = False
            except Killed:
                pass
        whole_pass(store, consumer)
        store.read_state(consumer)
        assert_equal(store, node, consumer)
        assert store.read_state(consumer).offset == 40
    assert writes > 10


def test_a_fill_that_has_no_time_left_is_gone_on_with(
    store: OpenSearchStore, node: OpenSearchNode, consumer: Consumer
) -> None:
    def no_time() -> None:
        raise FeedUnreachable("the time of the pass is over")

    kit.initialise(store, consumer, SNAPSHOT, 20)
    with store.writer(consumer) as writer, pytest.raises(FeedUnreachable):
        writer.fill_facts(no_time)
    filled(store, consumer)
    store.read_state(consumer)
    assert_equal(store, node, consumer)


def test_every_write_sent_twice_leaves_the_same(
    store: OpenSearchStore, node: OpenSearchNode, consumer: Consumer
) -> None:
    with closing(kit.open_store(node, facts_index=True)) as forgetful:
        ForgetfulTransport(forgetful)
        whole_pass(forgetful, consumer)
    whole_pass(store, consumer)
    store.read_state(consumer)
    assert_equal(store, node, consumer)


def test_switched_off_the_next_pass_removes_it_and_needs_no_request_to_know(
    store: OpenSearchStore, node: OpenSearchNode, consumer: Consumer
) -> None:
    kit.initialise(store, consumer, SNAPSHOT, 20)
    filled(store, consumer)
    with closing(kit.open_store(node)) as off:
        off.read_state(consumer)
        assert off.facts_behind(consumer)
        assert filled(off, consumer) == FactsFill(is_removed=True)
        assert facts_indices(node, consumer) == []
        off.read_state(consumer)
        assert not off.facts_behind(consumer)
        assert [*kit.aliases(node, consumer).values()] == [{consumer.index}]
    assert len(kit.lines(store, consumer)) == 12


class Counting(TransportInFront):
    """Counts the requests."""

    number = 0

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> Any:
        self.number += 1
        return super().send(method, target, body, timeout)


def test_without_the_setting_a_fill_sends_nothing(node: OpenSearchNode, consumer: Consumer) -> None:
    with closing(kit.open_store(node)) as store, store.writer(consumer) as writer:
        loaded(writer, consumer)
        transport = Counting(store)
        assert writer.fill_facts(go_on) is None
        assert transport.number == 0


def test_forget_removes_it(store: OpenSearchStore, node: OpenSearchNode, consumer: Consumer) -> None:
    kit.initialise(store, consumer, SNAPSHOT, 20)
    filled(store, consumer)
    assert store.footprint(consumer).records == 12
    assert len(store.footprint(consumer).places) == 2
    store.forget(consumer)
    assert kit.aliases(node, consumer) == {}
    assert store.consumers() == [] or consumer not in store.consumers()


def test_another_programs_index_under_the_alias_is_refused_and_left_alone(
    store: OpenSearchStore, node: OpenSearchNode, consumer: Consumer
) -> None:
    alias = f"{consumer.index}-facts"
    kit.initialise(store, consumer, SNAPSHOT, 20)
    node.request("PUT", f"/{alias}", {})
    with store.writer(consumer) as writer, pytest.raises(ForeignIndex, match=f"{alias} is an index"):
        writer.fill_facts(go_on)
    node.request("DELETE", f"/{alias}")
    theirs = f"theirs-{consumer.index}"
    node.request("PUT", f"/{theirs}", {"aliases": {alias: {}}})
    with (
        store.writer(consumer) as writer,
        pytest.raises(ForeignIndex, match=f"points at {theirs}") as refused,
    ):
        writer.fill_facts(go_on)
    assert facts_indices(node, consumer) == []
    assert refused.value.exit_code == 3
    assert kit.lines(store, consumer) == [each.line for each in sorted(SNAPSHOT, key=lambda each: each.name)]


def test_a_pass_that_was_overtaken_cannot_write_to_it(node: OpenSearchNode, consumer: Consumer) -> None:
    """Not even if it sleeps between two bulks of a fill."""
    with (
        closing(kit.open_store(node, facts_index=True, host_lock="theirs")) as slow,
        closing(kit.open_store(node, FakeClock(), facts_index=True)) as store,
    ):
        kit.initialise(store, consumer, SNAPSHOT, 20)
        filled(store, consumer)
        with store.writer(consumer) as writer:
            kit.apply(writer, RANGE, 30)
        overtaking = Overtaking(slow, lambda: take_over(node, store, consumer))
        overtaking.armed = True
        with slow.writer(consumer) as writer, pytest.raises(AnotherPass):
            writer.fill_facts(go_on)
        store.read_state(consumer)
        assert_equal(store, node, consumer)


class Overtaking(TransportInFront):
    """Before the first bulk through a fence on facts, another pass takes over and does its work."""

    def __init__(self, store: OpenSearchStore, overtake: Any) -> None:
        super().__init__(store)
        self._overtake = overtake
        self.armed = False

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> Any:
        if self.armed and body is not None and b"vulnerability" in body:
            self.armed = False
            self._overtake()
        return super().send(method, target, body, timeout)


def take_over(node: OpenSearchNode, store: OpenSearchStore, consumer: Consumer) -> None:
    kit.put_lease(node, consumer)  # it has expired
    with store.writer(consumer) as writer:
        kit.apply(writer, NEXT, 40)
        writer.fill_facts(go_on)


def mappings(node: OpenSearchNode, consumer: Consumer) -> Any:
    [index] = node.request("GET", f"/{consumer.index}-facts/_mapping").values()
    return index["mappings"]


def test_the_mapping_is_strict_after_each_fill(
    store: OpenSearchStore, node: OpenSearchNode, consumer: Consumer
) -> None:
    whole_pass(store, consumer)
    mapping = mappings(node, consumer)
    assert (mapping["dynamic"], mapping["properties"]) == ("strict", MAPPING["properties"])
    [settings] = node.request("GET", f"/{consumer.index}-facts/_settings?flat_settings=true").values()
    assert settings["settings"]["index.number_of_shards"] == "1"
    assert "index.refresh_interval" not in settings["settings"]


def cve(container: Mapping[str, Json], published: Json = "2026-01-02T03:04:05Z") -> dict[str, Json]:
    about = {"state": "PUBLISHED", "datePublished": published}
    return {
        "cveMetadata": about,
        "containers": {"cna": {"providerMetadata": {"shortName": "nvd"}, **container}},
    }


def product(name: Json, vendor: Json = "acme") -> dict[str, Json]:
    return {"vendor": vendor, "product": name}


HOSTILE: Final[dict[str, Any]] = {
    "CVE-LONG": cve({"descriptions": [{"lang": "en", "value": "long " * 200_000}]}),
    "CVE-WORD": cve({"descriptions": [{"lang": "en", "value": "x" * 1_000_000}]}),
    "CVE-DATE": cve({}, "some day"),
    "CVE-DATE-2": cve({}, "0000-00-00T00:00:00Z"),
    "CVE-DATE-3": cve({}, {"year": 1}),
    "CVE-DATE-4": cve({}, "9999-12-31T23:59:59-23:59"),
    "CVE-DATE-5": cve({}, "0001-01-01T00:00:00+23:00"),
    "CVE-MANY": cve({"affected": [product(f"product-{number}") for number in range(100_000)]}),
    "CVE-KEYWORD": cve(
        {"affected": [product("k" * 40_000), product("é" * 512, "💥" * 512), product("short")]}
    ),
    "CVE-TYPES": {"cveMetadata": {"state": 5}, "containers": {"cna": {"affected": {"a": 1}}, "adp": 7}},
    "CVE-SCORE": "1e400",
    "CVE-SCORE-2": "1e400000000",
    "TID-0001": {"translation": {"product": "x"}},
    "OTHER": [],
}


def hostile(name: str, payload: Any, offset: int) -> Record:
    if not isinstance(payload, str):
        return record(name, offset, payload)
    line = record(
        name, offset, cve({"metrics": [{"cvssV3_1": {"baseScore": 77, "baseSeverity": "HIGH"}}]})
    ).line
    return Record(name, offset, line.replace(b"77", payload.encode()))


def test_hostile_values_are_bounded_and_refuse_no_document(
    store: OpenSearchStore, node: OpenSearchNode, consumer: Consumer
) -> None:
    records = [
        hostile(name, payload, number) for number, (name, payload) in enumerate(HOSTILE.items(), start=1)
    ]
    kit.initialise(store, consumer, records, 50)
    assert filled(store, consumer) == FactsFill(len(HOSTILE))
    store.read_state(consumer)
    assert_equal(store, node, consumer)
    documents = facts(node, consumer)
    assert len(documents["CVE-LONG"]["vulnerability"]["description"]) == LONGEST_TEXT
    assert documents["CVE-MANY"]["package"]["name"] == [f"product-{number}" for number in range(MOST_VALUES)]
    assert documents["CVE-MANY"]["package"]["vendor"] == ["acme"]
    assert documents["CVE-KEYWORD"]["package"] == {
        "name": ["é" * LONGEST_VALUE, "short"],
        "vendor": ["acme", "💥" * 512],
    }
    for name in ("CVE-DATE", "CVE-DATE-2", "CVE-DATE-3"):
        assert "published_at" not in documents[name]["vulnerability"]
    for name in ("CVE-SCORE", "CVE-SCORE-2"):
        assert documents[name]["vulnerability"].keys() == {"id", "description", "published_at"}
    assert documents["TID-0001"].keys() == {"offset", "source", "cwe"}
    assert mappings(node, consumer)["properties"] == MAPPING["properties"], "no value has added a field"


def checks(store: OpenSearchStore, consumer: Consumer) -> list[tuple[str, str]]:
    """What `doctor` says of it."""
    results = [each for each in store.diagnose([consumer]) if each.what == "store-facts"]
    return [(each.health, each.text) for each in results]


def findings(store: OpenSearchStore, consumer: Consumer) -> list[str]:
    with store.inspect(consumer) as inspection:
        return [each.kind.label for each in inspection.findings(deep=False)]


def test_status_doctor_and_verify_say_how_far_it_is(
    store: OpenSearchStore, node: OpenSearchNode, consumer: Consumer
) -> None:
    alias = f"{consumer.index}-facts"
    with closing(kit.open_store(node)) as off:
        kit.initialise(off, consumer, SNAPSHOT, 20)
        assert (off.summary(consumer).facts_offset, checks(off, consumer)) == (None, [])
        assert findings(off, consumer) == []
    assert store.summary(consumer).facts_offset == 0
    assert checks(store, consumer) == [("warning", f"the facts index {alias} is behind the content")]
    assert findings(store, consumer) == ["generation-facts-behind"]
    filled(store, consumer)
    with store.writer(consumer) as writer:
        kit.apply(writer, RANGE, 30)
    assert store.summary(consumer).facts_offset == 20
    assert findings(store, consumer) == ["generation-facts-behind"]
    filled(store, consumer)
    assert store.summary(consumer).facts_offset == 30
    assert checks(store, consumer) == [("ok", f"the facts index {alias} has the facts of the content")]
    assert findings(store, consumer) == []
    node.request("DELETE", f"/{alias}/_doc/CVE-7?refresh=true")
    assert findings(store, consumer) == ["generation-facts-wrong"]
    with closing(kit.open_store(node)) as off:
        assert checks(off, consumer) == [("warning", f"the facts index {alias} is no longer wanted")]
        assert findings(off, consumer) == ["generation-facts-behind"]
    node.request("PUT", f"/theirs-{consumer.index}", {"aliases": {alias: {}}})
    [(health, text)] = checks(store, consumer)
    assert (health, "points at theirs" in text) == ("failed", True)
