"""A `ctisync.ports.Store` made of dictionaries: the shortest one to read. `folder_store` keeps it in files.

It replaces values and never alters them in place, so that a dead writer leaves nothing half done, and an
export reads from one moment.
"""

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime

import msgspec

from ctisync.core.findings import Finding
from ctisync.core.health import CheckResult, ok
from ctisync.core.model import Consumer, Footprint, Record, Snapshot, Write
from ctisync.core.pass_report import FactsFill, PassReport, Work
from ctisync.core.state import ConsumerState, Summary
from ctisync.errors import AnotherPass
from ctisync.stores import invariants

Content = Mapping[str, Record]


class Kept(msgspec.Struct, frozen=True):
    """The stored data of one consumer; `writer` holds the lease. `aside`: the content after another consumer
    has replaced it."""

    state: ConsumerState = ConsumerState()
    content: Content | None = None
    writer: str | None = None
    aside: Content | None = None
    loads: int = 0


class MemoryStorage:
    """The storage outside the process: several stores on it are like several processes on one database."""

    def __init__(self, name: str = "memory:") -> None:
        self.name = name
        self._kept: MutableMapping[tuple[str, str], Kept] = {}
        self._passes: list[PassReport] = []

    @property
    def passes(self) -> list[PassReport]:
        """Of all consumers; the last one was remembered last."""
        return self._passes

    @passes.setter
    def passes(self, passes: list[PassReport]) -> None:
        self._passes = passes

    def get(self, consumer: Consumer) -> Kept:
        return self._kept.get((consumer.context, consumer.name), Kept())

    def put(self, consumer: Consumer, kept: Kept) -> None:
        self._kept[consumer.context, consumer.name] = kept

    def drop(self, consumer: Consumer) -> None:
        self._kept.pop((consumer.context, consumer.name), None)

    def consumers(self) -> list[Consumer]:
        return [
            Consumer(*names)
            for names, kept in sorted(self._kept.items())
            if (kept.content, kept.aside) != (None, None)
        ]

    def occupant(self, consumer: Consumer) -> Consumer | None:
        """The other consumer with a content under this one's index, which has none."""
        if self.get(consumer).content is None:
            for names, kept in sorted(self._kept.items()):
                if names == (consumer.context, consumer.name) or kept.content is None:
                    continue
                if kept.state.stored_for is not None and kept.state.stored_for.index == consumer.index:
                    return Consumer(*names)
        return None

    def state(self, consumer: Consumer) -> ConsumerState:
        occupant = self.occupant(consumer)
        return msgspec.structs.replace(
            self.get(consumer).state, occupant=None if occupant is None else str(occupant)
        )


class MemoryStore:
    def __init__(self, storage: MemoryStorage) -> None:
        self._storage = storage

    @property
    def name(self) -> str:
        return self._storage.name

    def read_state(self, consumer: Consumer) -> ConsumerState:
        return self._storage.state(consumer)

    def facts_behind(self, consumer: Consumer) -> bool:
        return False

    def record_check(self, consumer: Consumer, state: ConsumerState) -> None:
        kept = self._storage.get(consumer)
        if invariants.differs_by_check(kept.state, state):
            self._storage.put(consumer, msgspec.structs.replace(kept, state=state))

    @contextmanager
    def writer(self, consumer: Consumer) -> Iterator["MemoryWriter"]:
        yield MemoryWriter(self._storage, consumer)

    def summary(self, consumer: Consumer) -> Summary:
        content = self._storage.get(consumer).content
        return Summary(self.read_state(consumer), None if content is None else len(content))

    def certificates(self) -> Iterator[tuple[str, datetime]]:
        yield from ()

    def export(self, consumer: Consumer) -> Iterator[bytes]:
        content = self._storage.get(consumer).content
        if content is None:
            raise invariants.no_content(self.name, consumer, self.read_state(consumer))
        for name in sorted(content, key=str.encode):
            yield content[name].line

    @contextmanager
    def inspect(self, consumer: Consumer) -> Iterator["MemoryInspection"]:
        yield MemoryInspection(self._storage.get(consumer))

    def diagnose(self, consumers: Sequence[Consumer]) -> Iterator[CheckResult]:
        yield ok("store", f"{self.name} is always there")

    def refusals(self, consumers: Sequence[Consumer]) -> Iterator[CheckResult]:
        return iter(())

    def work(self, consumer: Consumer) -> Work | None:
        return None

    def remember(self, report: PassReport, keep: int, within: float) -> None:
        others = [each for each in self._storage.passes if each.pass_id != report.pass_id]
        of_it = [each for each in others if each.consumer == report.consumer]
        dropped = of_it[: max(0, len(of_it) + 1 - keep)]
        self._storage.passes = [each for each in others if each not in dropped] + [report]

    def passes(self, consumer: Consumer, most: int, *, touched: bool = False) -> Iterator[PassReport]:
        newest_first = [each for each in reversed(self._storage.passes) if each.consumer == str(consumer)]
        for each in newest_first[:most]:
            yield each if touched else msgspec.structs.replace(each, touched=())

    def consumers(self) -> list[Consumer]:
        return self._storage.consumers()

    def footprint(self, consumer: Consumer) -> Footprint:
        kept = self._storage.get(consumer)
        content, has_state = kept.content or kept.aside or {}, kept != Kept()
        return Footprint(
            places=(self.name,) if content else (),
            records=self.summary(consumer).records,
            bytes=sum(len(record.line) for record in content.values()),
            passes=sum(each.consumer == str(consumer) for each in self._storage.passes),
            state=has_state,
        )

    def forget(self, consumer: Consumer) -> None:
        self._storage.drop(consumer)
        self._storage.passes = [each for each in self._storage.passes if each.consumer != str(consumer)]

    def close(self) -> None:
        pass


