"""Bulks that are under way at once: in no other order than it must be, never too many, no error lost."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import NamedTuple

import pytest

from ctisync.errors import AnotherPass
from ctisync.stores.opensearch.bulk import SMALLEST, BulkAction, BulkPool, BulkResult, Pace, index
from tests.support.clock import FakeClock
from tests.support.records import record

PATIENCE = 120
"""Seconds: what takes longer never comes."""
A_MOMENT = 0.2
"""Seconds in which what may not happen would have happened."""


class SentRequest(NamedTuple):
    """A bulk that the node was sent, by its first name. It stays under way until the answer is there."""

    name: str
    answer: SimpleQueue[BulkResult | BaseException]


class Node:
    """Answers a bulk when the test says so; `take` gives the next that has come."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.clock.advance(days=3)  # as a machine that has run for a while
        self.came: SimpleQueue[SentRequest] = SimpleQueue()

    def send(self, actions: Sequence[BulkAction]) -> BulkResult:
        sent = SentRequest(actions[0].name, SimpleQueue())
        self.came.put(sent)
        answer = sent.answer.get(timeout=PATIENCE)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def take(self) -> SentRequest:
        return self.came.get(timeout=PATIENCE)

    def senders(self, pace: Pace) -> BulkPool:
        return BulkPool(self.send, pace, self.clock, lambda: None)


@pytest.fixture
def node() -> Node:
    return Node()


def bulk(*names: str) -> list[BulkAction]:
    return [index(record(name, 1)) for name in names]


@contextmanager
def waiting(senders: BulkPool, *names: str) -> Iterator[None]:
    """A bulk that cannot go yet, and has gone at the end."""
    thread = threading.Thread(target=senders.submit, args=(bulk(*names),), daemon=True)
    thread.start()
    thread.join(A_MOMENT)
    assert thread.is_alive()
    yield
    thread.join(PATIENCE)
    assert not thread.is_alive()


ACTIONS = bulk(*(f"CVE-{number}" for number in range(1, 6)))
BYTES = ACTIONS[0].size


@pytest.mark.parametrize(
    ("most", "counts"),
    [
        (5 * BYTES, [5]),
        (5 * BYTES - 1, [4, 1]),
        (2 * BYTES, [2, 2, 1]),
        (2 * BYTES - 1, [1, 1, 1, 1, 1]),
        (1, [1, 1, 1, 1, 1]),
    ],
)
def test_each_bulk_is_as_large_as_it_may_be_and_an_action_that_is_too_large_goes_alone(
    most: int, counts: list[int]
) -> None:
    sent: list[Sequence[BulkAction]] = []
    kept_alive: list[int] = []

    def send(actions: Sequence[BulkAction]) -> BulkResult:
        sent.append(actions)
        return BulkResult(created=len(actions))

    pace = Pace(senders=1, bulk_bytes=most)
    senders = BulkPool(send, pace, FakeClock(), lambda: kept_alive.append(len(sent)))
    replies = senders.add(ACTIONS[:2]) + senders.add(ACTIONS[2:]) + senders.drain()
    assert [reply.created for reply in replies] == counts
    assert [action for actions in sent for action in actions] == ACTIONS
    assert len(kept_alive) == len(counts)
    assert senders.drain() == []


def test_nothing_to_do_is_no_bulk(node: Node) -> None:
    """An empty one is an error on the node."""
    senders = node.senders(Pace())
    assert senders.add([]) + senders.drain() == []
    assert node.came.empty()


def test_what_is_gathered_when_a_load_is_abandoned_is_not_sent(node: Node) -> None:
    senders = node.senders(Pace())
    senders.add(ACTIONS)
    senders.stop(A_MOMENT)
    assert node.came.empty()


def test_two_lines_of_one_record_are_never_under_way_together(node: Node) -> None:
    """The second one could come first, and then stay, though its offset is no higher."""
    senders = node.senders(Pace())
    senders.submit(bulk("CVE-1", "CVE-2"))
    first = node.take()
    with waiting(senders, "CVE-3", "CVE-2"):
        assert node.came.empty()
        first.answer.put(BulkResult(created=2))
    assert node.take().name == "CVE-3"


def test_no_more_bulks_are_under_way_than_the_settings_say_nor_two_before_the_first_was_accepted(
    node: Node,
) -> None:
    senders = node.senders(Pace(senders=3))
    under_way = []
    for number in range(2):
        senders.submit(bulk(f"CVE-{number}"))
        under_way.append(node.take())
    for number in range(2, 12):
        with waiting(senders, f"CVE-{number}"):
            assert node.came.empty()
            under_way.pop(0).answer.put(BulkResult(created=1))
        under_way.append(node.take())
        if number == 3:  # two were taken well: one more may go
            senders.submit(bulk("CVE-more"))
            under_way.append(node.take())
    assert len(under_way) == 3


def test_a_single_sender_sends_one_after_the_other(node: Node) -> None:
    senders = node.senders(Pace(senders=1))
    senders.submit(bulk("CVE-1"))
    for number in range(2, 6):
        sent = node.take()
        with waiting(senders, f"CVE-{number}"):
            assert node.came.empty()
            sent.answer.put(BulkResult(created=1))


