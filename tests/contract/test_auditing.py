"""Every store: an audit finds no fault with what passes leave, finished or killed, and sees what is there."""

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from ctisync.core.findings import Finding, Kind
from ctisync.core.limits import USUAL_LIMITS
from ctisync.core.model import Consumer, Delete, Record
from ctisync.core.state import ConsumerState, FailedChange
from ctisync.ports import Store
from ctisync.verify.audit import Verification, verify
from tests.contract import passes
from tests.support.log import KeptLog
from tests.support.records import awkward, made_up, record
from tests.support.stores import MakeStore


def audited(store: Store, consumer: Consumer, *, deep: bool = True) -> Verification:
    return verify(consumer, store=store, log=KeptLog(), deep=deep, against=None, at_work=None)


def differences(audit: Verification) -> list[Finding]:
    return [each for each in audit.findings if each.kind.weight == "difference"]


def by_name(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda each: each.name)


@pytest.mark.parametrize("deep", [False, True])
def test_what_passes_have_stored_has_no_finding(store: Store, consumer: Consumer, deep: bool) -> None:
    with store.writer(consumer) as writer:
        passes.load(writer, consumer, [*awkward(), *made_up(50, first_offset=110)], 200)
        passes.apply(writer, [record("CVE-new", 210), Delete("TID-0039", 211)], to=220)

    audit = audited(store, consumer, deep=deep)
    assert (audit.findings, audit.records, audit.is_good) == ((), 56, True)


def test_nothing_stored_is_empty_and_no_fault(store: Store, consumer: Consumer) -> None:
    assert audited(store, consumer).is_empty
    with store.writer(consumer):
        pass
    audit = audited(store, consumer)
    assert (audit.is_empty, audit.findings, audit.records) == (True, (), None)


def test_a_name_has_neighbours_whether_it_is_there_or_not(store: Store, consumer: Consumer) -> None:
    """Who has mistyped one is shown what is near."""
    with store.inspect(consumer) as inspection:
        assert inspection.neighbours("CVE-2", 2) == []
    names = ["A", "CVE-1", "CVE-2", "CVE-20", "CVE-3", "é", "\N{MUSICAL SYMBOL G CLEF}"]
    passes.initialise(store, consumer, [record(name, at) for at, name in enumerate(names, 1)], 50)
    with store.inspect(consumer) as inspection:
        assert inspection.neighbours("CVE-2", 2) == ["A", "CVE-1", "CVE-20", "CVE-3"]
        assert inspection.neighbours("CVE-21", 1) == ["CVE-20", "CVE-3"]
        assert inspection.neighbours("", 3) == names[:3]
        assert inspection.neighbours("\uffff", 2) == ["CVE-3", "é", names[-1]]


def test_an_inspection_hands_out_every_record_and_each_by_its_name(store: Store, consumer: Consumer) -> None:
    records = by_name([*awkward(), *made_up(300, first_offset=1000)])
    passes.initialise(store, consumer, records, 2000)
    names = [each.name for each in records]

    with store.inspect(consumer) as inspection:
        assert inspection.state == store.read_state(consumer)
        assert inspection.count() == len(records)
        assert by_name(list(inspection.scan())) == records
        assert inspection.lookup([*names, "nobody"]) == {each.name: each for each in records}
        assert inspection.lookup([]) == {}


def test_an_inspection_of_nothing_hands_out_nothing(store: Store, consumer: Consumer) -> None:
    with store.inspect(consumer) as inspection:
        assert (inspection.state, inspection.count(), list(inspection.scan()), inspection.lookup(["A"])) == (
            ConsumerState(),
            None,
            [],
            {},
        )


def test_an_inspection_is_of_one_consumer(
    store: Store, consumer: Consumer, new_consumer: Callable[[], Consumer]
) -> None:
    passes.initialise(store, new_consumer(), made_up(3), 10)
    passes.initialise(store, consumer, [record("CVE-1", 1)], 10)

    assert audited(store, consumer).records == 1
    assert audited(store, consumer).is_good


def test_an_inspection_changes_nothing(store: Store, consumer: Consumer) -> None:
    passes.initialise(store, consumer, made_up(3), 10)
    before = (store.read_state(consumer), passes.contents(store, consumer))
    audited(store, consumer)

    assert (store.read_state(consumer), passes.contents(store, consumer)) == before


def test_while_a_writer_loads_nothing_is_wrong(make_store: MakeStore, consumer: Consumer) -> None:
    """Neither before the first content nor beside a live one."""
    with make_store().writer(consumer) as writer:
        for offset in (10, 20):
            with writer.load(passes.snapshot(offset)) as load:
                load.add(made_up(5))
                assert differences(audited(make_store(), consumer)) == []
                load.publish(passes.loaded(writer, consumer, offset))
                assert differences(audited(make_store(), consumer)) == []


def test_what_a_killed_load_leaves_is_no_difference(
    make_store: MakeStore, consumer: Consumer, killed: ExitStack
) -> None:
    passes.initialise(make_store(), consumer, made_up(3), 10)
    writer = killed.enter_context(make_store().writer(consumer))
    killed.enter_context(writer.load(passes.snapshot(20))).add(made_up(5))

    audit = audited(make_store(), consumer)
    assert differences(audit) == []
    assert audit.records == 3


def test_a_content_that_waits_to_be_initialised_again_is_audited(store: Store, consumer: Consumer) -> None:
    with store.writer(consumer) as writer:
        passes.load(writer, consumer, made_up(3), 10)
        failed = FailedChange(15, "CVE-1", None, "why", "digest")
        writer.save(writer.state.interrupted(failed, passes.NOW))

    audit = audited(store, consumer)
    assert differences(audit) == []
    assert Kind.OFFSET_NOT_JUDGED in audit.counts


def test_an_altered_line_is_a_finding(store: Store, consumer: Consumer) -> None:
    """Planted by the store's own means: a record whose line tells of another."""
    altered = Record("CVE-1", 5, record("CVE-2", 5).line)
    too_deep = USUAL_LIMITS.json_depth + 1
    deep = record("CVE-3", 6, b'{"a":' * too_deep + b"1" + b"}" * too_deep)
    passes.initialise(store, consumer, [altered, deep, record("CVE-4", 4)], 10)

    audit = audited(store, consumer)
    assert [(each.kind, each.subject) for each in audit.findings] == [
        (Kind.PAYLOAD_DEEP, "CVE-3"),
        (Kind.RECORD_MISLABELLED, "CVE-1"),
    ]
