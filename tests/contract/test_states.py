"""Every store: what is remembered of a consumer is whole, and belongs to it alone."""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest

from ctisync.core.incidents import Incident
from ctisync.core.model import MAX_OFFSET, ChangeMark, Consumer, ConsumerInfo
from ctisync.core.state import (
    Accepted,
    ConsumerState,
    Cooldown,
    FailedChange,
    LoadRequest,
    Owed,
    RefusedSnapshot,
    WatchCursor,
)
from ctisync.core.trust import KeySerial
from ctisync.ports import Store
from tests.contract import passes
from tests.contract.passes import at, lines
from tests.support.records import record
from tests.support.stores import MakeStore

A, B = record("CVE-1", 1), record("CVE-2", 2)
FAILED = FailedChange(
    offset=11,
    resource="CVE-é-日本",
    operation=2,
    reason="replace /containers/cna: there is no such member\nin the “record”",
    digest="sha256:0123",
    snapshot_link="https://cti.example.org/store/10.zip",
    reinitialised=True,
    blocked=True,
)
REFUSED = RefusedSnapshot(
    link="https://cti.example.org/store/9.zip?a=1&b=ü",
    etag='W/"abc"',
    size=8_000_000_000,
    reason="line 3: no JSON",
)
ANSWER = ConsumerInfo(last_offset=1234, snapshot=passes.snapshot(1000))
LATER = datetime(2026, 3, 2, 1, 2, 3, 4, tzinfo=UTC)
INCIDENT = Incident("error", 5, "the feed answers 503: “later”", passes.NOW, LATER)


def test_every_field_of_a_state_comes_back(make_store: MakeStore, consumer: Consumer) -> None:
    passes.initialise(make_store(), consumer, [A, B], 10)
    with make_store().writer(consumer) as writer:
        state = msgspec.structs.replace(
            writer.state,
            last_offset=MAX_OFFSET,
            last_snapshot_link="https://cti.example.org/store/12.zip",
            range_to=20,
            owed=Owed(offset=10, attempts=3),
            failed=FAILED,
            useless_snapshot="https://cti.example.org/store/11.zip",
            refused=REFUSED,
            stored_for=msgspec.structs.replace(consumer, resources=("CVE-*", "TID-[0-9]*")),
            checked_at=passes.NOW,
            updated_at=LATER,
            reinitialised_at=LATER,
            cooldown=Cooldown(until=LATER, reason="429", server="https://cti.example.org/api/v1"),
            requested=LoadRequest(msgspec.structs.replace(consumer, resources=("CVE-*",)), LATER),
            unanswered_at=LATER,
            was_in_step_at=passes.NOW,
            accepted=Accepted(10, LATER),
            incidents=(INCIDENT,),
            watches=(WatchCursor("our edge", 8, b"\x00 what was reported"),),
            last_change=ChangeMark(10, "2025-02-05T16:00:14.938985Z"),
            identity="4 2023-11-23T19:34:18.698495Z",
            serials=(KeySerial("RWQ", 2**63 - 1), KeySerial("RWS", 1)),
        )
        writer.save(state)
        assert writer.state == state

    assert make_store().read_state(consumer) == state
    unset = {field for field, value in msgspec.structs.asdict(state).items() if not value}
    assert unset == {"loading", "occupant", "unsettled"}, "a new field belongs into this test"


def test_a_field_that_is_emptied_is_empty(store: Store, consumer: Consumer) -> None:
    with store.writer(consumer) as writer:
        passes.load(writer, consumer, [A], 10)
        full = msgspec.structs.replace(writer.state, failed=FAILED, refused=REFUSED, range_to=20)
        writer.save(full)
        writer.save(msgspec.structs.replace(full, owed=None, failed=None, refused=None, range_to=None))

    state = store.read_state(consumer)
    assert (state.owed, state.failed, state.refused, state.range_to) == (None, None, None, None)


def test_an_offset_may_be_lowered_and_the_content_stays(store: Store, consumer: Consumer) -> None:
    """A change that cannot be applied: readers keep what they have until the content is initialised again."""
    with store.writer(consumer) as writer:
        passes.load(writer, consumer, [A, B], 10)
        state = writer.state.interrupted(FAILED, passes.NOW)
        writer.save(state)

    assert store.read_state(consumer) == state
    assert passes.contents(store, consumer) == lines(A, B)


def test_an_offset_cannot_be_raised_without_content(store: Store, consumer: Consumer) -> None:
    with store.writer(consumer) as writer:
        passes.load(writer, consumer, [A], 10)
        with pytest.raises(ValueError, match="offset"):
            writer.save(at(11, writer.state))

    assert store.read_state(consumer).offset == 10


def test_a_state_without_content_is_remembered(make_store: MakeStore, consumer: Consumer) -> None:
    """The first snapshot of all was refused: it isn't fetched again by the next pass."""
    with make_store().writer(consumer) as writer:
        writer.save(ConsumerState(refused=REFUSED))

    assert make_store().read_state(consumer) == ConsumerState(refused=REFUSED)
    assert make_store().summary(consumer).records is None


def test_a_pass_with_nothing_to_do_records_the_feeds_answer(
    make_store: MakeStore, consumer: Consumer
) -> None:
    passes.initialise(make_store(), consumer, [A, B], 10)
    state = make_store().read_state(consumer).feed_answered(ANSWER, LATER)
    make_store().record_check(consumer, state)

    assert make_store().read_state(consumer) == state
    assert passes.contents(make_store(), consumer) == lines(A, B)


