"""The state's document in OpenSearch: what others keep there, what they read there, and who wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from ctisync.core.model import Consumer, ConsumerInfo, Snapshot
from ctisync.core.state import ConsumerState
from ctisync.errors import ConfigurationError
from ctisync.stores.opensearch.store import OpenSearchStore
from tests.stores import opensearch_kit as kit
from tests.support.opensearch_node import OpenSearchNode
from tests.support.records import record

A, B = record("CVE-1", 1), record("CVE-2", 12)
INFO = ConsumerInfo(last_offset=99, snapshot=Snapshot("https://cti.example.org/7.zip", 7))

OTHERS = '{"offset":7,"last_offset":9.30,"more":{"big":123456789012345678901234567890,"":[null]}}'


@pytest.fixture
def store(opensearch_2: OpenSearchNode) -> Iterator[OpenSearchStore]:
    with closing(kit.open_store(opensearch_2)) as opened:
        yield opened


def raw_document(node: OpenSearchNode, consumer: Consumer) -> str:
    return node.client.get(f"/wazuh-context/_source/{consumer.context}").text


def a_whole_life(store: OpenSearchStore, consumer: Consumer) -> None:
    store.record_check(consumer, store.read_state(consumer).feed_answered(INFO, kit.NOW))
    kit.initialise(store, consumer, [A], 10)
    with store.writer(consumer) as writer:
        kit.apply(writer, [B], 20)


def test_other_software_reads_offset_last_offset_and_link_under_the_consumers_name(
    store: OpenSearchStore, opensearch_2: OpenSearchNode
) -> None:
    consumer = kit.new_consumer()
    store.record_check(consumer, store.read_state(consumer))
    field = kit.document(opensearch_2, consumer)["vd_4.8.0"]
    assert {name: field[name] for name in ("offset", "last_offset", "last_snapshot_link")} == {
        "offset": 0,
        "last_offset": 0,
        "last_snapshot_link": None,
    }

    a_whole_life(store, consumer)
    field = kit.document(opensearch_2, consumer)["vd_4.8.0"]
    assert field.keys() == {"offset", "last_offset", "last_snapshot_link", "ctisync"}
    assert (field["offset"], field["last_offset"]) == (20, 99)
    assert field["last_snapshot_link"] == "https://cti.example.org/7.zip"


def test_what_others_keep_in_the_document_survives_to_the_byte(
    store: OpenSearchStore, opensearch_2: OpenSearchNode
) -> None:
    consumer = kit.new_consumer()
    opensearch_2.client.put(
        f"/wazuh-context/_doc/{consumer.context}",
        content=f'{{"theirs": {OTHERS}, "vd_4.8.0": {{"offset": 5, "theirs_too": {OTHERS}}}}}',
        headers={"Content-Type": "application/json"},
    ).raise_for_status()

    assert store.read_state(consumer) == ConsumerState()  # it isn't ours: nothing is stored
    a_whole_life(store, consumer)

    text = raw_document(opensearch_2, consumer)
    assert f'"theirs":{OTHERS}' in text
    assert f'"theirs_too":{OTHERS}' in text
    assert store.read_state(consumer).offset == 20


def test_two_consumers_of_a_context_share_the_document_while_both_are_written(
    store: OpenSearchStore, opensearch_2: OpenSearchNode
) -> None:
    first = kit.new_consumer()
    second = Consumer(context=first.context, name="other.1", index=f"{first.index}-other")
    with store.writer(first) as one, store.writer(second) as two:
        kit.load(one, first, [A], 10)
        kit.load(two, second, [A, B], 30)
        kit.apply(one, [B], 20)

    assert (store.read_state(first).offset, store.read_state(second).offset) == (20, 30)
    assert kit.document(opensearch_2, first).keys() == {"vd_4.8.0", "other.1"}


@pytest.mark.parametrize("dynamic", ["strict", "true"])
def test_an_index_of_states_that_others_made_takes_ours_whatever_its_mapping(
    clean_node: OpenSearchNode, store: OpenSearchStore, dynamic: str
) -> None:
    theirs = {"offset": {"type": "integer"}, "note": {"type": "text"}}
    clean_node.request(
        "PUT",
        "/wazuh-context",
        {
            "mappings": {
                "dynamic": dynamic,
                "properties": {"vd_4": {"properties": {"8": {"properties": {"0": {"properties": theirs}}}}}},
            }
        },
    )
    a_whole_life(store, kit.new_consumer())

    mapping = clean_node.request("GET", "/wazuh-context/_mapping")["wazuh-context"]["mappings"]
    fields = mapping["properties"]["vd_4"]["properties"]["8"]["properties"]["0"]["properties"]
    assert mapping.get("dynamic", "true") == dynamic
    assert fields == theirs | {
        "last_offset": {"type": "long"},
        "last_snapshot_link": {"type": "keyword"},
        "ctisync": {"type": "object", "enabled": False},
    }


def test_an_index_of_states_that_we_make_maps_nothing_by_itself(
    clean_node: OpenSearchNode, store: OpenSearchStore
) -> None:
    a_whole_life(store, kit.new_consumer())
    mapping = clean_node.request("GET", "/wazuh-context/_mapping")["wazuh-context"]["mappings"]
    assert mapping["dynamic"] == "false"


def test_an_index_of_states_without_room_for_ours_is_named(
    clean_node: OpenSearchNode, store: OpenSearchStore
) -> None:
    clean_node.request("PUT", "/wazuh-context", {"mappings": {"properties": {"vd_4": {"type": "keyword"}}}})
    with pytest.raises(ConfigurationError, match="index wazuh-context does not permit the state"):
        a_whole_life(store, kit.new_consumer())


def test_the_state_of_a_newer_ctisync_is_neither_read_nor_overwritten(
    store: OpenSearchStore, opensearch_2: OpenSearchNode
) -> None:
    consumer = kit.new_consumer()
    a_whole_life(store, consumer)
    content = kit.document(opensearch_2, consumer)
    content["vd_4.8.0"]["ctisync"] = {"schema": 2, "whatever": "it is"}
    kit.put_document(opensearch_2, consumer, content)

    with pytest.raises(ConfigurationError, match=r"newer ctisync \(schema 2, known 1\)"):
        store.read_state(consumer)
    with pytest.raises(ConfigurationError, match="newer ctisync"), store.writer(consumer):
        pass
    assert kit.document(opensearch_2, consumer) == content


@pytest.mark.parametrize(
    "damage",
    [
        {"offset": None},
        {"ctisync": {"schema": 1}},
        {"ctisync": {"schema": "1"}},
        {"ctisync": {"schema": 0, "state": {}}},
        {"ctisync": {"schema": 1, "state": {"checked_at": "2026-03-01T12:00:00"}}},
    ],
    ids=["no offset", "no state", "no schema", "a schema before the first", "a time of no zone"],
)
def test_a_damaged_state_is_an_error_and_no_reason_to_begin_anew(
    store: OpenSearchStore, opensearch_2: OpenSearchNode, damage: dict[str, object]
) -> None:
    consumer = kit.new_consumer()
    a_whole_life(store, consumer)
    content = kit.document(opensearch_2, consumer)
    content["vd_4.8.0"] |= damage
    kit.put_document(opensearch_2, consumer, content)

    with pytest.raises(ConfigurationError, match="the state of"):
        store.read_state(consumer)
    assert kit.document(opensearch_2, consumer) == content
