"""Every store: an examination of what is in order finds nothing wrong, and changes nothing."""

from collections.abc import Callable

from ctisync.core.health import CheckResult, worst
from ctisync.core.model import Consumer
from ctisync.ports import Store
from tests.contract import passes
from tests.support.records import made_up
from tests.support.stores import MakeStore


def examined(store: Store, *consumers: Consumer) -> list[CheckResult]:
    checks = list(store.diagnose(consumers))
    assert checks
    assert all(each.text and each.what == each.what.lower() for each in checks)
    assert all(each.hint for each in checks if each.health != "ok")
    return checks


def test_what_is_in_order_is_ok_before_the_first_pass_and_after_it(store: Store, consumer: Consumer) -> None:
    before = examined(store, consumer)
    passes.initialise(store, consumer, made_up(3), 10)
    after = examined(store, consumer)

    assert [each.what for each in before] == [each.what for each in after]
    assert {worst(before), worst(after)} == {"ok"}


def test_nothing_keeps_passes_from_a_store_that_is_in_order_and_none_is_at_work_when_it_has_let_go(
    store: Store, consumer: Consumer
) -> None:
    for _ in range(2):
        assert list(store.refusals([consumer])) == []
        assert store.work(consumer) is None
        passes.initialise(store, consumer, made_up(3), 10)


def test_an_examination_changes_nothing(store: Store, consumer: Consumer) -> None:
    examined(store, consumer)
    assert store.summary(consumer).records is None
    passes.initialise(store, consumer, made_up(3), 10)
    before = (store.read_state(consumer), passes.contents(store, consumer))
    examined(store, consumer)

    assert (store.read_state(consumer), passes.contents(store, consumer)) == before


def test_beside_a_pass_at_work_nothing_is_wrong_and_the_pass_goes_on(
    make_store: MakeStore, consumer: Consumer
) -> None:
    with make_store().writer(consumer) as writer:
        passes.load(writer, consumer, made_up(3), 10)
        assert worst(examined(make_store(), consumer)) == "ok"
        passes.load(writer, consumer, made_up(5), 20)

    assert make_store().read_state(consumer).offset == 20


def test_each_consumer_is_examined_and_the_store_once(
    store: Store, new_consumer: Callable[[], Consumer]
) -> None:
    consumers = [new_consumer(), new_consumer()]
    checks = examined(store, *consumers)

    pairs = [(each.what, each.about) for each in checks]
    assert len(pairs) == len(set(pairs))
    assert {each.about for each in checks} <= {None, *map(str, consumers)}