def test_a_pass_that_finds_nothing_to_do_mends_times_that_lie_in_the_future(
    make_store: MakeStore, consumer: Consumer
) -> None:
    """Stored by a pass whose clock was ahead."""
    ahead = datetime(2036, 3, 1, tzinfo=UTC)
    passes.initialise(make_store(), consumer, [A, B], 10)
    with make_store().writer(consumer) as writer:
        writer.save(msgspec.structs.replace(writer.state, checked_at=ahead, updated_at=ahead))
    make_store().record_check(consumer, make_store().read_state(consumer).feed_answered(ANSWER, LATER))

    state = make_store().read_state(consumer)
    assert (state.checked_at, state.updated_at) == (LATER, LATER)


def test_a_try_that_the_feed_did_not_answer_is_remembered_without_a_lease(
    make_store: MakeStore, consumer: Consumer
) -> None:
    passes.initialise(make_store(), consumer, [A, B], 10)
    state = make_store().read_state(consumer).unanswered(LATER)
    make_store().record_check(consumer, state)

    assert make_store().read_state(consumer) == state
    assert state.tried_at == LATER


def test_what_was_alerted_is_remembered_without_a_lease(make_store: MakeStore, consumer: Consumer) -> None:
    """Another host, or the next pass, would alert once more."""
    passes.initialise(make_store(), consumer, [A, B], 10)
    for incidents in ((INCIDENT,), ()):
        state = msgspec.structs.replace(make_store().read_state(consumer), incidents=incidents)
        make_store().record_check(consumer, state)
        assert make_store().read_state(consumer) == state


def test_the_feeds_answer_is_recorded_before_there_is_a_content(store: Store, consumer: Consumer) -> None:
    state = ConsumerState().feed_answered(ANSWER, LATER)
    store.record_check(consumer, state)

    assert store.read_state(consumer) == state
    assert store.summary(consumer).records is None


def test_a_pass_with_nothing_to_do_never_undoes_what_another_did_meanwhile(
    make_store: MakeStore, consumer: Consumer
) -> None:
    store = make_store()
    passes.initialise(store, consumer, [A, B], 10)
    before = store.read_state(consumer)
    with make_store().writer(consumer) as writer:
        passes.apply(writer, [record("CVE-1", 11)], to=20)
        after = writer.state
    store.record_check(consumer, before.feed_answered(ANSWER, LATER))

    state = store.read_state(consumer)
    assert (state.offset, state.owed, state.updated_at) == (20, after.owed, after.updated_at)


def test_a_writer_goes_on_after_another_process_recorded_the_feeds_answer(
    make_store: MakeStore, consumer: Consumer
) -> None:
    passes.initialise(make_store(), consumer, [A, B], 10)
    with make_store().writer(consumer) as writer:
        make_store().record_check(consumer, make_store().read_state(consumer).feed_answered(ANSWER, LATER))
        passes.apply(writer, [record("CVE-1", 11)], to=20)
        after = writer.state

    assert make_store().read_state(consumer).offset == after.offset == 20


def test_consumers_beside_each_other_do_not_mix(
    make_store: MakeStore, new_consumer: Callable[[], Consumer]
) -> None:
    """Same name in another context, another name in the same context; one is loading all the while."""
    one, other = new_consumer(), new_consumer()
    sibling = msgspec.structs.replace(one, name="vd_5.0.0", index=other.index + "-sibling")
    store = make_store()
    with make_store().writer(sibling) as loading, loading.load(passes.snapshot(30)) as load:
        load.add([record("CVE-9", 9)])
        passes.initialise(make_store(), one, [A, B], 10)
        passes.initialise(make_store(), other, [record("CVE-1", 21)], 25)
        with make_store().writer(one) as writer:
            passes.apply(writer, [record("CVE-1", 11)], to=12)

        assert [store.summary(each).records for each in (one, sibling, other)] == [2, None, 1]
        assert [store.read_state(each).offset for each in (one, sibling, other)] == [12, 0, 25]
        assert [store.read_state(each).loading for each in (one, sibling, other)] == [False, True, False]
        assert load.publish(passes.loaded(loading, sibling, 30)) == 1

    assert passes.contents(store, one) == lines(record("CVE-1", 11), B)
    assert passes.contents(store, sibling) == lines(record("CVE-9", 9))
    assert passes.contents(store, other) == lines(record("CVE-1", 21))


def test_two_consumers_of_one_context_are_written_at_the_same_time(
    make_store: MakeStore, consumer: Consumer
) -> None:
    sibling = msgspec.structs.replace(consumer, name="vd_5.0.0", index=consumer.index + "-sibling")
    with make_store().writer(consumer) as one, make_store().writer(sibling) as other:
        passes.load(one, consumer, [A], 10)
        passes.load(other, sibling, [B], 20)
        passes.apply(one, [record("CVE-1", 11)], to=11)
        passes.apply(other, [record("CVE-2", 21)], to=21)
        one.save(msgspec.structs.replace(one.state, owed=None))
        after = [one.state, other.state]

    store = make_store()
    assert [store.read_state(consumer), store.read_state(sibling)] == after
    assert passes.contents(store, consumer) == lines(record("CVE-1", 11))
    assert passes.contents(store, sibling) == lines(record("CVE-2", 21))
