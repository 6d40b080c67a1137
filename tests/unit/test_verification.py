"""What an audit comes to: every finding counted, some of each kind shown, and what to type for the worst."""

from collections.abc import Iterable

import pytest

from ctisync.core.findings import Check, Finding, Kind
from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState
from ctisync.verify.audit import CheckSummary, Verification


def audit(
    findings: Iterable[Finding], *, records: int | None = 5, optional: frozenset[str] = frozenset()
) -> Verification:
    result = Verification(Consumer(), ConsumerState(), optional=optional)
    result.records = records
    result.add(findings)
    return result


def some(kind: Kind, count: int = 1) -> list[Finding]:
    return [Finding(kind, f"{number}", "so it is") for number in range(count)]


def checked(result: Verification, check: Check) -> CheckSummary:
    (only,) = (each for each in result.checks if each.check == check)
    return only


def test_all_findings_are_counted_and_the_first_20_of_each_kind_are_kept() -> None:
    """There may be as many as there are records, and memory is bounded."""
    result = audit(
        [*some(Kind.OFFSET_TOO_HIGH, 21), *some(Kind.RECORD_UNREADABLE, 20), *some(Kind.OFFSET_AHEAD)]
    )
    assert result.counts == {Kind.OFFSET_TOO_HIGH: 21, Kind.RECORD_UNREADABLE: 20, Kind.OFFSET_AHEAD: 1}
    shown = [(each.kind, each.subject) for each in result.findings]
    assert shown == [
        (Kind.OFFSET_AHEAD, "0"),
        *((Kind.OFFSET_TOO_HIGH, f"{number}") for number in range(20)),
        *((Kind.RECORD_UNREADABLE, f"{number}") for number in range(20)),
    ]
    assert result.differences == 41
    assert checked(result, "offsets") == CheckSummary("offsets", 21, 1, Kind.OFFSET_TOO_HIGH.hint)


@pytest.mark.parametrize("optional", [frozenset(), frozenset({"deep"}), frozenset({"deep", "against"})])
def test_a_check_that_did_not_run_does_not_count_as_passed(optional: frozenset[str]) -> None:
    always = [
        "store",
        "state",
        "command",
        "settings",
        "generations",
        "writers",
        "count",
        "offsets",
        "records",
    ]
    assert [each.check for each in audit([], optional=optional).checks] == [
        *always,
        *(check for check in ("deep", "against") if check in optional),
    ]


def test_what_to_type_is_that_for_a_difference_when_there_are_notes_as_well() -> None:
    result = audit([*some(Kind.STATE_UNSETTLED), *some(Kind.STATE_WRONG)])
    assert checked(result, "state") == CheckSummary("state", 1, 1, Kind.STATE_WRONG.hint)
    assert Kind.STATE_WRONG.hint != Kind.STATE_UNSETTLED.hint
    assert checked(result, "count") == CheckSummary("count", 0, 0, None)


@pytest.mark.parametrize(
    ("findings", "records", "is_empty", "is_good"),
    [
        ([], 5, False, True),
        ([], None, True, False),
        (some(Kind.OFFSET_AHEAD), 5, False, True),
        (some(Kind.COUNT_WRONG), 5, False, False),
        (some(Kind.COUNT_WRONG), None, False, False),
    ],
    ids=["sound", "nothing", "a note", "a difference", "a difference and nothing"],
)
def test_only_a_content_without_a_difference_is_good_and_only_nothing_without_one_is_empty(
    findings: list[Finding], records: int | None, is_empty: bool, is_good: bool
) -> None:
    result = audit(findings, records=records)
    assert (result.is_empty, result.is_good) == (is_empty, is_good)


def test_while_a_pass_is_at_work_only_what_is_not_live_is_excused() -> None:
    result = audit([*some(Kind.WRITER_AT_WORK), *some(Kind.GENERATION_STRAY), *some(Kind.COUNT_WRONG)])
    assert result.counts == {Kind.WRITER_AT_WORK: 1, Kind.GENERATION_LEFT: 1, Kind.COUNT_WRONG: 1}
    alone = audit(some(Kind.GENERATION_STRAY))
    assert alone.counts == {Kind.GENERATION_STRAY: 1}
