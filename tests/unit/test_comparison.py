"""A content against a snapshot: what is a difference, what may be so, and what is not to be told yet."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from ctisync.core import wire
from ctisync.core.findings import Finding, Kind
from ctisync.core.model import Consumer, Record
from ctisync.core.state import ConsumerState, FailedChange, Owed
from ctisync.verify.rules import Comparison, Reference
from tests.support.feed_history import History, churn, populate
from tests.support.records import NUMBERS, record

S = 100
AT_SNAPSHOT = ConsumerState(
    offset=S,
    last_offset=S,
    snapshot_offset=50,
    content=True,
    stored_for=Consumer(),
    updated_at=datetime(2026, 3, 1, tzinfo=UTC),
)


def at(offset: int, **changes: Any) -> ConsumerState:
    return msgspec.structs.replace(AT_SNAPSHOT, offset=offset, **changes)


def compare(
    state: ConsumerState,
    snapshot: Sequence[Record],
    content: Sequence[Record],
    *,
    offset: int = S,
    exact: bool = True,
) -> list[Finding]:
    comparison = Comparison(Reference(offset, exact=exact), state)
    stored = {each.name: each for each in content}
    findings: list[Finding] = []
    for each in snapshot:  # a batch each: what is met twice is met in different ones
        findings += comparison.of_snapshot(comparison.expected([each]), stored)
    for each in content:
        findings += comparison.of_content(each)
    return [*findings, *comparison.end()]


A, B = record("A", 10, {"is": 1}), record("B", 20, {"is": 2})
B_LATER = record("B", 30, {"is": 3})


@pytest.mark.parametrize("offset", [60, S, 140])
def test_equal_contents_have_no_difference(offset: int) -> None:
    assert compare(at(offset), [A, B], [B, A]) == []


@pytest.mark.parametrize(
    ("offset", "snapshot", "content", "kinds"),
    [
        # at the snapshot's own offset everything is known
        (S, [A, B], [A], [Kind.AGAINST_MISSING]),
        (S, [A], [A, B], [Kind.AGAINST_EXTRA]),
        (S, [A, B_LATER], [A, B], [Kind.AGAINST_OLDER]),
        (S, [A, B], [A, B_LATER], [Kind.AGAINST_NEWER]),
        (S, [A, B], [A, record("B", 20, {"is": 9})], [Kind.AGAINST_DIFFERENT]),
        (S, [A, B], [A, record("B", 20, {"is": 2}, version=2)], [Kind.AGAINST_DIFFERENT]),
        (S, [A, B], [A, record("B", S)], [Kind.AGAINST_NEWER]),
        # a content that has gone on
        (140, [A, B], [A, record("B", 130)], []),
        (140, [A, B], [A, B, record("C", 130)], []),
        (140, [A, B], [A], [Kind.AGAINST_NOT_JUDGED]),
        (140, [A], [A, B], [Kind.AGAINST_EXTRA]),
        (140, [A, B_LATER], [A, B], [Kind.AGAINST_OLDER]),
        (140, [A], [A, record("B", S)], [Kind.AGAINST_EXTRA]),
        # a content that is behind
        (60, [A, record("B", 80)], [A, B], [Kind.AGAINST_NOT_JUDGED]),
        (60, [A, record("B", 80)], [A], [Kind.AGAINST_NOT_JUDGED]),
        (60, [A], [A, B], [Kind.AGAINST_NOT_JUDGED]),
        (60, [A, B], [A], [Kind.AGAINST_MISSING]),
        (60, [A, B_LATER], [A, B], [Kind.AGAINST_OLDER]),
        (60, [A, record("B", 60)], [A, B], [Kind.AGAINST_OLDER]),
    ],
)
def test_a_difference_is_a_finding_when_it_cannot_be_by_right(
    offset: int, snapshot: list[Record], content: list[Record], kinds: list[Kind]
) -> None:
    assert [each.kind for each in compare(at(offset), snapshot, content)] == kinds


def test_no_more_records_can_have_been_deleted_than_there_were_changes() -> None:
    snapshot = [record(f"CVE-{number}", number) for number in range(1, 51)]
    (finding,) = compare(at(S + 10), snapshot, snapshot[:40])
    assert finding.kind is Kind.AGAINST_NOT_JUDGED
    (finding,) = compare(at(S + 10), snapshot, snapshot[:39])
    assert (finding.kind, finding.subject) == (Kind.AGAINST_MISSING, "11 records")

    (finding,) = compare(at(S - 10), snapshot[:40], snapshot)
    assert finding.kind is Kind.AGAINST_NOT_JUDGED
    (finding,) = compare(at(S - 10), snapshot[:39], snapshot)
    assert (finding.kind, finding.subject) == (Kind.AGAINST_EXTRA, "11 records")


@pytest.mark.parametrize("offset", [S, 140])
def test_a_record_that_only_the_content_has_is_named(offset: int) -> None:
    (finding,) = compare(at(offset), [A], [A, B])
    assert (finding.kind, finding.subject) == (Kind.AGAINST_EXTRA, "B")


def test_a_content_of_offset_1_stands_there() -> None:
    (finding,) = compare(at(1, snapshot_offset=1), [record("A", 1)], [], offset=1)
    assert (finding.kind, finding.subject) == (Kind.AGAINST_MISSING, "A")


def test_how_many_records_cannot_be_judged_yet_is_counted() -> None:
    later = [record("B", 80), record("C", 81), record("D", 82)]
    (finding,) = compare(at(60), [A, *later], [A, B])
    assert (finding.kind, finding.subject) == (Kind.AGAINST_NOT_JUDGED, "3 records")
    (finding,) = compare(at(60), [A, *later], [A, B, record("C", 21), record("D", 22)])
    assert (finding.kind, finding.subject) == (Kind.AGAINST_NOT_JUDGED, "3 records")


def test_a_record_of_offset_0_is_compared_like_any_other() -> None:
    assert compare(at(S), [record("A", 0)], [record("A", 0)]) == []


def test_a_content_of_unknown_selection_is_compared_as_a_whole() -> None:
    assert [each.kind for each in compare(at(S, stored_for=None), [A, B], [A])] == [Kind.AGAINST_MISSING]


def test_of_an_unsettled_content_no_more_can_be_deleted_yet_than_there_are_offsets() -> None:
    records = [record(f"CVE-{number}", number % S) for number in range(S + 2)]
    (finding,) = compare(at(S, unsettled=True), records[:1], records[: S + 1])
    assert (finding.kind, finding.subject) == (Kind.AGAINST_NOT_JUDGED, "100 records")
    (finding,) = compare(at(S, unsettled=True), records[:1], records)
    assert (finding.kind, finding.subject) == (Kind.AGAINST_EXTRA, "101 records")


def test_a_range_that_was_begun_may_have_deleted() -> None:
    (finding,) = compare(at(S, range_to=S + 5, last_offset=S + 5), [A, B], [A])
    assert finding.kind is Kind.AGAINST_NOT_JUDGED


def test_a_content_that_waits_to_be_initialised_stands_where_its_owed_command_says() -> None:
    failed = FailedChange(S + 9, "A", 0, "why", "d", reinitialised=True)
    waiting = at(0, failed=failed, owed=Owed(S), last_offset=S + 20)
    assert [each.kind for each in compare(waiting, [A, B_LATER], [A, B])] == [Kind.AGAINST_OLDER]
    reached = record("B", 80, {"is": 3})
    assert [each.kind for each in compare(waiting, [A, reached], [A, B])] == [Kind.AGAINST_OLDER]
    unknown = at(0, failed=failed, last_offset=S + 20, snapshot_offset=25)
    assert [each.kind for each in compare(unknown, [A, B_LATER], [A, B])] == [Kind.AGAINST_NOT_JUDGED]
    reached = record("B", 25, {"is": 3})
    assert [each.kind for each in compare(unknown, [A, reached], [A, B])] == [Kind.AGAINST_OLDER]


def test_a_content_without_a_state_is_at_offset_0() -> None:
    failed = FailedChange(S + 9, "A", 0, "why", "d", reinitialised=True)
    for state in (
        at(S, unsettled=True),
        at(0, failed=failed, snapshot_offset=None),
    ):
        (finding,) = compare(state, [record("A", 1)], [record("A", 0)])
        assert finding.kind is Kind.AGAINST_NOT_JUDGED


def test_of_an_unsettled_content_only_equal_offsets_are_judged() -> None:
    state = at(S, unsettled=True)
    findings = compare(state, [A, B_LATER, record("C", 5)], [A, B, record("D", 6)])
    assert {each.kind for each in findings} == {Kind.AGAINST_NOT_JUDGED}
    findings = compare(state, [A], [record("A", 10, {"is": 9})])
    assert [each.kind for each in findings] == [Kind.AGAINST_DIFFERENT]


def test_a_snapshot_whose_offset_is_guessed_may_include_deletes_that_no_line_shows() -> None:
    assert [each.kind for each in compare(at(S), [A], [A, B], exact=False)] == [Kind.AGAINST_NOT_JUDGED]


def test_of_two_lines_with_one_name_the_one_that_a_load_keeps_counts() -> None:
    assert compare(at(S), [B, B_LATER], [B_LATER]) == []
    assert compare(at(S), [B_LATER, B], [B_LATER]) == []
    assert compare(at(S), [B, record("B", 20, {"is": "other"})], [B]) == []
    assert [each.kind for each in compare(at(S), [B, B_LATER], [B])] == [Kind.AGAINST_OLDER]


def test_records_that_are_not_selected_are_not_missed() -> None:
    state = at(S, stored_for=Consumer(resources=("A*",)))
    assert compare(state, [A, B], [A]) == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b'{"a":9.30,"b":1}', b'{"b":1,"a":9.3}', True),
        (b'{"a":1}', b'{"a":1.0}', True),
        (b'{"a":1}', b'{"a":true}', False),
        (b'{"a":18446744073709551617}', b'{"a":18446744073709551616}', False),
        (b'{"a":"\\u00e9"}', '{"a":"é"}'.encode(), True),
        (b'{"a":[1,2]}', b'{"a":[2,1]}', False),
        (NUMBERS, NUMBERS.replace(b"9.30", b"9.3"), True),
        (b'{"a":1e99999999999999999999}', b'{"a":1e99999999999999999998}', False),
    ],
)
def test_payloads_are_compared_by_value(one: bytes, other: bytes, same: bool) -> None:
    findings = compare(at(S), [record("A", 10, one)], [record("A", 10, other)])
    assert [each.kind for each in findings] == ([] if same else [Kind.AGAINST_DIFFERENT])


def test_payloads_of_the_same_bytes_are_equal_even_when_nobody_can_decode_them() -> None:
    payload = b'{"a":1e99999999999999999999}'
    one = record("A", 10, payload)
    other = Record("A", 10, one.line.replace(b'"version":1', b'"version": 1'))
    assert one.line != other.line
    assert compare(at(S), [one], [other]) == []


def test_a_stored_line_that_is_no_json_is_a_difference() -> None:
    (finding,) = compare(at(S), [A], [Record("A", 10, b'{"name":')])
    assert finding.kind is Kind.AGAINST_DIFFERENT


@pytest.mark.parametrize("seed", range(5))
def test_no_content_of_a_feed_differs_from_any_snapshot_of_it(seed: int) -> None:
    """Creates, updates and deletes of every age, the content behind, level and ahead; and one record that is
    lost, at level, is always found."""
    history = History("context")
    populate(history, 25)
    first = history.last_offset
    churn(history, 120, seed)
    moments = range(first, history.last_offset + 1, 7)
    contents = {offset: records_of(history, offset) for offset in moments}
    for stands_at in moments:
        state = at(stands_at, last_offset=history.last_offset, snapshot_offset=first)
        for offset in moments:
            findings = compare(state, contents[offset], contents[stands_at], offset=offset)
            assert [each for each in findings if each.kind.weight == "difference"] == []
        lost = compare(state, contents[stands_at], contents[stands_at][1:], offset=stands_at)
        assert [(each.kind, each.subject) for each in lost] == [
            (Kind.AGAINST_MISSING, contents[stands_at][0].name)
        ]


def records_of(history: History, offset: int) -> list[Record]:
    return [wire.record(line) for line in history.expected_records(offset).values()]
