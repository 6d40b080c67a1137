"""Verify: hold what is stored against the rules, and against a snapshot. Nothing is changed anywhere.

The rules are in `verify.rules` and `verify.comparison`. Memory holds one batch of a snapshot and two numbers
a record, whatever the size of the content.
"""

from ctisync.core.findings import Finding, Kind
from ctisync.core.model import MAX_OFFSET, Consumer
from ctisync.core.words import counted
from ctisync.errors import StoreUnavailable
from ctisync.ports import InspectedStore, Inspection, Log, SnapshotFile
from ctisync.verify.comparison import Comparison, Reference
from ctisync.verify.rules import RecordRules, check_count, check_offsets, check_settings, check_state
from ctisync.verify.tally import Tally, Verification


def verify(
    consumer: Consumer,
    *,
    store: InspectedStore,
    log: Log,
    deep: bool,
    against: tuple[SnapshotFile, Reference] | None,
    at_work: str | None,
    unread: str | None = None,
) -> Verification:
    """Verification what is stored of `consumer`.

    `deep` decodes every record, `against` is a snapshot and what it stands for, `at_work` the pass that
    is known to be writing, `unread` the lock file that does not tell, and why. Raises StoreUnavailable or
    ConfigurationError when the store cannot be looked at, SnapshotRefused when the snapshot is no good:
    nothing is then known of the content.
    """
    tally = Tally()
    if at_work is not None:
        told = "what is not live may be its work, and is no difference"
        tally.add([Finding(Kind.WRITER_AT_WORK, at_work, told)])
    if unread is not None:
        told = "whether a pass is at work is not known; what is not live may be its work"
        tally.add([Finding(Kind.WRITER_UNKNOWN, unread, told)])
    if (hidden := store.hidden(consumer)) is not None:
        told = f"your user may not see {hidden}; counts and records are those that it may see"
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
                _check_content(seen, records, tally, log, deep=deep, against=against)
        except StoreUnavailable as error:
            if not tally.has(Kind.STORE_DAMAGED):
                raise
            told = f"the records were not read to the end: {error.message}"
            tally.add([Finding(Kind.STORE_DAMAGED, store.name, told, error.hint)])
        asked = frozenset(["deep"] * deep + ["against"] * (against is not None))
        return tally.verification(consumer, seen.state, records, asked=asked)


def _check_content(
    seen: Inspection,
    count: int,
    tally: Tally,
    log: Log,
    *,
    deep: bool,
    against: tuple[SnapshotFile, Reference] | None,
) -> None:
    comparison = None
    if against is not None:
        file, reference = against
        comparison = Comparison(reference, seen.state)
        _check_snapshot(seen, file, comparison, tally, log)
    tally.add(check_offsets(seen.state))
    rules = RecordRules(seen.state, deep=deep)
    number = 0
    with log.progress("verify", count, "records") as progress:
        for number, stored in enumerate(seen.scan(), start=1):
            tally.add(rules.check(stored))
            if comparison is not None:
                tally.add(comparison.of_content(stored))
            progress.reached(number)
    if comparison is not None:
        tally.add(comparison.end())
    if number != count:
        told = f"the store counts {counted(count, 'record')} and hands out {number:,}"
        tally.add([Finding(Kind.COUNT_WRONG, "content", told)])


def _check_snapshot(
    seen: Inspection, file: SnapshotFile, comparison: Comparison, tally: Tally, log: Log
) -> None:
    with log.progress("compare", file.size, "bytes") as progress:
        for batch in file.records(MAX_OFFSET):
            wanted = comparison.wanted(batch)
            tally.add(comparison.of_snapshot(wanted, seen.lookup([record.name for record in wanted])))
            progress.reached(file.position)
