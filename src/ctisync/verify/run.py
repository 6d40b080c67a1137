"""Verify: compare the store with the rules, and with a snapshot. It changes nothing.

The rules are in `verify.rules` and `verify.comparison`. A fast reader shows for nearly all records that they
are in order; the rules check the others. Memory holds one batch of a snapshot and two numbers per record.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from ctisync.core.findings import Finding, Kind
from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.core.model import MAX_OFFSET, Consumer, Record
from ctisync.core.words import counted
from ctisync.errors import StoreUnavailable
from ctisync.ports import InspectedStore, Inspection, Log, SnapshotFile
from ctisync.verify.comparison import Comparison, Reference
from ctisync.verify.rules import RecordRules, check_count, check_offsets, check_settings, check_state
from ctisync.verify.tally import Tally, Verification

Reader = Callable[[Sequence[bytes]], Sequence[Record | None]]
"""Returns the record of each line that is one and within the limits; None for a line on which it does not
decide."""

_BATCH_BYTES: Final = 1 << 18


def without_reader(lines: Sequence[bytes]) -> Sequence[None]:
    """The `Reader` that decides on no line."""
    return [None] * len(lines)


def verify(
    consumer: Consumer,
    *,
    store: InspectedStore,
    log: Log,
    deep: bool,
    against: tuple[SnapshotFile, Reference] | None,
    at_work: str | None,
    unread: str | None = None,
    limits: Limits = USUAL_LIMITS,
    read: Reader = without_reader,
) -> Verification:
    """Verify what is stored of `consumer`.

    `deep`: decode every record. `against`: a snapshot and its offset. `at_work`: the pass that is known to be
    running. `unread`: the lock file that cannot be read, and why. `limits`: those of a load. `read`: a fast
    reader for lines within these limits.

    Raises StoreUnavailable or ConfigurationError if the store cannot be read, SnapshotRefused if the snapshot
    cannot be used: then there is no result.
    """
    tally = Tally()
    if at_work is not None:
        told = "other generations may be its work, so they are no difference"
        tally.add([Finding(Kind.WRITER_AT_WORK, at_work, told)])
    if unread is not None:
        told = "it is unknown whether a pass is running; other generations may be its work"
        tally.add([Finding(Kind.WRITER_UNKNOWN, unread, told)])
    if (hidden := store.hidden(consumer)) is not None:
        told = f"a role hides {hidden} from your user; counts and records cover only the visible part"
        tally.add([Finding(Kind.STORE_HIDDEN, store.name, told)])
    with store.inspect(consumer) as seen:
        tally.add(check_state(seen.state))
        tally.add(check_settings(seen.state, consumer))
        records = None
        try:
            tally.add(seen.findings(deep=deep))
            records = seen.count()
            tally.add(check_count(seen.state, records))
            if records is not None:
                comparison = None
                if against is not None:
                    file, reference = against
                    comparison = Comparison(reference, seen.state)
                    tally.add(_check_snapshot(seen, file, comparison, log))
                rules = RecordRules(seen.state, limits, deep=deep)
                tally.add(_check_content(seen, records, log, rules, read, comparison))
        except StoreUnavailable as error:
            if not tally.has(Kind.STORE_DAMAGED):
                raise
            told = f"the records were not read to the end: {error.message}"
            tally.add([Finding(Kind.STORE_DAMAGED, store.name, told, error.hint)])
        asked = frozenset(["deep"] * deep + ["against"] * (against is not None))
        return tally.verification(consumer, seen.state, records, asked=asked)


def _check_content(
    seen: Inspection, count: int, log: Log, rules: RecordRules, read: Reader, comparison: Comparison | None
) -> Iterator[Finding]:
    yield from check_offsets(seen.state)
    number = 0
    with log.progress("verify", count, "records") as progress:
        for batch in _batches(seen.scan()):
            for stored, record in zip(batch, read([each.line for each in batch]), strict=True):
                if not rules.passes(stored, record):
                    yield from rules.check(stored)
                if comparison is not None:
                    yield from comparison.of_content(stored)
            number += len(batch)
            progress.reached(number)
    if comparison is not None:
        yield from comparison.end()
    if number != count:
        told = f"the store counts {counted(count, 'record')}, but returns {number:,}"
        yield Finding(Kind.COUNT_WRONG, "content", told)


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    """The records; a fast reader likes some lines at a time."""
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += len(record.line)
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    yield batch


def _check_snapshot(
    seen: Inspection, file: SnapshotFile, comparison: Comparison, log: Log
) -> Iterator[Finding]:
    with log.progress("compare", file.size, "bytes") as progress:
        for batch in file.records(MAX_OFFSET):
            wanted = comparison.wanted(batch)
            yield from comparison.of_snapshot(wanted, seen.lookup([record.name for record in wanted]))
            progress.reached(file.position)
