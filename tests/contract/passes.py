"""What passes do to a store, in one call each, and what a reader then finds."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from ctisync.core.model import Consumer, Record, Snapshot, Write
from ctisync.core.state import ConsumerState
from ctisync.ports import Store, Writer

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


def beside_a_writer(store: Store, consumer: Consumer) -> ConsumerState:
    """The state beside a writer, alive or dead: his lease makes it unsettled for who holds the lock."""
    return msgspec.structs.replace(store.read_state(consumer), unsettled=False)


def snapshot(offset: int) -> Snapshot:
    return Snapshot(link=f"https://cti.example.org/store/{offset}.zip", offset=offset)


def loaded(writer: Writer, consumer: Consumer, offset: int) -> ConsumerState:
    """The state that the content of the snapshot of this offset is published with."""
    return writer.state.initialised(snapshot(offset), consumer, NOW)


def load(writer: Writer, consumer: Consumer, records: Sequence[Record], offset: int) -> int:
    """Initialise within a pass; the number of records that the store then holds."""
    with writer.load(snapshot(offset)) as building:
        building.add(records)
        return building.publish(loaded(writer, consumer, offset))


def initialise(store: Store, consumer: Consumer, records: Sequence[Record], offset: int) -> None:
    """A whole pass that initialises."""
    with store.writer(consumer) as writer:
        load(writer, consumer, records, offset)


def apply(writer: Writer, writes: Sequence[Write], to: int) -> None:
    """Apply a range that ends at `to`, so that readers find it."""
    writer.apply(writes, writer.state.advanced(to, NOW))
    writer.make_searchable()


def contents(store: Store, consumer: Consumer) -> list[bytes]:
    """The lines of the live content, after making sure that the store counts as many."""
    lines = list(store.export(consumer))
    assert store.summary(consumer).records == len(lines)
    return lines


def lines(*records: Record) -> list[bytes]:
    return [each.line for each in records]


def at(offset: int, state: ConsumerState) -> ConsumerState:
    return msgspec.structs.replace(state, offset=offset)
