"""What a range is writing the next one need not read; and no other program's writing is missed for that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial

import msgspec
import pytest

from ctisync.core.model import Delete, Record
from ctisync.core.state import ConsumerState
from ctisync.errors import AnotherPass, StoreUnavailable
from ctisync.ports import Writer
from ctisync.stores.opensearch import writer as opensearch_writer
from ctisync.stores.opensearch.bulk import Pace, index
from ctisync.stores.opensearch.client import NoReply, OpenSearchReply
from ctisync.stores.opensearch.store import OpenSearchStore
from tests.stores import opensearch_kit as kit
from tests.support.faults_node import TransportInFront
from tests.support.opensearch_node import OpenSearchNode
from tests.support.records import made_up, read, record

A, B, C = record("CVE-1", 1), record("CVE-2", 2), record("CVE-3", 3)
CONSUMER = kit.new_consumer()


class Counted(TransportInFront):
    """Keeps which records were read, request by request; `lost` bulks are done, but their replies lost."""

    def __init__(self, store: OpenSearchStore) -> None:
        super().__init__(store)
        self.read: list[list[str]] = []
        self.bulks = 0
        self.checks = 0
        """Of hidden parts of the content."""
        self.states = 0
        self.lost = 0

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        if "_mget" in target:
            self.read.append(msgspec.json.decode(body or b"")["ids"])
        reply = super().send(method, target, body, timeout)
        self.checks += target.startswith(f"/ctisync-{CONSUMER.index}") and "filter_path=errors" in target
        self.states += method == "PUT" and target.startswith("/wazuh-context/_doc")
        if "_bulk" in target and "filter_path=items" in target:
            self.bulks += 1
            if self.lost:
                self.lost -= 1
                raise NoReply("timed out")
        return reply


@pytest.fixture
def store(opensearch_2: OpenSearchNode) -> Iterator[OpenSearchStore]:
    """With a content of three records at offset 10."""
    opensearch_2.wipe()
    with closing(kit.open_store(opensearch_2)) as store:
        kit.initialise(store, CONSUMER, [A, B, C], 10)
        yield store


@pytest.fixture
def sent(store: OpenSearchStore) -> Counted:
    return Counted(store)


def test_a_whole_range_is_read_250_names_a_request_and_written_by_as_few_as_its_bytes_need(
    store: OpenSearchStore, sent: Counted
) -> None:
    records = made_up(1000, first_offset=11)
    bulk_bytes = Pace().one_by_one.bulk_bytes
    with store.writer(CONSUMER) as writer:
        kit.apply(writer, records, 1010)
    assert [len(names) for names in sent.read] == [250] * 4
    size = sum(index(each).size for each in records)
    assert sent.bulks == -(-size // bulk_bytes)


def test_a_long_read_gives_every_part_once_and_in_order(store: OpenSearchStore, sent: Counted) -> None:
    names = ["CVE-1", *(f"none-{number}" for number in range(1100)), "CVE-3"]
    with store.writer(CONSUMER) as writer:
        parts = list(writer.read_in_parts(names))
    assert [name for part, _ in parts for name in part] == names
    assert [sorted(records) for _, records in parts] == [["CVE-1"], [], [], [], ["CVE-3"]]
    assert sorted(name for part in sent.read for name in part) == sorted(names)


def test_where_no_thread_can_be_started_a_part_is_read_when_it_is_its_turn(
    store: OpenSearchStore, sent: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opensearch_writer, "start_on_thread", lambda job, name: False)
    names = ["CVE-1", *(f"none-{number}" for number in range(1100)), "CVE-3"]
    with store.writer(CONSUMER) as writer:
        for number, (part, _) in enumerate(writer.read_in_parts(names)):
            assert len(sent.read) == number + 1
            assert sent.read[-1] == part
    assert number == 4


def test_written_records_are_remembered_for_one_range_and_no_longer(
    store: OpenSearchStore, sent: Counted
) -> None:
    """A pass over many ranges would keep all their names."""
    with store.writer(CONSUMER) as writer:
        kit.apply_unread(writer, [record("CVE-1", 14)], 20)
        kit.apply_unread(writer, [record("CVE-2", 24)], 30)
        kit.apply_unread(writer, [Delete("CVE-1", 31), Delete("CVE-2", 32)], 40)
    assert sent.read == [["CVE-1"]]


def test_what_was_just_written_can_be_deleted_without_reading_it(
    store: OpenSearchStore, sent: Counted
) -> None:
    with store.writer(CONSUMER) as writer:
        kit.apply_unread(writer, [record("CVE-1", 14), record("CVE-9", 15)], 20)
        kit.apply_unread(writer, [Delete("CVE-1", 21), Delete("CVE-9", 22)], 30)
        writer.make_searchable()
    assert sent.read == []
    assert kit.lines(store, CONSUMER) == [B.line, C.line]


def test_a_record_that_another_program_has_altered_since_is_not_deleted(
    opensearch_2: OpenSearchNode, store: OpenSearchStore
) -> None:
    with store.writer(CONSUMER) as writer:
        kit.apply_unread(writer, [record("CVE-1", 14)], 20)
        opensearch_2.request("PUT", f"/{CONSUMER.index}/_doc/CVE-1", {"theirs": 1})
        with pytest.raises(StoreUnavailable, match=r"another program writes to the content: .*offset 21 is"):
            kit.apply_unread(writer, [Delete("CVE-1", 21)], 30)
    assert store.read_state(CONSUMER).offset == 20


def test_a_record_that_another_program_has_put_at_the_very_next_offset_is_no_write_of_ours(
    opensearch_2: OpenSearchNode, store: OpenSearchStore
) -> None:
    """Its version is one higher than ours was, which is what our next write would have made of it."""
    with store.writer(CONSUMER) as writer:
        kit.apply_unread(writer, [record("CVE-1", 20)], 20)
        opensearch_2.request("PUT", f"/{CONSUMER.index}/_doc/CVE-1", {"theirs": 1})
        with pytest.raises(StoreUnavailable, match="another program altered record CVE-1"):
            kit.apply_unread(writer, [record("CVE-1", 21)], 30)
    assert store.read_state(CONSUMER).offset == 20


def test_a_write_whose_reply_was_lost_is_read_again(store: OpenSearchStore, sent: Counted) -> None:
    """Whether it was ours that came first nobody has told."""
    sent.lost = 1
    written = record("CVE-1", 14)
    with store.writer(CONSUMER) as writer:
        kit.apply_unread(writer, [written], 20)
        assert read(writer, ["CVE-1"]) == {"CVE-1": written}
    assert sent.read == [["CVE-1"]] * 3, "its version, whose write it is, and then the record"


def test_after_an_error_nothing_is_remembered_any_more(
    opensearch_2: OpenSearchNode, store: OpenSearchStore, sent: Counted
) -> None:
    with store.writer(CONSUMER) as writer:
        kit.apply_unread(writer, [record("CVE-1", 14)], 20)
        path = f"/{CONSUMER.index}/_doc/CVE-2?version=77&version_type=external"
        opensearch_2.request("PUT", path, {"theirs": 1})
        with pytest.raises(StoreUnavailable, match="record CVE-2 has offset 77, offset 22 is"):
            kit.apply_unread(writer, [record("CVE-1", 21), record("CVE-2", 22)], 30)
        sent.read.clear()
        assert read(writer, ["CVE-1"]) == {"CVE-1": record("CVE-1", 21)}
    assert sent.read == [["CVE-1"]]


def after(writer: Writer, to: int) -> ConsumerState:
    return writer.state.advanced(to, kit.NOW)


def test_what_is_being_written_the_next_range_does_not_read(store: OpenSearchStore, sent: Counted) -> None:
    first = record("CVE-1", 14, {"at": 14})
    reads: list[dict[str, Record]] = []

    def meanwhile() -> int:
        reads.append(read(writer, ["CVE-1", "CVE-2", "CVE-3"]))
        return 30

    with store.writer(CONSUMER) as writer:
        assert read(writer, ["CVE-3"]) == {"CVE-3": C}
        assert writer.apply([Delete("CVE-3", 13), first], after(writer, 20), meanwhile)
        assert store.read_state(CONSUMER).range_to == 30, "announced together with the offset"
        kit.apply_unread(writer, [Delete("CVE-1", 24), record("CVE-3", 25)], 30)
        writer.make_searchable()
        assert store.read_state(CONSUMER).range_to is None
    assert reads == [{"CVE-1": first, "CVE-2": B}]
    assert sent.read == [["CVE-3"], ["CVE-2"]]
    assert kit.lines(store, CONSUMER) == [B.line, record("CVE-3", 25).line]


@pytest.mark.parametrize(("names", "checks"), [(["CVE-1"], 0), (["CVE-1", "CVE-2"], 1), ([], 0)])
def test_only_where_something_was_read_the_node_is_asked_what_it_hides(
    store: OpenSearchStore, sent: Counted, names: list[str], checks: int
) -> None:
    def meanwhile() -> int:
        before = sent.checks
        read(writer, names)
        assert sent.checks - before == checks
        return 30

    with store.writer(CONSUMER) as writer:
        assert read(writer, ["CVE-1", "CVE-3"])
        assert writer.apply([record("CVE-1", 14)], after(writer, 20), meanwhile)
        before = sent.checks
        assert read(writer, ["CVE-1"])
        assert sent.checks == before + 1


def test_the_state_is_written_once_a_range_and_once_before_the_first(
    store: OpenSearchStore, sent: Counted
) -> None:
    ends = [20, 30, 40]
    with store.writer(CONSUMER) as writer:
        before = sent.states
        for number, to in enumerate(ends):
            following = ends[number + 1] if number + 1 < len(ends) else None
            write = record("CVE-1", to)
            writer.apply([write], after(writer, to), None if following is None else partial(int, following))
        assert sent.states - before == len(ends) + 1
        assert (writer.state.offset, writer.state.range_to) == (40, None)


def test_a_range_that_cannot_be_folded_ahead_is_not_announced(store: OpenSearchStore) -> None:
    with store.writer(CONSUMER) as writer:
        assert writer.apply([record("CVE-1", 14)], after(writer, 20), lambda: None)
        assert (writer.state.offset, writer.state.range_to) == (20, None)


def test_what_was_folded_over_a_write_that_stood_there_already_is_folded_again(
    store: OpenSearchStore, sent: Counted
) -> None:
    """Its reply was lost: whether it was ours that came first nobody has told."""
    sent.lost = 1

    def meanwhile() -> int:
        assert read(writer, ["CVE-1"])
        return 30

    with store.writer(CONSUMER) as writer:
        assert not writer.apply([record("CVE-1", 14)], after(writer, 20), meanwhile)
        assert (writer.state.offset, writer.state.range_to) == (20, None)
        sent.read.clear()
        assert read(writer, ["CVE-1"]) == {"CVE-1": record("CVE-1", 14)}
    assert sent.read == [["CVE-1"]]


def test_a_record_that_another_program_alters_while_we_write_it_is_no_write_of_ours(
    opensearch_2: OpenSearchNode, store: OpenSearchStore
) -> None:
    """The next range is folded from memory; its version is what our next write would have made of it."""

    def meanwhile() -> int:
        assert read(writer, ["CVE-1"]) == {"CVE-1": record("CVE-1", 20)}
        return 30

    with store.writer(CONSUMER) as writer:
        assert writer.apply([record("CVE-1", 20)], after(writer, 20), meanwhile)
        opensearch_2.request("PUT", f"/{CONSUMER.index}/_doc/CVE-1", {"theirs": 1})
        with pytest.raises(StoreUnavailable, match="another program altered record CVE-1"):
            kit.apply_unread(writer, [record("CVE-1", 21)], 30)
    assert store.read_state(CONSUMER).offset == 20


def test_a_failed_write_is_what_is_raised_whatever_was_met_meanwhile(
    opensearch_2: OpenSearchNode, store: OpenSearchStore
) -> None:
    def meanwhile() -> int:
        raise AnotherPass("met meanwhile")

    with store.writer(CONSUMER) as writer:
        path = f"/{CONSUMER.index}/_doc/CVE-2?version=77&version_type=external"
        opensearch_2.request("PUT", path, {"theirs": 1})
        with pytest.raises(StoreUnavailable, match="record CVE-2 has offset 77"):
            writer.apply([record("CVE-2", 22)], after(writer, 30), meanwhile)
    assert store.read_state(CONSUMER).offset == 10


def test_where_no_thread_can_be_started_nothing_is_done_meanwhile(
    store: OpenSearchStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opensearch_writer, "start_on_thread", lambda job, name: False)
    with store.writer(CONSUMER) as writer:
        assert not writer.apply([record("CVE-1", 14)], after(writer, 20), lambda: 30)
        assert (writer.state.offset, writer.state.range_to) == (20, None)


def test_an_overtaken_writer_writes_nothing_more(
    opensearch_2: OpenSearchNode, store: OpenSearchStore
) -> None:
    theirs = record("CVE-1", 24, {"theirs": True})
    with store.writer(CONSUMER) as writer, closing(kit.open_store(opensearch_2)) as other:
        kit.apply_unread(writer, [record("CVE-1", 14)], 20)
        with other.writer(CONSUMER) as taker:
            kit.apply(taker, [theirs], 30)
            with pytest.raises(AnotherPass):
                kit.apply(writer, [record("CVE-1", 34)], 40)
            assert read(taker, ["CVE-1"]) == {"CVE-1": theirs}
