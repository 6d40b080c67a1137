"""Every store: passes that were remembered come back, the newest first, and no more than are to be kept."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from ctisync.core.model import Consumer
from ctisync.core.pass_report import PassReport, Touched
from ctisync.ports import Store
from tests.contract import passes
from tests.support.records import made_up
from tests.support.stores import MakeStore

BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WITHIN = 30.0


def report(consumer: Consumer, number: int) -> PassReport:
    return PassReport(
        pass_id=f"{consumer.index[-12:]}{number:03}",
        command="sync",
        consumer=str(consumer),
        index=consumer.index,
        began_at=BEGAN + timedelta(hours=number),
        seconds=1.25,
        exit_code=5 if number % 2 else 0,
        outcome="feed-unreachable" if number % 2 else "up-to-date",
        why="odd \u2028 \U0001f41e 'text'; --",
        from_offset=number,
        offset=number + 1,
        last_offset=2**63 - 1,
        phase="ready",
        checked_at=BEGAN,
        records=3,
        unlisted=1,
        touched=(Touched(7, "loaded", ""), Touched(8, "deleted", "CVE-1"), Touched(9, "created", "\uffff")),
    )


def without_touched(report: PassReport) -> PassReport:
    return msgspec.structs.replace(report, touched=())


def test_nothing_is_remembered_at_first(store: Store, consumer: Consumer) -> None:
    assert list(store.passes(consumer, 10)) == []


def test_passes_come_back_as_they_were_the_newest_first(store: Store, consumer: Consumer) -> None:
    reports = [report(consumer, number) for number in range(3)]
    for each in reports:
        store.remember(each, 10, WITHIN)
    assert list(store.passes(consumer, 10, touched=True)) == reports[::-1]
    assert list(store.passes(consumer, 2)) == [without_touched(each) for each in reports[:0:-1]]


def test_only_the_newest_are_kept_of_each_consumer(store: Store, consumer: Consumer) -> None:
    other = Consumer(consumer.context, "another", f"{consumer.index}-2")
    store.remember(report(other, 0), 3, WITHIN)
    for number in range(6):
        store.remember(report(consumer, number), 3, WITHIN)
    assert [each.from_offset for each in store.passes(consumer, 10)] == [5, 4, 3]
    assert [each.consumer for each in store.passes(other, 10)] == [str(other)]


def test_passes_that_a_wrong_clock_dated_into_the_future_crowd_out_no_later_one(
    store: Store, consumer: Consumer
) -> None:
    """They would be the newest for years, and with `keep` of them no real pass would stay."""
    ahead = [
        msgspec.structs.replace(report(consumer, number), began_at=BEGAN + timedelta(days=3650))
        for number in range(2)
    ]
    for each in ahead:
        store.remember(each, 2, WITHIN)
    real = [report(consumer, number) for number in range(2, 5)]
    store.remember(real[0], 2, WITHIN)
    assert [each.from_offset for each in store.passes(consumer, 10)] == [2, 1]
    for each in real[1:]:
        store.remember(each, 2, WITHIN)
    assert [each.from_offset for each in store.passes(consumer, 10)] == [4, 3]


def test_of_passes_that_began_at_once_the_one_that_was_remembered_last_is_first(
    store: Store, consumer: Consumer
) -> None:
    """Where a clock stands still, or was set back; ids say nothing of the order."""
    reports = [report(consumer, number) for number in (2, 0, 1)]
    for each in reports:
        store.remember(msgspec.structs.replace(each, began_at=BEGAN), 2, WITHIN)
    assert [each.from_offset for each in store.passes(consumer, 10)] == [1, 0]


def test_fewer_are_kept_once_the_setting_is_lower(store: Store, consumer: Consumer) -> None:
    for number in range(4):
        store.remember(report(consumer, number), 10, WITHIN)
    store.remember(report(consumer, 4), 1, WITHIN)
    assert [each.from_offset for each in store.passes(consumer, 10)] == [4]


def test_a_pass_that_is_remembered_twice_is_there_once(store: Store, consumer: Consumer) -> None:
    """A request whose reply was lost is sent again."""
    store.remember(report(consumer, 1), 10, WITHIN)
    store.remember(report(consumer, 1), 10, WITHIN)
    assert len(list(store.passes(consumer, 10))) == 1


def test_many_are_read_to_the_end(store: Store, consumer: Consumer) -> None:
    for number in range(45):
        store.remember(report(consumer, number), 100, WITHIN)
    offsets = [each.from_offset for each in store.passes(consumer, 100, touched=True)]
    assert offsets == list(range(44, -1, -1))
    assert len(list(store.passes(consumer, 41, touched=True))) == 41


@pytest.mark.parametrize("lease", ["nobody's", "another's"])
def test_content_and_state_have_nothing_to_do_with_it(
    make_store: MakeStore, consumer: Consumer, lease: str
) -> None:
    store = make_store()
    with store.writer(consumer) as writer:
        passes.load(writer, consumer, made_up(3), 50)
        if lease == "another's":
            make_store().remember(report(consumer, 1), 10, WITHIN)
            passes.apply(writer, made_up(1, first_offset=51), to=51)
    before = store.read_state(consumer)
    store.remember(report(consumer, 2), 10, WITHIN)
    assert store.read_state(consumer) == before
    assert store.summary(consumer).records == len(passes.contents(store, consumer))