def test_each_reply_is_handed_out_once(node: Node) -> None:
    senders = node.senders(Pace(senders=1))
    replies = []
    for number in range(1, 6):
        replies += senders.submit(bulk(f"CVE-{number}"))
        node.take().answer.put(BulkResult(created=number))
    replies += senders.drain()
    assert [sent.created for sent in replies] == [1, 2, 3, 4, 5]
    assert senders.drain() == []


@pytest.mark.parametrize("error", [AnotherPass("taken over"), KeyboardInterrupt(), ValueError("a bug")])
def test_what_goes_wrong_on_a_thread_is_raised_where_the_load_is(node: Node, error: BaseException) -> None:
    senders = node.senders(Pace())
    senders.submit(bulk("CVE-1"))
    senders.submit(bulk("CVE-2"))
    node.take().answer.put(error)
    with pytest.raises(type(error)):
        senders.drain()


def test_a_node_that_turns_bulks_away_gets_fewer_and_smaller_ones(node: Node) -> None:
    senders = node.senders(Pace(senders=4, bulk_bytes=8 * SMALLEST))
    sizes = []
    for number in range(6):
        senders.submit(bulk(f"CVE-{number}"))
        node.take().answer.put(BulkResult(rejections=1))
        senders.drain()
        sizes.append(senders.bulk_bytes // SMALLEST)
    assert sizes == [4, 2, 1, 1, 1, 1]
    senders.submit(bulk("CVE-1"))
    sent = node.take()
    with waiting(senders, "CVE-2"):
        sent.answer.put(BulkResult())


def test_so_does_a_node_that_takes_long(node: Node) -> None:
    senders = node.senders(Pace(senders=4, bulk_bytes=8 * SMALLEST))
    senders.submit(bulk("CVE-1"))
    sent = node.take()
    node.clock.advance(seconds=11)
    sent.answer.put(BulkResult(created=1))
    senders.drain()
    assert senders.bulk_bytes == 4 * SMALLEST


def test_a_node_that_has_recovered_gets_as_much_as_the_settings_say_and_no_more(node: Node) -> None:
    pace = Pace(senders=4, bulk_bytes=3 * SMALLEST)
    senders = node.senders(pace)
    for number in range(3):
        senders.submit(bulk(f"CVE-{number}"))
        node.take().answer.put(BulkResult(rejections=1))
        senders.drain()
    sizes = []
    for number in range(20):
        senders.submit(bulk(f"CVE-{number}"))
        node.take().answer.put(BulkResult(created=1))
        senders.drain()
        sizes.append(senders.bulk_bytes)
    assert sizes[0] > SMALLEST
    assert (sizes[-1], max(sizes)) == (pace.bulk_bytes, pace.bulk_bytes)


def test_settings_below_the_smallest_bulk_hold(node: Node) -> None:
    senders = node.senders(Pace(bulk_bytes=1000))
    senders.submit(bulk("CVE-1"))
    node.take().answer.put(BulkResult(rejections=1))
    senders.drain()
    assert senders.bulk_bytes == 1000


def test_the_lease_is_renewed_while_a_node_takes_long(node: Node) -> None:
    renewed = threading.Event()
    senders = BulkPool(node.send, Pace(senders=1), node.clock, renewed.set)
    senders.submit(bulk("CVE-1"))
    with waiting(senders, "CVE-2"):
        assert renewed.wait(PATIENCE)
        node.take().answer.put(BulkResult())


def test_an_abandoned_load_waits_for_what_is_under_way_but_not_for_ever(node: Node) -> None:
    senders = node.senders(Pace())
    senders.submit(bulk("CVE-1"))
    senders.submit(bulk("CVE-2"))
    node.take().answer.put(AnotherPass("of no interest any more"))
    senders.stop(A_MOMENT)  # the second one hangs
    node.take().answer.put(BulkResult())
    senders.stop(PATIENCE)
    assert senders.drain() == []


def test_a_bulk_whose_thread_has_just_been_started_when_a_stop_comes_is_waited_for(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease would be given back while the node still writes."""
    start = threading.Thread.start

    def stopped_start(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    senders = node.senders(Pace())
    monkeypatch.setattr(threading.Thread, "start", stopped_start)
    with pytest.raises(KeyboardInterrupt):
        senders.submit(bulk("CVE-1"))
    node.take().answer.put(BulkResult(created=1))
    assert [each.created for each in senders.drain()] == [1]


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_stop_that_comes_while_a_bulk_is_sent_without_a_thread_is_raised_at_once(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after the bulks that follow."""
    senders = BulkPool(stopped, Pace(), node.clock, lambda: None)
    monkeypatch.setattr(threading.Thread, "start", no_thread)

    with pytest.raises(KeyboardInterrupt):
        senders.submit(bulk("CVE-1"))


def stopped(_: Sequence[BulkAction]) -> BulkResult:
    raise KeyboardInterrupt


def test_an_update_has_no_more_bytes_in_flight_than_a_load() -> None:
    update, load = Pace(senders=3, bulk_bytes=700_000).one_by_one, Pace(senders=3, bulk_bytes=700_000)
    assert update.senders == 1
    assert update.bulk_bytes == load.senders * load.bulk_bytes
