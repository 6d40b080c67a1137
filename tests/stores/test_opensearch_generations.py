"""The indices of OpenSearch: ours whatever templates there are, others' never touched, the old one kept."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgspec
import pytest

from ctisync.core.model import Consumer, Delete
from ctisync.core.state import ConsumerState
from ctisync.errors import ConfigurationError, ForeignIndex, StoreUnavailable
from ctisync.stores.opensearch.store import OpenSearchStore
from ctisync.stores.opensearch.writer import OpenSearchWriter
from tests.contract.test_history import report
from tests.stores import opensearch_kit as kit
from tests.support.opensearch_node import OpenSearchNode
from tests.support.records import read, record

A, B, C = record("CVE-1", 1), record("CVE-2", 2), record("CVE-3", 13)

WAZUHS_TEMPLATE = {
    "index_patterns": ["wazuh-cve*"],
    "mappings": {
        "dynamic": "strict",
        "properties": {
            "name": {"type": "text"},
            "payload": {"properties": {"dataType": {"type": "integer"}}},
        },
    },
}


@pytest.fixture
def store(clean_node: OpenSearchNode) -> Iterator[OpenSearchStore]:
    with closing(kit.open_store(clean_node)) as opened:
        yield opened


def index_of(node: OpenSearchNode, consumer: Consumer) -> tuple[str, Any]:
    [(name, index)] = node.request("GET", f"/{consumer.index}").items()
    return name, index


def test_a_template_for_the_alias_does_not_reach_what_lies_behind_it(
    clean_node: OpenSearchNode, store: OpenSearchStore
) -> None:
    clean_node.request("PUT", "/_template/wazuh-cve", WAZUHS_TEMPLATE)
    consumer = kit.new_consumer()
    kit.initialise(
        store, consumer, [record("CVE-1", 1, {"dataType": "CVE_RECORD", "x_new": [{"a": 1}, 2]})], 10
    )
    name, index = index_of(clean_node, consumer)
    assert not name.startswith("wazuh-cve")
    assert index["mappings"]["dynamic"] == "false"


def test_warnings_of_the_server_are_not_printed(clean_node: OpenSearchNode, store: OpenSearchStore) -> None:
    """It warns each client that makes an index that two templates of old fit; a good pass is silent."""
    for name in ("one", "two"):
        clean_node.request("PUT", f"/_template/{name}", {"index_patterns": ["ctisync*"], "settings": {}})
    with warnings.catch_warnings(record=True) as printed:
        warnings.simplefilter("always")
        kit.initialise(store, kit.new_consumer(), [A], 10)
    assert printed == []


@pytest.mark.parametrize(
    "alias", ["c", "ctisync", "ctisync-", "ctisync-c", "of-ctisync", "Wazuh_CVE+!ü" + "x" * 180]
)
def test_a_generations_name_is_legal_and_never_begins_with_the_alias(
    clean_node: OpenSearchNode, store: OpenSearchStore, alias: str
) -> None:
    consumer = Consumer(index=alias)
    kit.initialise(store, consumer, [A], 10)
    kit.initialise(store, consumer, [A, B], 20)
    name, _ = index_of(clean_node, consumer)
    assert not name.startswith(alias)
    assert kit.lines(store, consumer) == [A.line, B.line]


def test_a_generation_says_what_it_holds_and_is_configured_for_reading(clean_node: OpenSearchNode) -> None:
    consumer = kit.new_consumer()
    with closing(kit.open_store(clean_node, shards=2, replicas=1, codec="best_compression")) as store:
        kit.initialise(store, consumer, [A, B], 10)
    _, index = index_of(clean_node, consumer)
    assert index["mappings"]["_meta"]["ctisync"] == {
        "schema": 1,
        "context": consumer.context,
        "consumer": "vd_4.8.0",
        "snapshot_offset": 10,
        "snapshot_link": "https://cti.example.org/10.zip",
    }
    settings = index["settings"]["index"]
    assert (settings["number_of_shards"], settings["number_of_replicas"]) == ("2", "1")
    assert settings["codec"] == "best_compression"
    assert "refresh_interval" not in settings


@pytest.mark.parametrize(
    "template",
    [
        {"aliases": {"everything": {}}},
        {"mappings": {"properties": {"payload": {"type": "object", "dynamic": True}}}},
        {"settings": {"index.sort.field": "not_mapped"}},
    ],
    ids=["an alias", "a mapping of payload", "an impossible setting"],
)
def test_a_template_for_all_indices_that_would_alter_content_is_refused_by_name(
    clean_node: OpenSearchNode, store: OpenSearchStore, template: dict[str, Any]
) -> None:
    consumer = kit.new_consumer()
    kit.initialise(store, consumer, [A], 10)
    clean_node.client.put("/_template/all", json={"index_patterns": ["*"], **template}).raise_for_status()
    with pytest.raises(ConfigurationError, match=r"template|cannot be created") as refused:
        kit.initialise(store, consumer, [B], 20)
    assert "_template" in str(refused.value.hint)
    assert store.read_state(consumer).offset == 10
    assert kit.lines(store, consumer) == [A.line]
    assert len(kit.aliases(clean_node, consumer)) == 1


def test_an_index_that_stands_where_the_alias_belongs_is_never_touched(
    clean_node: OpenSearchNode, store: OpenSearchStore
) -> None:
    consumer = kit.new_consumer()
    clean_node.request("PUT", f"/{consumer.index}/_doc/theirs?refresh=true", {"name": "theirs"})
    before = clean_node.request("GET", f"/{consumer.index}")

    with pytest.raises(ForeignIndex, match="is an index, but ctisync needs that name") as refused:
        store.read_state(consumer)
    assert f"curl -X DELETE {clean_node.url}/{consumer.index}; then" in str(refused.value.hint)
    with pytest.raises(ForeignIndex):
        kit.initialise(store, consumer, [A], 10)

    assert clean_node.request("GET", f"/{consumer.index}") == before
    assert clean_node.request("GET", f"/{consumer.index}/_count")["count"] == 1
    assert clean_node.request("GET", "/*?expand_wildcards=all").keys() == before.keys()


@pytest.mark.parametrize("others", [1, 2])
def test_an_alias_that_points_elsewhere_is_never_moved(
    clean_node: OpenSearchNode, store: OpenSearchStore, others: int
) -> None:
    consumer = kit.new_consumer()
    for number in range(others):
        clean_node.request("PUT", f"/theirs-{number}", {"aliases": {consumer.index: {}}})
    with pytest.raises(ForeignIndex, match=r"points at theirs-0.*, which ctisync did not make"):
        store.read_state(consumer)
    with pytest.raises(ForeignIndex):
        kit.initialise(store, consumer, [A], 10)


def test_an_index_with_a_name_like_ours_but_without_our_mark_is_left_alone(
    clean_node: OpenSearchNode, store: OpenSearchStore
) -> None:
    consumer = kit.new_consumer()
    kit.initialise(store, consumer, [A], 10)
    name, _ = index_of(clean_node, consumer)
    clean_node.request("PUT", f"/{name}-copy")
    kit.initialise(store, consumer, [B], 20)
    with store.writer(consumer):
        pass
    assert len(kit.aliases(clean_node, consumer)) == 2
    assert f"{name}-copy" in kit.aliases(clean_node, consumer)


def test_the_replaced_content_stays_for_its_readers_until_a_later_pass(
    clean_node: OpenSearchNode, store: OpenSearchStore
) -> None:
    consumer = kit.new_consumer()
    kit.initialise(store, consumer, [A, B], 10)
    reader = store.export(consumer)
    first = next(reader)
    with store.writer(consumer) as writer:
        kit.load(writer, consumer, [B], 20)
        kit.load(writer, consumer, [C], 30)
    assert len(kit.aliases(clean_node, consumer)) == 3
    assert [first, *reader] == [A.line, B.line]

    with store.writer(consumer):
        pass
    assert [*kit.aliases(clean_node, consumer).values()] == [{consumer.index}]


def test_a_content_that_lost_a_record_while_it_was_loaded_never_goes_live(
    clean_node: OpenSearchNode, store: OpenSearchStore
) -> None:
    consumer = kit.new_consumer()
    kit.initialise(store, consumer, [A], 10)
    with store.writer(consumer) as writer:
        with pytest.raises(StoreUnavailable, match="holds 1 record after 2 were written"):
            load_and_lose_one(clean_node, writer, consumer)
        assert (writer.state.offset, writer.state.loading) == (10, False)
    assert kit.lines(store, consumer) == [A.line]
    assert len(kit.aliases(clean_node, consumer)) == 1


def load_and_lose_one(node: OpenSearchNode, writer: OpenSearchWriter, consumer: Consumer) -> None:
    with writer.load(kit.snapshot(20)) as load:
        load.add([B, C])
        load._account_for(load._pool.drain())
        node.request("DELETE", f"/{load._generation}/_doc/CVE-3")
        load.publish(kit.loaded(writer.state, consumer, 20))


def test_what_was_read_before_a_new_content_says_nothing_about_it(store: OpenSearchStore) -> None:
    consumer = kit.new_consumer()
    kit.initialise(store, consumer, [B], 10)
    with store.writer(consumer) as writer:
        assert read(writer, ["CVE-1"]) == {}
        kit.load(writer, consumer, [A, B], 20)
        kit.apply_unread(writer, [Delete("CVE-1", 21)], 30)
        assert read(writer, ["CVE-1", "CVE-2"]) == {"CVE-2": B}


def test_a_content_that_somebody_removed_is_noticed_and_loaded_again(
    clean_node: OpenSearchNode, store: OpenSearchStore
) -> None:
    consumer = kit.new_consumer()
    kit.initialise(store, consumer, [A], 10)
    name, _ = index_of(clean_node, consumer)
    clean_node.request("DELETE", f"/{name}")

    assert store.read_state(consumer).unsettled
    with store.writer(consumer) as writer:
        assert (writer.state.offset, writer.state.content) == (0, False)
        assert read(writer, ["CVE-1"]) == {}
        kit.load(writer, consumer, [B], 20)
    assert kit.lines(store, consumer) == [B.line]


def test_a_content_under_another_name_than_the_settings_now_say_is_not_a_missing_one(
    store: OpenSearchStore,
) -> None:
    """A name that is changed by mistake, and back again, costs nothing: the pass between refuses to go on."""
    consumer = kit.new_consumer()
    kit.initialise(store, consumer, [A, B], 10)

    renamed = msgspec.structs.replace(consumer, index="another")

    assert not store.read_state(renamed).unsettled
    assert store.read_state(renamed).stored_for == consumer


def test_a_content_that_is_to_have_another_name_is_read_under_the_old_one_until_it_is_loaded(
    clean_node: OpenSearchNode, store: OpenSearchStore
) -> None:
    consumer = kit.new_consumer()
    kit.initialise(store, consumer, [A, B], 10)
    renamed = msgspec.structs.replace(consumer, index="another")
    with store.writer(renamed) as writer, writer.load(kit.snapshot(20)) as load:
        load.add([A])
    assert kit.lines(store, consumer) == [A.line, B.line], "the load was given up"

    kit.initialise(store, renamed, [A], 20)
    assert kit.lines(store, renamed) == [A.line]
    with store.writer(renamed):
        pass
    assert kit.aliases(clean_node, consumer) == {}
    assert [*kit.aliases(clean_node, renamed).values()] == [{renamed.index}]


def test_a_content_whose_state_was_removed_is_loaded_again(
    clean_node: OpenSearchNode, store: OpenSearchStore
) -> None:
    consumer = kit.new_consumer()
    kit.initialise(store, consumer, [A], 10)
    clean_node.request("DELETE", "/wazuh-context")
    assert store.read_state(consumer) == ConsumerState()
    kit.initialise(store, consumer, [B], 20)
    assert (store.read_state(consumer).offset, kit.lines(store, consumer)) == (20, [B.line])


def test_a_record_of_offset_0_is_a_record(store: OpenSearchStore) -> None:
    consumer = kit.new_consumer()
    first = record("CVE-0", 0)
    kit.initialise(store, consumer, [first, first], 10)
    with store.writer(consumer) as writer:
        assert read(writer, ["CVE-0"]) == {"CVE-0": first}


def test_records_of_any_shape_are_stored(clean_node: OpenSearchNode, store: OpenSearchStore) -> None:
    """Only name and offset are mapped: nothing else can fail on a type."""
    consumer = kit.new_consumer()
    payloads = (b"[1,{}]", b'"text"', b"null", b'{"":{"a.b":1}}', b'{"a":1e999999,"b":%s}' % (b"9" * 999))
    odd = [record(f"CVE-{number}", number + 1, payload) for number, payload in enumerate(payloads)]
    kit.initialise(store, consumer, odd, 10)
    assert kit.lines(store, consumer) == [each.line for each in odd]


def test_a_record_that_cannot_be_parsed_is_named_and_the_old_content_stays(
    store: OpenSearchStore,
) -> None:
    consumer = kit.new_consumer()
    kit.initialise(store, consumer, [A], 10)
    too_many_digits = record("CVE-9", 12, b'{"number":%s}' % (b"9" * 1001))
    with pytest.raises(StoreUnavailable, match=r"refuses record CVE-9 \(400\): .*1001"):
        kit.initialise(store, consumer, [B, too_many_digits], 20)
    assert (store.read_state(consumer).offset, kit.lines(store, consumer)) == (10, [A.line])


def test_another_program_that_writes_to_the_content_stops_the_range(
    clean_node: OpenSearchNode, store: OpenSearchStore
) -> None:
    consumer = kit.new_consumer()
    kit.initialise(store, consumer, [A, B], 10)
    with store.writer(consumer) as writer:
        read(writer, ["CVE-1", "CVE-2"])
        clean_node.request(
            "PUT", f"/{consumer.index}/_doc/CVE-1?version=77&version_type=external", {"theirs": 1}
        )
        with pytest.raises(
            StoreUnavailable,
            match=r"another program writes to the content: record CVE-1 has .*, offset 14 is",
        ):
            kit.apply_unread(writer, [record("CVE-1", 14), C], 20)
        with pytest.raises(StoreUnavailable, match="another program altered record CVE-1"):
            read(writer, ["CVE-1"])
        with pytest.raises(StoreUnavailable, match=r"record CVE-1 has .*, offset 15 is"):
            kit.apply_unread(writer, [Delete("CVE-1", 15)], 20)
    state = store.read_state(consumer)
    assert (state.offset, state.range_to) == (10, 20)


@pytest.mark.parametrize("which", ["content", "copies", "history"])
def test_an_index_that_is_one_too_many_for_the_cluster_is_a_full_store(
    store: OpenSearchStore, clean_node: OpenSearchNode, which: str
) -> None:
    """No template is in the way: the cluster has reached its limit of shards."""
    consumer = kit.new_consumer()
    kit.initialise(store, consumer, [A, B], 10)  # a shard of its own, and the one of the state
    limit = 3 if which == "copies" else 2
    clean_node.request("PUT", "/_cluster/settings", {"persistent": {"cluster.max_shards_per_node": limit}})

    def make_one_more() -> None:
        if which == "history":
            store.remember(report(consumer, 1), 10, 30.0)
            return
        with closing(kit.open_store(clean_node, replicas=int(which == "copies"))) as another:
            kit.initialise(another, consumer, [A, B], 20)

    try:
        with pytest.raises(StoreUnavailable, match="has reached its limit of shards") as caught:
            make_one_more()
    finally:
        clean_node.request("PUT", "/_cluster/settings", {"persistent": {"cluster.max_shards_per_node": None}})
    assert "cluster.max_shards_per_node" in str(caught.value.hint)
    assert "template" not in str(caught.value.hint)