class MemoryInspection:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    @property
    def state(self) -> ConsumerState:
        return self._kept.state

    def findings(self, *, deep: bool) -> Iterator[Finding]:
        """None: a dictionary has no structure that could be damaged."""
        return iter(())

    def hidden(self) -> None:
        """None: nothing is hidden here."""

    def count(self) -> int | None:
        return None if self._kept.content is None else len(self._kept.content)

    @property
    def generation(self) -> str | None:
        return None if self._kept.content is None else str(self._kept.loads)

    def scan(self, above: int = -1) -> Iterator[Record]:
        return (each for each in (self._kept.content or {}).values() if each.offset > above)

    def names(self) -> Iterator[str]:
        return iter(self._kept.content or {})

    def lookup(self, names: Collection[str]) -> dict[str, Record]:
        content = self._kept.content or {}
        return {name: content[name] for name in names if name in content}

    def missing(self, names: Collection[str]) -> set[str]:
        return set(names).difference(self._kept.content or {})

    def neighbours(self, name: str, most: int) -> list[str]:
        names = sorted(self._kept.content or {}, key=str.encode)
        before = [each for each in names if each.encode() < name.encode()]
        behind = [each for each in names if each.encode() > name.encode()]
        return before[-most:] + behind[:most]


class MemoryWriter:
    """The last writer that took the lease holds it: no other one can run on this host."""

    def __init__(self, storage: MemoryStorage, consumer: Consumer) -> None:
        self._storage = storage
        self._consumer = consumer
        self._token = uuid.uuid4().hex
        self._written: Content | None = None
        """What the range that is being written comes to."""
        kept = storage.get(consumer)
        storage.put(
            consumer, msgspec.structs.replace(kept, state=kept.state.load_abandoned(), writer=self._token)
        )

    @property
    def state(self) -> ConsumerState:
        self.mine()
        return self._storage.state(self._consumer)

    def save(self, state: ConsumerState) -> None:
        invariants.check_save(self.state, state)
        self.keep(state, self.mine().content)

    @contextmanager
    def load(self, snapshot: Snapshot) -> Iterator["MemoryLoad"]:
        self.save(self.state.load_begun())
        load = MemoryLoad(self)
        try:
            yield load
        finally:
            if not load.published:
                with suppress(AnotherPass):
                    self.save(self.state.load_abandoned())

    def read_in_parts(self, names: Sequence[str]) -> Iterator[tuple[Sequence[str], dict[str, Record]]]:
        kept = self.mine().content
        content = (kept or {}) if self._written is None else self._written
        yield names, {name: content[name] for name in names if name in content}

    def save_later(self, state: ConsumerState) -> None:
        self.save(state)

    def apply(
        self,
        writes: Sequence[Write],
        after: ConsumerState,
        meanwhile: Callable[[], int | None] | None = None,
    ) -> bool:
        kept = self.mine()
        invariants.check_apply(kept.state, writes, after)
        content = dict(kept.content or {})
        for write in writes:
            name = write.name
            stored = content.get(name)
            if stored is not None and stored.offset >= write.offset:
                continue
            if isinstance(write, Record):
                content[name] = write
            else:
                content.pop(name, None)
        self._written = content
        try:
            if meanwhile is not None:
                meanwhile()  # it is one write for both, so there is no range to announce
        finally:
            self._written = None
        self.keep(after, content)
        return meanwhile is not None

    def make_searchable(self) -> None:
        pass

    def keep_alive(self) -> None:
        pass

    def fill_facts(self, check: Callable[[], None]) -> FactsFill | None:
        return None

    def keep(self, state: ConsumerState, content: Content | None, *, loaded: bool = False) -> None:
        loads = self.mine().loads + loaded
        self._storage.put(self._consumer, Kept(state=state, content=content, writer=self._token, loads=loads))

    def replace(self) -> None:
        """Take the index from the consumer that an operator wants replaced."""
        occupant = self._storage.occupant(self._consumer)
        if occupant is None:
            return
        if not self.state.may_replace:
            raise AnotherPass(f"{occupant} has replaced {self._consumer} meanwhile")
        kept = self._storage.get(occupant)
        self._storage.put(occupant, Kept(state=kept.state, aside=kept.content))

    def mine(self) -> Kept:
        kept = self._storage.get(self._consumer)
        if kept.writer != self._token:
            raise AnotherPass(f"another pass has begun to work on {self._consumer}")
        return kept


class MemoryLoad:
    def __init__(self, writer: MemoryWriter) -> None:
        self._writer = writer
        self._built: dict[str, Record] = {}
        self.published = False
        self.ambiguous = 0

    def add(self, records: Sequence[Record]) -> None:
        self._writer.mine()
        for record in records:
            earlier = self._built.get(record.name)
            if earlier is None or record.offset > earlier.offset:
                self._built[record.name] = record
            else:
                self.ambiguous += record.offset == earlier.offset and record.line != earlier.line

    def publish(self, after: ConsumerState) -> int:
        invariants.check_publish(after)
        self._writer.replace()
        self._writer.keep(after, self._built, loaded=True)
        self.published = True
        return len(self._built)
