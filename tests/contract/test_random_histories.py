"""Every store: after any series of passes, whole or broken off, it holds what a dictionary would."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from ctisync.core.model import Consumer, Delete, Record, Write
from ctisync.ports import Store
from tests.contract import passes
from tests.contract.passes import at, lines
from tests.support.records import record
from tests.support.stores import MakeStore

NAMES = st.sampled_from(["A", "a", "B", "É", "🐞"])


class Load(NamedTuple):
    """A snapshot `distance` offsets from here; its records have offsets that far below its own."""

    distance: int
    records: list[tuple[str, int]]
    ends: str


class Range(NamedTuple):
    """So many offsets; what is put (True) or deleted of each name, and how often it is written."""

    length: int
    puts: dict[str, bool]
    times: int


loads = st.builds(
    Load,
    distance=st.integers(-5, 20),
    records=st.lists(st.tuples(NAMES, st.integers(0, 9)), min_size=1, max_size=8),
    ends=st.sampled_from(["published", "published", "left", "killed"]),
)
ranges = st.builds(
    Range,
    length=st.integers(1, 9),
    puts=st.dictionaries(NAMES, st.booleans(), max_size=5),
    times=st.integers(1, 2),
)
histories = st.lists(st.one_of(loads, ranges, ranges), min_size=1, max_size=8)


class Model:
    """What should be stored: the records by name, None before the first load."""

    def __init__(self) -> None:
        self.offset = 0
        self.records: dict[str, Record] | None = None

    def lines(self) -> list[bytes] | None:
        if self.records is None:
            return None
        return lines(*(self.records[name] for name in sorted(self.records, key=str.encode)))


def test_any_series_of_passes_leaves_what_a_dictionary_would_hold(
    make_store: MakeStore, new_consumer: Callable[[], Consumer]
) -> None:
    first = make_store()
    examples = 6 if first.name.startswith("http") else 60

    @settings(max_examples=examples)
    @given(histories)
    def check(history: list[Load | Range]) -> None:
        consumer, model = new_consumer(), Model()
        with ExitStack() as killed:
            for number, step in enumerate(history):
                store = make_store()
                if isinstance(step, Load):
                    _load(store, consumer, model, step, number, killed)
                else:
                    _apply(store, consumer, model, step, number)
                assert store.read_state(consumer).offset == model.offset
                stored = None if store.summary(consumer).records is None else passes.contents(store, consumer)
                assert stored == model.lines()

    check()


def _load(store: Store, consumer: Consumer, model: Model, step: Load, number: int, killed: ExitStack) -> None:
    offset = max(10, model.offset + step.distance)
    records = [
        record(name, offset - below, {"step": number, "line": index})
        for index, (name, below) in enumerate(step.records)
    ]
    with ExitStack() as left:
        entered = killed if step.ends == "killed" else left
        writer = entered.enter_context(store.writer(consumer))
        load = entered.enter_context(writer.load(passes.snapshot(offset)))
        half = len(records) // 2
        load.add(records[:half])
        load.add(records[half:])
        if step.ends == "published":
            load.publish(passes.loaded(writer, consumer, offset))
            model.offset, model.records = offset, {}
            for each in records:
                if each.name not in model.records or model.records[each.name].offset < each.offset:
                    model.records[each.name] = each


def _apply(store: Store, consumer: Consumer, model: Model, step: Range, number: int) -> None:
    if model.records is None:
        return
    end = model.offset + step.length
    writes: list[Write] = [
        record(name, end, {"step": number}) if put else Delete(name, end) for name, put in step.puts.items()
    ]
    with store.writer(consumer) as writer:
        for _ in range(step.times):
            writer.save(at(model.offset, writer.state))
            writer.apply(writes, writer.state.advanced(end, passes.NOW))
        writer.make_searchable()
    model.offset = end
    for write in writes:
        if isinstance(write, Record):
            model.records[write.name] = write
        else:
            model.records.pop(write.name, None)
