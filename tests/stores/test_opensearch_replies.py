"""Bulk replies that lie, fall short or refuse: nothing is believed that the reply does not say."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import msgspec
import pytest

from ctisync.core.model import Record
from ctisync.errors import AccessRefused, AnotherPass, StoreUnavailable
from ctisync.stores.opensearch.bulk import BulkAction, Pace, RecordVersion, body, delete, index
from ctisync.stores.opensearch.client import Client, NoReply, OpenSearchReply
from ctisync.stores.opensearch.records import Records
from ctisync.stores.opensearch.refusals import Curl, Problem
from tests.stores import opensearch_kit as kit
from tests.support.clock import FakeClock
from tests.support.opensearch_node import OpenSearchNode
from tests.support.records import record

A, B, C = (index(record(f"CVE-{number}", number)) for number in (1, 2, 3))
GONE = delete("CVE-4", 4, RecordVersion(version=1, seq_no=7, primary_term=1))

BUSY = Problem("opensearch_rejected_execution_exception", "rejected execution of coordinating operation")
FULL = Problem(
    "cluster_block_exception", "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood"
)
STRICT = Problem(
    "strict_dynamic_mapping_exception", "mapping set to strict, introduction of [x_new] is not allowed"
)
MISSING = Problem(
    "index_not_found_exception", "no such index [ctisync-w-1] and [require_alias] request flag is"
)
CONFLICT = Problem("version_conflict_engine_exception", "[CVE-1]: version conflict")
FORBIDDEN = Problem(
    "security_exception", "no permissions for [indices:data/write/bulk[s]] and User [name=ctisync, roles=[]]"
)


class Scripted:
    """Answers each request with the next of the replies, and keeps what was sent."""

    def __init__(self, *replies: OpenSearchReply | NoReply) -> None:
        self._replies = list(replies)
        self.timeout = 60.0
        self.bodies: list[bytes] = []
        self.targets: list[str] = []

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        assert target.startswith(("/ctisync-w-1/_bulk?require_alias=true&", "/ctisync-w-1/_mget"))
        assert method == "POST"
        self.bodies.append(body or b"")
        self.targets.append(target)
        reply = self._replies.pop(0)
        if isinstance(reply, NoReply):
            raise reply
        return reply

    def close(self) -> None:
        pass


def item(
    action: BulkAction, status: int = 201, error: Problem | None = None, **changes: object
) -> dict[str, Any]:
    answered: dict[str, object] = {"_id": action.name, "status": status, "_version": action.offset}
    if error is not None:
        answered |= {"error": {"type": error.type, "reason": error.reason}}
    return {action.kind: answered | changes}


def items(*answered: dict[str, Any]) -> OpenSearchReply:
    return OpenSearchReply(200, msgspec.json.encode({"errors": False, "items": answered}))


def send(
    actions: Sequence[BulkAction], *replies: OpenSearchReply | NoReply
) -> tuple[Any, Scripted, FakeClock]:
    transport, clock = Scripted(*replies), FakeClock()
    client = Client(transport, Curl("http://127.0.0.1:9200"), clock)
    return Records(client, Pace()).send("ctisync-w-1", actions), transport, clock


def test_a_reply_that_accounts_for_every_item_is_believed() -> None:
    sent, transport, _ = send([A, B, GONE], items(item(A), item(B, 200), item(GONE, 200)))
    assert (sent.created, sent.conflicts, sent.rejections) == (1, [], 0)
    assert transport.bodies == [body([A, B, GONE])]


def test_how_a_record_stands_after_a_write_is_what_the_reply_says_of_it() -> None:
    written = item(A, _seq_no=17, _primary_term=3)
    sent, transport, _ = send([A, GONE, B], items(written, item(GONE, 200), item(B, 409, CONFLICT)))
    assert sent.versions == {"CVE-1": RecordVersion(version=1, seq_no=17, primary_term=3), "CVE-4": None}
    assert "items.*._seq_no,items.*._primary_term," in transport.targets[0]


def test_nothing_to_write_is_no_request() -> None:
    """An empty bulk is an error on the node."""
    sent, transport, _ = send([])
    assert (sent.created, sent.conflicts, transport.bodies) == (0, [], [])


def test_a_delete_of_what_is_gone_is_done() -> None:
    sent, _, _ = send([GONE], items(item(GONE, 404)))
    assert sent.conflicts == []


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(items(), id="no items"),
        pytest.param(items(item(A)), id="short"),
        pytest.param(items(item(A), item(B), item(C)), id="long"),
        pytest.param(items(item(B), item(A)), id="reordered"),
        pytest.param(items(item(A), item(B, _id="CVE-22")), id="wrong id"),
        pytest.param(items(item(A), {"create": item(B)["index"]}), id="wrong operation"),
        pytest.param(items(item(A), {}), id="empty item"),
        pytest.param(items(item(A), item(A) | item(GONE)), id="two in one"),
        pytest.param(items(item(A), item(B) | item(GONE)), id="two in one, ours among them"),
        pytest.param(items(item(A), item(B, 202)), id="unknown status"),
        pytest.param(items(item(A), item(B, 404)), id="not found without error"),
        pytest.param(items(item(A), item(B, _version=7)), id="wrong version"),
        pytest.param(items(item(A), item(B, 201, STRICT)), id="success with an error"),
        pytest.param(items(item(A), item(B, 500, Problem("null_pointer_exception"))), id="failure"),
        pytest.param(OpenSearchReply(200, b'{"errors":false}'), id="errors false and nothing else"),
        pytest.param(OpenSearchReply(200, b'{"items":[{"index":{"_id":"CVE-1","stat'), id="cut off"),
        pytest.param(OpenSearchReply(200, b""), id="empty"),
        pytest.param(OpenSearchReply(200, b"<html>"), id="no JSON"),
        pytest.param(
            OpenSearchReply(400, problem=Problem("illegal_argument_exception")), id="refused as a whole"
        ),
    ],
)
def test_a_reply_that_does_not_account_for_every_item_is_not_believed(reply: OpenSearchReply) -> None:
    with pytest.raises(StoreUnavailable):
        send([A, B], reply)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_what_a_busy_node_turned_away_is_sent_again_alone_after_a_pause(position: int) -> None:
    actions = [A, B, C]
    answered = [item(action) for action in actions]
    answered[position] = item(actions[position], 429, BUSY)
    sent, transport, clock = send(actions, items(*answered), items(item(actions[position])))
    assert (sent.created, sent.rejections) == (3, 1)
    assert transport.bodies[1] == body([actions[position]])
    assert clock.slept == [0.5]


def test_a_busy_node_gets_smaller_bodies_and_in_the_end_no_more() -> None:
    busy = OpenSearchReply(429, problem=BUSY)
    sent, transport, _ = send([A, B], busy, items(item(A)), items(item(B)))
    assert (sent.created, sent.rejections) == (2, 1)
    assert transport.bodies[1:] == [body([A]), body([B])]

    transport, clock = Scripted(*[busy] * 9), FakeClock()
    client = Client(transport, Curl("http://127.0.0.1:9200"), clock)
    with pytest.raises(StoreUnavailable, match="overloaded"):
        Records(client, Pace()).send("ctisync-w-1", [A])
    assert clock.slept == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0], "it gets some 40 seconds"


@pytest.mark.parametrize(
    "reply", [items(item(A, 429, FULL)), OpenSearchReply(429, problem=FULL), items(item(A, 403, FULL))]
)
def test_a_full_disk_ends_the_pass_at_once(reply: OpenSearchReply) -> None:
    transport, clock = Scripted(reply), FakeClock()
    client = Client(transport, Curl("http://127.0.0.1:9200"), clock)
    with pytest.raises(StoreUnavailable, match="accepts no writes, its disk is probably full"):
        Records(client, Pace()).send("ctisync-w-1", [A])
    assert clock.slept == []


def test_a_refused_record_is_named_with_the_reason() -> None:
    with pytest.raises(StoreUnavailable, match=r"refuses record CVE-2 \(400\): strict_dynamic.*x_new"):
        send([A, B], items(item(A), item(B, 400, STRICT)))


def test_a_missing_privilege_is_named() -> None:
    with pytest.raises(AccessRefused, match=r"POST /ctisync-w-1/_bulk .*indices:data/write/bulk") as refused:
        send([A], items(item(A, 403, FORBIDDEN)))
    assert "lacks indices:data/write/bulk*)" in str(refused.value.hint)


@pytest.mark.parametrize("action", [A, GONE])
def test_a_fence_that_is_gone_is_another_pass(action: BulkAction) -> None:
    with pytest.raises(AnotherPass):
        send([action], items(item(action, 404, MISSING)))


def test_a_conflict_is_handed_back_to_be_examined() -> None:
    sent, _, _ = send([A, GONE], items(item(A, 409, CONFLICT), item(GONE, 409, CONFLICT)))
    assert (sent.created, sent.conflicts) == (0, [A, GONE])


def test_a_body_that_is_too_large_is_halved_and_a_record_that_is_too_large_is_named() -> None:
    sent, transport, _ = send([A, B], OpenSearchReply(413), items(item(A)), items(item(B)))
    assert (sent.created, transport.bodies[1:]) == (2, [body([A]), body([B])])
    with pytest.raises(StoreUnavailable, match="record CVE-1 has"):
        send([A], OpenSearchReply(413))


def test_the_request_of_a_lost_reply_is_sent_again() -> None:
    sent, transport, clock = send([A], NoReply("connection reset"), OpenSearchReply(503), items(item(A)))
    assert (sent.created, len(transport.bodies), clock.slept) == (1, 3, [0.5, 1.0])


def test_a_node_that_stays_away_is_unavailable_and_named() -> None:
    with pytest.raises(
        StoreUnavailable, match=r"http://127.0.0.1:9200 cannot be reached: connection reset"
    ) as gone:
        send([A], *[NoReply("connection reset")] * 5)
    assert "curl http://127.0.0.1:9200" in str(gone.value.hint)


def document(name: str, offset: int) -> dict[str, Any]:
    source = {"name": name, "offset": offset}
    version = {"_version": offset, "_seq_no": 3, "_primary_term": 1}
    return {"_id": name, "found": True, "_source": source} | version


UNREADABLE = {"_id": "CVE-2", "error": {"type": "no_shard_available_action_exception", "reason": "no shard"}}


def read(*docs: dict[str, Any]) -> dict[str, Any]:
    clock = FakeClock()
    reply = OpenSearchReply(200, msgspec.json.encode({"docs": docs}))
    client = Client(Scripted(reply), Curl("http://127.0.0.1:9200"), clock)
    return Records(client, Pace()).read("ctisync-w-1", ["CVE-1", "CVE-2"])


def test_versions_are_read_without_the_records_themselves() -> None:
    """A conflict of a whole range would else bring all of its records back."""
    docs = [document("CVE-1", 1), {"_id": "CVE-2", "found": False}]
    transport = Scripted(*[OpenSearchReply(200, msgspec.json.encode({"docs": docs}))] * 2)
    records = Records(Client(transport, Curl("http://127.0.0.1:9200"), FakeClock()), Pace())
    names = ["CVE-1", "CVE-2"]
    assert records.versions("ctisync-w-1", names) == {
        "CVE-1": RecordVersion(version=1, seq_no=3, primary_term=1)
    }
    assert records.read("ctisync-w-1", names)["CVE-1"][1] == RecordVersion(
        version=1, seq_no=3, primary_term=1
    )
    assert transport.targets == ["/ctisync-w-1/_mget?_source=false", "/ctisync-w-1/_mget"]
    assert [msgspec.json.decode(body) for body in transport.bodies] == [{"ids": names}] * 2


def test_a_record_is_missing_only_when_the_reply_says_so() -> None:
    assert read(document("CVE-1", 1), {"_id": "CVE-2", "found": False}).keys() == {"CVE-1"}


@pytest.mark.parametrize(
    "docs",
    [
        pytest.param([], id="empty"),
        pytest.param([document("CVE-1", 1)], id="short"),
        pytest.param([document("CVE-2", 2), document("CVE-1", 1)], id="reordered"),
        pytest.param([document("CVE-1", 1), {"_id": "CVE-2"}], id="neither found nor not"),
        pytest.param([document("CVE-1", 1), UNREADABLE], id="a shard that is away"),
        pytest.param([document("CVE-1", 1), document("CVE-2", 2) | {"_version": 3}], id="another version"),
        pytest.param([document("CVE-1", 1), document("CVE-2", 2) | {"_source": {}}], id="another document"),
    ],
)
def test_a_read_that_failed_is_never_a_missing_record(docs: list[dict[str, Any]]) -> None:
    with pytest.raises(StoreUnavailable):
        read(*docs)


def test_a_read_that_no_role_permits_is_a_refused_access() -> None:
    reason = "no permissions for [indices:data/read/mget[shard]] and User [name=ctisync, roles=[]]"
    refused = {"_id": "CVE-2", "error": {"type": "security_exception", "reason": reason}}
    with pytest.raises(AccessRefused, match="POST /ctisync-w-1/_mget ") as raised:
        read(document("CVE-1", 1), refused)
    assert "ctisync examples opensearch" in str(raised.value.hint)
    assert "lacks indices:data/read/mget*)" in str(raised.value.hint)


def test_a_read_through_a_fence_that_is_gone_is_another_pass() -> None:
    missing = {"type": MISSING.type, "reason": MISSING.reason}
    with pytest.raises(AnotherPass):
        read({"_id": "CVE-1", "error": missing}, {"_id": "CVE-2", "error": missing})


def test_a_read_through_an_alias_that_is_no_more_is_another_pass_as_a_whole() -> None:
    client = Client(Scripted(OpenSearchReply(404)), Curl("http://127.0.0.1:9200"), FakeClock())
    records = Records(client, Pace())
    with pytest.raises(AnotherPass):
        records.read("ctisync-w-1", ["CVE-1"])


def test_a_bulk_whose_reply_was_lost_is_counted_once(opensearch_2: OpenSearchNode) -> None:
    """With a record's older line after its newer one, and a line twice."""
    consumer = kit.new_consumer()
    twice, newer, older = record("CVE-1", 1), record("CVE-2", 5), record("CVE-2", 2)
    records: list[Record] = [twice, newer, older, twice]
    with closing(kit.forgetful_store(opensearch_2)) as store:
        kit.initialise(store, consumer, records, 10)
        assert kit.lines(store, consumer) == [twice.line, newer.line]
        assert store.summary(consumer).records == 2
