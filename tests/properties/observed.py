"""The ports of one pass with a moment before and after each effect, at which anything may happen.

The machine lets the process die at such a moment, another pass run, or the feed live on; and it is told
what was written the moment it was.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from typing import Protocol, TypeVar

from ctisync.core.health import CheckResult
from ctisync.core.model import (
    Change,
    Consumer,
    ConsumerInfo,
    Footprint,
    OffsetRange,
    Record,
    Snapshot,
    Write,
)
from ctisync.core.pass_report import FactsFill, PassReport, Work
from ctisync.core.state import ConsumerState, RefusedSnapshot, Summary
from ctisync.core.steps import Mode
from ctisync.ports import CommandManager, Inspection, Load, PassFeed, SnapshotFile, Store, Writer
from tests.support.faults import Killed
from tests.support.records import read

T = TypeVar("T")


class Witness(Protocol):
    """Is told of each write that was done, before anybody can look."""

    def saved(self, before: ConsumerState, after: ConsumerState) -> None: ...

    def published(self, process: "Process", snapshot: Snapshot, before: ConsumerState) -> None: ...

    def applied(self, process: "Process", after: ConsumerState) -> None: ...

    def prefetched(self, process: "Process", offsets: OffsetRange) -> None: ...

    def changes_fetched(self, process: "Process", offsets: OffsetRange) -> None: ...


class Process:
    """One pass's process. `at_moment` gets the number of each moment (from 1) and may raise Killed."""

    def __init__(self, witness: Witness, at_moment: Callable[[int], None], mode: Mode = "sync") -> None:
        self.witness = witness
        self.mode = mode
        self._at_moment = at_moment
        self._moments = 0
        self._left = ExitStack()
        self.dead = False
        self.downloads = 0

    def moment(self) -> None:
        if self.dead:
            raise Killed
        self._moments += 1
        try:
            self._at_moment(self._moments)
        except Killed:
            self.dead = True
            raise

    def around(self, effect: Callable[[], T], witness: Callable[[], None] = lambda: None) -> T:
        """The effect between two moments; `witness` runs with it."""
        self.moment()
        result = effect()
        witness()
        self.moment()
        return result

    @contextmanager
    def within(self, opened: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
        """A context that a dead process leaves open, as a killed one does."""
        stack = ExitStack()
        self._left.push(lambda *_: stack.close())
        entered = self.around(lambda: stack.enter_context(opened()))
        try:
            yield entered
        finally:
            if not self.dead:
                self.around(stack.close)

    def bury(self) -> None:
        """Close at last what was left open; the store is not looked at any more."""
        self._left.close()


class ObservedStore:
    def __init__(self, inner: Store, process: Process) -> None:
        self._inner = inner
        self._process = process

    @property
    def name(self) -> str:
        return self._inner.name

    def read_state(self, consumer: Consumer) -> ConsumerState:
        return self._process.around(lambda: self._inner.read_state(consumer))

    def facts_behind(self, consumer: Consumer) -> bool:
        return self._inner.facts_behind(consumer)

    def record_check(self, consumer: Consumer, state: ConsumerState) -> None:
        self._process.around(lambda: self._inner.record_check(consumer, state))

    @contextmanager
    def writer(self, consumer: Consumer) -> Iterator["ObservedWriter"]:
        with self._process.within(lambda: self._inner.writer(consumer)) as writer:
            yield ObservedWriter(writer, self._process)

    def summary(self, consumer: Consumer) -> Summary:
        return self._inner.summary(consumer)

    def certificates(self) -> Iterator[tuple[str, datetime]]:
        return self._inner.certificates()

    def export(self, consumer: Consumer) -> Iterator[bytes]:
        return self._inner.export(consumer)

    def inspect(self, consumer: Consumer) -> AbstractContextManager[Inspection]:
        return self._inner.inspect(consumer)

    def diagnose(self, consumers: Sequence[Consumer]) -> Iterator[CheckResult]:
        return self._inner.diagnose(consumers)

    def refusals(self, consumers: Sequence[Consumer]) -> Iterator[CheckResult]:
        return self._inner.refusals(consumers)

    def work(self, consumer: Consumer) -> Work | None:
        return self._inner.work(consumer)

    def remember(self, report: PassReport, keep: int, within: float) -> None:
        self._inner.remember(report, keep, within)

    def passes(self, consumer: Consumer, most: int, *, touched: bool = False) -> Iterator[PassReport]:
        return self._inner.passes(consumer, most, touched=touched)

    def consumers(self) -> list[Consumer]:
        return self._inner.consumers()

    def footprint(self, consumer: Consumer) -> Footprint:
        return self._inner.footprint(consumer)

    def forget(self, consumer: Consumer) -> None:
        self._inner.forget(consumer)

    def close(self) -> None:
        self._inner.close()


class ObservedWriter:
    def __init__(self, inner: Writer, process: Process) -> None:
        self._inner = inner
        self._process = process

    @property
    def state(self) -> ConsumerState:
        return self._inner.state

    def save(self, state: ConsumerState) -> None:
        before = self._inner.state
        report = self._process.witness.saved
        self._process.around(lambda: self._inner.save(state), lambda: report(before, state))

    @contextmanager
    def load(self, snapshot: Snapshot) -> Iterator["ObservedLoad"]:
        with self._process.within(lambda: self._inner.load(snapshot)) as load:
            yield ObservedLoad(load, snapshot, self._inner, self._process)

    def read_in_parts(self, names: Sequence[str]) -> Iterator[tuple[Sequence[str], dict[str, Record]]]:
        yield names, self._process.around(lambda: read(self._inner, names))

    def save_later(self, state: ConsumerState) -> None:
        self._process.around(lambda: self._inner.save_later(state))

    def apply(
        self,
        writes: Sequence[Write],
        after: ConsumerState,
        meanwhile: Callable[[], int | None] | None = None,
    ) -> bool:
        report = self._process.witness.applied
        return self._process.around(
            lambda: self._inner.apply(writes, after, meanwhile), lambda: report(self._process, after)
        )

    def make_searchable(self) -> None:
        self._process.around(self._inner.make_searchable)

    def keep_alive(self) -> None:
        self._process.around(self._inner.keep_alive)

    def fill_facts(self, check: Callable[[], None]) -> FactsFill | None:
        return self._process.around(lambda: self._inner.fill_facts(check))


class ObservedLoad:
    def __init__(self, inner: Load, snapshot: Snapshot, writer: Writer, process: Process) -> None:
        self._inner = inner
        self._snapshot = snapshot
        self._writer = writer
        self._process = process

    def add(self, records: Sequence[Record]) -> None:
        self._process.around(lambda: self._inner.add(records))

    @property
    def ambiguous(self) -> int:
        return self._inner.ambiguous

    def publish(self, after: ConsumerState) -> int:
        before, report = self._writer.state, self._process.witness.published
        return self._process.around(
            lambda: self._inner.publish(after), lambda: report(self._process, self._snapshot, before)
        )


class ObservedFeed:
    def __init__(self, inner: PassFeed, process: Process) -> None:
        self._inner = inner
        self._process = process

    def consumer_info(self) -> ConsumerInfo:
        return self._process.around(self._inner.consumer_info)

    def changes(self, offsets: OffsetRange) -> list[Change]:
        report = self._process.witness.changes_fetched
        return self._process.around(
            lambda: self._inner.changes(offsets), lambda: report(self._process, offsets)
        )

    def prefetch(self, offsets: OffsetRange) -> None:
        report = self._process.witness.prefetched
        self._process.around(lambda: self._inner.prefetch(offsets), lambda: report(self._process, offsets))

    def fetch_snapshot(
        self, snapshot: Snapshot, refused: RefusedSnapshot | None, keep_alive: Callable[[], None]
    ) -> SnapshotFile:
        file = self._process.around(lambda: self._inner.fetch_snapshot(snapshot, refused, keep_alive))
        self._process.downloads += 1
        return file

    open_snapshot = fetch_snapshot

    def tidy(self) -> None:
        self._process.around(self._inner.tidy)


class ObservedCommands:
    def __init__(self, inner: CommandManager, process: Process) -> None:
        self._inner = inner
        self._process = process

    def send_update(self, index: str, offset: int) -> None:
        self._process.around(lambda: self._inner.send_update(index, offset))
