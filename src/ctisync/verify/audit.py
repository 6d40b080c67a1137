"""Audit a consumer: compare the store with the rules, and with a snapshot. It changes nothing.

Memory holds one batch of a snapshot and two numbers per record.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, get_args

import msgspec

from ctisync.core.findings import Check, Finding, Kind, Weight
from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.core.model import MAX_OFFSET, Consumer, Record
from ctisync.core.state import ConsumerState
from ctisync.core.words import counted
from ctisync.errors import StoreUnavailable
from ctisync.ports import InspectedStore, Inspection, LineReader, Log, SnapshotFile
from ctisync.verify import rules
from ctisync.verify.rules import Comparison, RecordRules, Reference

MOST_SHOWN: Final = 20
"""Findings of one kind that are kept. There may be one per record."""

_BATCH_BYTES: Final = 1 << 18
_ON_REQUEST: Final = frozenset({"deep", "against"})
_WRITERS: Final = frozenset({Kind.WRITER_AT_WORK, Kind.WRITER_UNKNOWN})


class CheckSummary(msgspec.Struct, frozen=True):
    """The result of one check: the numbers of its findings. `hint`: what to type, None if there is none."""

    check: Check
    differences: int
    notes: int
    hint: str | None


@dataclass
class Verification:
    """The result for one consumer, which the audit fills.

    `state`: the stored one. `optional`: the checks on request that are made. `records`: the number in the
    content, None without one. `counts`: the number of findings of each kind.
    """

    consumer: Consumer
    state: ConsumerState
    optional: Collection[str] = frozenset()
    records: int | None = None
    counts: Counter[Kind] = field(default_factory=Counter)
    _findings: list[Finding] = field(default_factory=list)

    def add(self, findings: Iterable[Finding]) -> None:
        """While a writer is, or may be, running, generations that are not live are its work: notes."""
        for each in findings:
            kind = each.kind
            if kind is Kind.GENERATION_STRAY and self.counts.keys() & _WRITERS:
                kind = Kind.GENERATION_LEFT
            self.counts[kind] += 1
            if self.counts[kind] <= MOST_SHOWN:
                self._findings.append(msgspec.structs.replace(each, kind=kind))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The first MOST_SHOWN of each kind, sorted by kind."""
        return tuple(sorted(self._findings, key=lambda finding: finding.kind.label))

    @property
    def checks(self) -> list[CheckSummary]:
        """Those that were made."""
        made = [check for check in get_args(Check) if check in self.optional or check not in _ON_REQUEST]
        return [self._summary(check) for check in made]

    @property
    def differences(self) -> int:
        return sum(each.differences for each in self.checks)

    @property
    def is_empty(self) -> bool:
        """Whether there is no content, without a difference: nothing says that there should be one."""
        return self.records is None and self.differences == 0

    @property
    def is_good(self) -> bool:
        return self.records is not None and self.differences == 0

    def _summary(self, check: Check) -> CheckSummary:
        kinds = [kind for kind in Kind if kind.check == check and kind in self.counts]
        numbers = Counter[Weight]()
        for kind in kinds:
            numbers[kind.weight] += self.counts[kind]
        worst = min(kinds, key=lambda kind: kind.weight, default=None)  # a difference before a note
        own = (each.hint for each in self._findings if each.kind is worst and each.hint)
        hint = next(own, None if worst is None else worst.hint)
        return CheckSummary(check, numbers["difference"], numbers["note"], hint)


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
    read: LineReader = lambda lines: [None] * len(lines),
) -> Verification:
    """Verify what is stored of `consumer`.

    `deep`: decode every record. `against`: a snapshot and its offset. `at_work`: the pass that is known to be
    running. `unread`: the lock file that cannot be read, and why. `limits`: those of a load. `read`: a fast
    reader for lines within these limits.

    Raises StoreUnavailable or ConfigurationError if the store cannot be read, SnapshotRefused if the snapshot
    cannot be used: then there is no result.
    """
    optional = ["deep"] * deep + ["against"] * (against is not None)
    with store.inspect(consumer) as inspection:
        state = inspection.state
        result = Verification(consumer, state, optional=optional)
        result.add(_check_access(store.name, inspection, at_work, unread))
        result.add((*rules.check_state(state), *rules.check_settings(state, consumer)))
        try:
            result.add(inspection.findings(deep=deep))
            result.records = inspection.count()
            result.add(rules.check_count(state, result.records))
            if result.records is not None:
                record_rules = RecordRules(state, limits, deep=deep)
                result.add(_check_content(inspection, result.records, against, record_rules, read, log))
        except StoreUnavailable as error:
            if Kind.STORE_DAMAGED not in result.counts:
                raise
            detail = f"the records were not read to the end: {error.message}"
            result.add([Finding(Kind.STORE_DAMAGED, store.name, detail, error.hint)])
        return result


def _check_access(
    store: str, inspection: Inspection, at_work: str | None, unread: str | None
) -> Iterator[Finding]:
    """What restricts all that the audit can say: a pass that is running, a role that hides documents."""
    if at_work is not None:
        detail = "other generations may be its work, so they are no difference"
        yield Finding(Kind.WRITER_AT_WORK, at_work, detail)
    if unread is not None:
        detail = "it is unknown whether a pass is running; other generations may be its work"
        yield Finding(Kind.WRITER_UNKNOWN, unread, detail)
    if (hidden := inspection.hidden()) is not None:
        detail = f"a role hides {hidden} from your user; counts and records cover only the visible part"
        yield Finding(Kind.STORE_HIDDEN, store, detail)


def _check_content(
    inspection: Inspection,
    count: int,
    against: tuple[SnapshotFile, Reference] | None,
    record_rules: RecordRules,
    read: LineReader,
    log: Log,
) -> Iterator[Finding]:
    comparison = None
    if against is not None:
        file, reference = against
        comparison = Comparison(reference, inspection.state)
        yield from _check_snapshot(inspection, file, comparison, log)
    yield from rules.check_offsets(inspection.state)
    number = 0
    with log.progress("verify", count, "records") as progress:
        for batch in _batches(inspection.scan()):
            for stored, line in zip(batch, read([each.line for each in batch]), strict=True):
                yield from record_rules.check(stored, line)
                if comparison is not None:
                    yield from comparison.of_content(stored)
            number += len(batch)
            progress.reached(number)
    if comparison is not None:
        yield from comparison.end()
    if number != count:
        detail = f"the store counts {counted(count, 'record')}, but returns {number:,}"
        yield Finding(Kind.COUNT_WRONG, "content", detail)


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
    inspection: Inspection, file: SnapshotFile, comparison: Comparison, log: Log
) -> Iterator[Finding]:
    with log.progress("compare", file.size, "bytes") as progress:
        for batch in file.records(MAX_OFFSET):
            expected = comparison.expected(batch)
            yield from comparison.of_snapshot(expected, inspection.lookup([each.name for each in expected]))
            progress.reached(file.position)
