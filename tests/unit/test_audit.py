"""An audit from end to end on a store that shows what a test wants: nothing that was met gets lost."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import msgspec
import pytest

from ctisync.core.findings import Finding, Kind
from ctisync.core.model import Consumer, Record
from ctisync.core.state import ConsumerState, Owed
from ctisync.errors import SnapshotRefused, StoreUnavailable
from ctisync.ports import Store
from ctisync.verify.audit import Verification, verify
from ctisync.verify.rules import Reference
from tests.support.feed_history import History
from tests.support.log import KeptLog
from tests.support.memory_feed import MemorySnapshot, Offered
from tests.support.records import record

CONSUMER = Consumer()
RECORDS = [record(f"CVE-{number}", number, {"n": number}) for number in range(1, 6)]
SOUND = ConsumerState(offset=5, last_offset=5, snapshot_offset=5, content=True, stored_for=CONSUMER)


@dataclass
class Shown:
    """A store and its `Inspection` in one."""

    state: ConsumerState = SOUND
    records: list[Record] = field(default_factory=lambda: list(RECORDS))
    counted: int | None = 5
    damage: list[Finding] = field(default_factory=list)
    readable: int = 100
    deep: bool | None = None
    name: str = "shown:"
    masked: str | None = None

    def hidden(self) -> str | None:
        return self.masked

    @contextmanager
    def inspect(self, consumer: Consumer) -> Iterator[Shown]:
        assert consumer == CONSUMER
        yield self

    def findings(self, *, deep: bool) -> Iterator[Finding]:
        self.deep = deep
        return iter(self.damage)

    def count(self) -> int | None:
        return self.counted

    def scan(self) -> Iterator[Record]:
        yield from self.records[: self.readable]
        if len(self.records) > self.readable:
            raise StoreUnavailable("database disk image is malformed")

    def lookup(self, names: Collection[str]) -> dict[str, Record]:
        return {each.name: each for each in self.records if each.name in names}


def audit(
    shown: Shown,
    *,
    deep: bool = False,
    against: list[Record] | None = None,
    at_work: str | None = None,
    unread: str | None = None,
    log: KeptLog | None = None,
) -> Verification:
    snapshot = None
    if against is not None:
        lines = [each.line for each in against]
        snapshot = (
            MemorySnapshot("5.zip", Offered(History("vd_1.0.0"), 5, lines, damaged=False)),
            Reference(5, exact=True),
        )
    return verify(
        CONSUMER,
        store=cast(Store, shown),
        log=log or KeptLog(),
        deep=deep,
        against=snapshot,
        at_work=at_work,
        unread=unread,
    )


def met(result: Verification) -> list[tuple[Kind, str]]:
    return [(each.kind, each.subject) for each in result.findings]


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("against", [None, RECORDS])
def test_a_sound_content_passes_the_requested_checks_and_no_others(
    deep: bool, against: list[Record] | None
) -> None:
    shown = Shown()
    result = audit(shown, deep=deep, against=against)
    assert met(result) == []
    assert result.is_good
    assert result.records == 5
    assert shown.deep is deep
    checked = {each.check for each in result.checks}
    assert ("deep" in checked) is deep
    assert ("against" in checked) is (against is not None)


@pytest.mark.parametrize(
    ("shown", "kind", "subject"),
    [
        (Shown(msgspec.structs.replace(SOUND, snapshot_offset=None)), Kind.STATE_WRONG, "snapshot_offset"),
        (Shown(msgspec.structs.replace(SOUND, owed=Owed(4))), Kind.COMMAND_WRONG, "owed"),
        (
            Shown(msgspec.structs.replace(SOUND, stored_for=Consumer(index="other"))),
            Kind.SETTINGS_DIFFER,
            "vd_1.0.0/vd_4.8.0",
        ),
        (Shown(damage=[Finding(Kind.STORE_ORPHANS, "rows", "7")]), Kind.STORE_ORPHANS, "rows"),
        (Shown(records=[], counted=0), Kind.COUNT_WRONG, "content"),
        (Shown(counted=6), Kind.COUNT_WRONG, "content"),
        (Shown(records=[], counted=1), Kind.COUNT_WRONG, "content"),
        (Shown(records=[*RECORDS[:4], record("CVE-5", 6)]), Kind.OFFSET_TOO_HIGH, "CVE-5"),
        (Shown(masked="documents"), Kind.STORE_HIDDEN, "shown:"),
    ],
    ids=lambda value: value.label if isinstance(value, Kind) else None,
)
def test_what_any_check_finds_is_in_the_audit(shown: Shown, kind: Kind, subject: str) -> None:
    assert met(audit(shown)) == [(kind, subject)]


def test_what_only_decoding_shows_is_in_a_deep_audit() -> None:
    twice = record("CVE-5", 5, b'{"a":1,"a":2}')
    shown = Shown(records=[*RECORDS[:4], twice])
    assert met(audit(shown)) == []
    assert met(audit(shown, deep=True)) == [(Kind.PAYLOAD_TWICE, "CVE-5")]


def test_an_offset_that_cannot_be_judged_is_a_note() -> None:
    waiting = msgspec.structs.replace(SOUND, unsettled=True)
    kinds = {kind for kind, _ in met(audit(Shown(waiting)))}
    assert kinds == {Kind.STATE_UNSETTLED, Kind.OFFSET_NOT_JUDGED}


@pytest.mark.parametrize(
    ("content", "snapshot", "expected"),
    [
        (RECORDS[:4], RECORDS, [(Kind.AGAINST_MISSING, "CVE-5")]),
        (RECORDS, RECORDS[:4], [(Kind.AGAINST_EXTRA, "CVE-5")]),
        (
            [*RECORDS[:4], record("CVE-5", 5, {"n": 9})],
            RECORDS,
            [(Kind.AGAINST_DIFFERENT, "CVE-5")],
        ),
    ],
)
def test_what_differs_from_a_snapshot_is_in_the_audit(
    content: list[Record], snapshot: list[Record], expected: list[tuple[Kind, str]]
) -> None:
    assert met(audit(Shown(records=content, counted=len(content)), against=snapshot)) == expected


def test_findings_about_all_records_together_are_in_the_audit_as_well() -> None:
    behind = msgspec.structs.replace(SOUND, offset=4, snapshot_offset=4)
    result = audit(Shown(behind, RECORDS[:4], 4), against=RECORDS)
    assert met(result) == [(Kind.AGAINST_NOT_JUDGED, "1 record")]


def test_a_pass_that_is_or_may_be_at_work_is_named_and_explains_what_is_not_live() -> None:
    stray = Finding(Kind.GENERATION_STRAY, "ctisync-1", "it is not live")
    assert met(audit(Shown(damage=[stray]))) == [(Kind.GENERATION_STRAY, "ctisync-1")]
    result = audit(Shown(damage=[stray]), at_work="process 7")
    assert met(result) == [(Kind.GENERATION_LEFT, "ctisync-1"), (Kind.WRITER_AT_WORK, "process 7")]
    result = audit(Shown(damage=[stray]), unread="a.lock: no permission")
    assert met(result) == [
        (Kind.GENERATION_LEFT, "ctisync-1"),
        (Kind.WRITER_UNKNOWN, "a.lock: no permission"),
    ]
    assert result.is_good


def test_records_that_cannot_be_read_to_the_end_are_a_finding() -> None:
    """The audit says where the damage is instead of ending with it."""
    damage = Finding(Kind.STORE_DAMAGED, "page 7", "wrong")
    result = audit(Shown(damage=[damage], readable=2))
    assert met(result) == [(Kind.STORE_DAMAGED, "page 7"), (Kind.STORE_DAMAGED, "shown:")]
    assert "malformed" in result.findings[1].detail
    assert result.records == 5


def test_a_store_that_fails_without_being_damaged_is_no_finding_about_the_content() -> None:
    with pytest.raises(StoreUnavailable, match="malformed"):
        audit(Shown(readable=2))


def test_a_damaged_store_whose_records_cannot_even_be_counted_has_none() -> None:
    class Uncounted(Shown):
        def count(self) -> int | None:
            raise StoreUnavailable("database disk image is malformed")

    result = audit(Uncounted(damage=[Finding(Kind.STORE_DAMAGED, "page 1", "wrong")]))
    assert result.records is None


def test_a_snapshot_that_is_no_good_says_nothing_about_the_content() -> None:
    with pytest.raises(SnapshotRefused):
        audit(Shown(), against=[])


def test_a_store_without_a_content_is_empty_and_neither_good_nor_bad() -> None:
    result = audit(Shown(ConsumerState(), [], None))
    assert (result.is_empty, result.is_good, result.records) == (True, False, None)


def test_a_person_sees_how_far_the_comparison_and_the_reading_are() -> None:
    log = KeptLog()
    audit(Shown(), against=RECORDS, log=log)
    assert [(bar.step, bar.unit) for bar in log.bars] == [("compare", "bytes"), ("verify", "records")]
    compare, read = log.bars
    assert compare.total == sum(len(each.line) for each in RECORDS)
    assert 0 < compare.amounts[-1] < compare.total, "as far as the last batch that was handed out"
    assert (read.total, read.amounts) == (5, [5]), "one batch"
