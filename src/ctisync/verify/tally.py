"""The result of `verify`: all findings are counted, and up to 20 of each kind are kept."""

from collections import Counter
from collections.abc import Iterable
from typing import Final, get_args

import msgspec

from ctisync.core.findings import Check, Finding, Kind
from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState

MOST_SHOWN: Final = 20
"""Findings of one kind that are kept. There may be one per record."""

_ON_REQUEST: Final = frozenset({"deep", "against"})


class Checked(msgspec.Struct, frozen=True):
    """The result of one check. `to_do`: what to type, None if there is nothing to do."""

    check: Check
    differences: int
    notes: int
    to_do: str | None


class Verification(msgspec.Struct, frozen=True):
    """What `verify` found for one consumer. `findings`: the first of each kind; `counts`: the number of
    all."""

    consumer: Consumer
    state: ConsumerState
    records: int | None
    checks: tuple[Checked, ...]
    findings: tuple[Finding, ...]
    counts: dict[Kind, int]

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


class Tally:
    """Counts findings for a `Verification`."""

    def __init__(self) -> None:
        self._counts: Counter[Kind] = Counter()
        self._kept: list[Finding] = []

    def add(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self._add(self._excused(finding))

    def has(self, kind: Kind) -> bool:
        return self._counts[kind] > 0

    def verification(
        self, consumer: Consumer, state: ConsumerState, records: int | None, *, asked: frozenset[str]
    ) -> Verification:
        """The result. `asked`: the optional checks that were made."""
        wanted = [check for check in get_args(Check) if check in asked or check not in _ON_REQUEST]
        return Verification(
            consumer=consumer,
            state=state,
            records=records,
            checks=tuple(self._checked(check) for check in wanted),
            findings=tuple(sorted(self._kept, key=lambda finding: finding.kind.label)),
            counts=dict(self._counts),
        )

    def _add(self, finding: Finding) -> None:
        self._counts[finding.kind] += 1
        if self._counts[finding.kind] <= MOST_SHOWN:
            self._kept.append(finding)

    def _excused(self, finding: Finding) -> Finding:
        """While a writer is, or may be, running, generations that are not live are its work."""
        writing = self.has(Kind.WRITER_AT_WORK) or self.has(Kind.WRITER_UNKNOWN)
        if finding.kind is Kind.GENERATION_STRAY and writing:
            return msgspec.structs.replace(finding, kind=Kind.GENERATION_LEFT)
        return finding

    def _checked(self, check: Check) -> Checked:
        met = [kind for kind in Kind if kind.check == check and self.has(kind)]
        met.sort(key=lambda kind: kind.weight)  # differences before notes
        numbers: Counter[str] = Counter()
        for kind in met:
            numbers[kind.weight] += self._counts[kind]
        return Checked(check, numbers["difference"], numbers["note"], self._to_do(met[0]) if met else None)

    def _to_do(self, kind: Kind) -> str:
        own = (finding.to_do for finding in self._kept if finding.kind is kind and finding.to_do)
        return next(own, kind.to_do)
