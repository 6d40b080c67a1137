"""The rules of an audit: what no content may be like, and what it may well be like."""

import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from msgspec.structs import replace

from ctisync.core import state as transitions
from ctisync.core.findings import Kind
from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.core.model import MAX_OFFSET, MAX_RANGE, Consumer, ConsumerInfo, Record, Snapshot
from ctisync.core.state import ConsumerState, FailedChange, Owed
from ctisync.feed.snapshot.parsers import reader
from ctisync.verify.rules import (
    RecordRules,
    check_count,
    check_offsets,
    check_settings,
    check_state,
    highest_offset,
)
from tests.support.records import awkward, made_up, record

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FAILED = FailedChange(1501, "CVE-2024-1", 2, "why", "d1", reinitialised=True)
READY = ConsumerState(
    offset=1000, last_offset=1000, snapshot_offset=700, content=True, stored_for=Consumer(), updated_at=NOW
)
WAITING = msgspec.structs.replace(READY, offset=0, last_offset=2000, failed=FAILED)
"""A change has failed, and no new snapshot has been loaded yet."""


def but(state: ConsumerState, **changes: Any) -> ConsumerState:
    return msgspec.structs.replace(state, **changes)


@pytest.mark.parametrize(
    ("state", "kind", "subject"),
    [
        (but(READY, offset=-1), Kind.STATE_WRONG, "offset"),
        (but(READY, last_offset=MAX_OFFSET + 1), Kind.STATE_WRONG, "last_offset"),
        (but(READY, owed=Owed(1000, -1)), Kind.STATE_WRONG, "owed"),
        (but(READY, content=False), Kind.STATE_WRONG, "offset"),
        (but(READY, stored_for=None), Kind.STATE_WRONG, "stored_for"),
        (but(READY, snapshot_offset=None), Kind.STATE_WRONG, "snapshot_offset"),
        (but(READY, snapshot_offset=1001), Kind.STATE_WRONG, "offset"),
        (but(READY, offset=0), Kind.STATE_WRONG, "offset"),
        (but(READY, range_to=1000), Kind.STATE_WRONG, "range_to"),
        (but(READY, range_to=1001 + MAX_RANGE), Kind.STATE_WRONG, "range_to"),
        (ConsumerState(range_to=5), Kind.STATE_WRONG, "range_to"),
        (but(READY, failed=msgspec.structs.replace(FAILED, offset=1000)), Kind.STATE_WRONG, "failed"),
        (but(READY, owed=Owed(999)), Kind.COMMAND_WRONG, "owed"),
        (but(READY, owed=Owed(1001)), Kind.COMMAND_WRONG, "owed"),
        (but(WAITING, owed=Owed(699)), Kind.COMMAND_WRONG, "owed"),
        (but(WAITING, owed=Owed(1501)), Kind.COMMAND_WRONG, "owed"),
        (but(WAITING, failed=None, owed=Owed(1200)), Kind.STATE_WRONG, "offset"),
        (but(WAITING, snapshot_offset=None, owed=Owed(0)), Kind.COMMAND_WRONG, "owed"),
        # an offset of 1 is an offset
        (ConsumerState(offset=1), Kind.STATE_WRONG, "offset"),
        (but(READY, offset=1), Kind.STATE_WRONG, "offset"),
        (but(READY, offset=1, snapshot_offset=1, owed=Owed(2)), Kind.COMMAND_WRONG, "owed"),
    ],
)
def test_a_state_that_no_pass_leaves_is_named_by_its_field(
    state: ConsumerState, kind: Kind, subject: str
) -> None:
    assert (kind, subject) in [(finding.kind, finding.subject) for finding in check_state(state)]


@pytest.mark.parametrize(
    "state",
    [
        ConsumerState(),
        READY,
        but(READY, owed=Owed(1000, 3), loading=True),
        but(READY, last_offset=None),
        but(READY, last_offset=500),
        but(READY, range_to=1000 + MAX_RANGE, last_offset=3000),
        but(READY, failed=FAILED),
        WAITING,
        but(WAITING, owed=Owed(1200)),
        but(READY, offset=MAX_OFFSET, last_offset=MAX_OFFSET),
        # the content is gone, and whoever took over has set the offset to 0
        ConsumerState(snapshot_offset=700, owed=Owed(0), failed=FAILED),
        ConsumerState(snapshot_offset=700, owed=Owed(1600), failed=FAILED),
    ],
)
def test_a_state_that_a_pass_leaves_is_no_finding(state: ConsumerState) -> None:
    assert list(check_state(state)) == []


def test_an_unsettled_state_is_left_to_the_next_writer() -> None:
    findings = check_state(but(READY, unsettled=True, owed=Owed(77), range_to=3))
    assert [(each.kind, each.subject) for each in findings] == [(Kind.STATE_UNSETTLED, "state")]


@pytest.mark.parametrize("number", [-1, MAX_OFFSET + 1])
@pytest.mark.parametrize("field", ["offset", "last_offset", "snapshot_offset", "range_to", "owed", "failed"])
def test_a_number_that_is_no_offset_is_named_whatever_else_is_unsettled(field: str, number: int) -> None:
    holders = {"owed": Owed(number), "failed": but_offset(FAILED, number)}
    findings = check_state(but(READY, unsettled=True, **{field: holders.get(field, number)}))
    assert [(each.kind, each.subject) for each in findings] == [
        (Kind.STATE_WRONG, field),
        (Kind.STATE_UNSETTLED, "state"),
    ]


def but_offset(failed: FailedChange, offset: int) -> FailedChange:
    return msgspec.structs.replace(failed, offset=offset)


def test_the_smallest_offset_may_be_owed_for_a_content_of_an_unknown_snapshot() -> None:
    findings = check_state(but(WAITING, snapshot_offset=None, owed=Owed(1)))
    assert [(each.kind, each.subject) for each in findings] == [(Kind.STATE_WRONG, "snapshot_offset")]


@pytest.mark.parametrize("seed", range(200))
def test_no_sequence_of_transitions_leads_to_a_finding(seed: int) -> None:
    """Otherwise an audit would accuse a content that is as it should be."""
    chance = random.Random(seed)
    state, last, now = ConsumerState(), 10, NOW
    for _ in range(40):
        last += chance.randrange(1500)
        now += timedelta(minutes=1)
        state = state.feed_answered(ConsumerInfo(last, Snapshot(f"s{last}", last)), now)
        state = one_step(state, last, now, chance)
        assert list(check_state(state)) == [], state
        assert list(check_count(state, 7 if state.content else None)) == []
        highest = highest_offset(state)
        assert (highest is None) == (not state.content)
        assert highest is None or highest >= state.offset


def one_step(state: ConsumerState, last: int, now: datetime, chance: random.Random) -> ConsumerState:
    if chance.random() < 0.3:
        state = (
            state.command_accepted(state.offset, now)
            if chance.random() < 0.5 or state.owed is None
            else state.command_refused()
        )
    if state.offset == 0 or chance.random() < 0.1:
        if chance.random() < 0.3:
            return state.load_begun()
        at = chance.randrange(1, last + 1)
        return state.initialised(Snapshot(f"s{at}", at), Consumer(), now)
    expected = transitions.next_range(state, last, MAX_RANGE)
    if expected.to <= expected.after:
        return state
    failed = FailedChange(chance.randint(expected.after + 1, expected.to), "CVE-1", 0, "why", f"d{last}")
    match chance.randrange(5):
        case 0:
            return state.interrupted(failed, now)
        case 1:
            return state.blocked(failed)
        case 2:
            return but(state, range_to=expected.to)  # as a store without transactions does
    return state.advanced(expected.to, now)


@pytest.mark.parametrize(
    ("state", "highest"),
    [
        (READY, 1000),
        (but(READY, last_offset=None), 1000),
        (but(READY, last_offset=60), 1000),
        (but(READY, range_to=1400, last_offset=60), 1400),
        (but(READY, last_offset=1800), 1800),
        (WAITING, 2000),
        (but(WAITING, last_offset=None), 1501),
        (but(WAITING, last_offset=None, failed=None), 700),
        (but(WAITING, last_offset=None, failed=None, owed=Owed(1200)), 1200),
        (but(READY, failed=FAILED), 1000),  # blocked: what cannot be applied is not in
        (but(READY, unsettled=True), None),
        (ConsumerState(last_offset=9), None),
        (but(READY, offset=0, last_offset=None, snapshot_offset=None), 0),
    ],
)
def test_how_high_a_record_may_stand(state: ConsumerState, highest: int | None) -> None:
    assert highest_offset(state) == highest


@pytest.mark.parametrize(
    ("state", "offset", "kinds"),
    [
        (READY, 1000, []),
        (READY, 1001, [Kind.OFFSET_TOO_HIGH]),
        (but(READY, range_to=1400), 1400, []),
        (but(READY, range_to=1400), 1401, [Kind.OFFSET_TOO_HIGH]),
        (but(READY, last_offset=1800), 1800, [Kind.OFFSET_AHEAD]),
        (but(READY, last_offset=1800), 1801, [Kind.OFFSET_TOO_HIGH]),
        (WAITING, 2000, []),
        (WAITING, 2001, [Kind.OFFSET_TOO_HIGH]),
        (but(READY, unsettled=True), 5000, []),
    ],
)
def test_a_record_above_the_content_is_a_finding_and_one_that_a_snapshot_may_bring_is_a_note(
    state: ConsumerState, offset: int, kinds: list[Kind]
) -> None:
    findings = RecordRules(state, deep=False).check(record("CVE-1", offset))
    assert [each.kind for each in findings] == kinds


def test_what_cannot_be_judged_is_a_note() -> None:
    assert list(check_offsets(READY)) == []
    assert [each.kind for each in check_offsets(WAITING)] == [Kind.OFFSET_NOT_JUDGED]
    assert [each.kind for each in check_offsets(but(READY, unsettled=True))] == [Kind.OFFSET_NOT_JUDGED]


@pytest.mark.parametrize(
    ("state", "count", "wrong"),
    [
        (READY, 7, False),
        (READY, 0, False),  # all have been deleted
        (but(READY, offset=700), 0, True),
        (READY, None, True),
        (ConsumerState(), None, False),
        (ConsumerState(), 7, True),
        (but(READY, offset=700, content=False), 0, True),  # and that is said once
        (ConsumerState(unsettled=True), 7, False),
    ],
)
def test_a_count_that_contradicts_the_state_is_a_finding(
    state: ConsumerState, count: int | None, wrong: bool
) -> None:
    findings = [(each.kind, each.subject) for each in check_count(state, count)]
    assert findings == [(Kind.COUNT_WRONG, "content")] * wrong


def test_other_settings_than_the_contents_are_a_note() -> None:
    assert list(check_settings(READY, Consumer())) == []
    (finding,) = check_settings(READY, Consumer(resources=("CVE-2024-*",)))
    assert (finding.kind, finding.kind.weight) == (Kind.SETTINGS_DIFFER, "note")


LINE = record("CVE-1", 5).line


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        (Record("CVE-1", 6, LINE), Kind.RECORD_MISLABELLED),
        (Record("CVE-2", 5, LINE), Kind.RECORD_MISLABELLED),
        (Record("CVE-1", 5, LINE[:-1]), Kind.RECORD_UNREADABLE),
        (Record("CVE-1", 5, LINE.replace(b"{}", b'["\xff"]')), Kind.RECORD_UNREADABLE),
        (Record("CVE-1", 5, LINE.replace(b"{}", b"[]")), Kind.RECORD_UNREADABLE),
        (Record("CVE-1", 5, LINE.replace(b"{}", b'{"a":"\xff"}')), Kind.RECORD_UNREADABLE),
        (record("", 5), Kind.RECORD_UNREADABLE),
        (record("a\nb", 5), Kind.RECORD_UNREADABLE),
        (record("TID-1", 5), Kind.RECORD_UNWANTED),
    ],
)
def test_a_line_that_is_not_what_the_store_says_is_a_finding(stored: Record, kind: Kind) -> None:
    state = but(READY, stored_for=Consumer(resources=("CVE-*", "", "a*")))
    assert [each.kind for each in RecordRules(state, deep=False).check(stored)] == [kind]


@pytest.mark.parametrize(
    "stored",
    [Record("CVE-1", 5, record("CVE-1", 5000).line), Record("CVE-1", 5000, LINE)],
    ids=["the line's", "the store's"],
)
def test_of_two_offsets_that_contradict_each_other_the_higher_one_is_judged(stored: Record) -> None:
    findings = [each.kind for each in RecordRules(READY, deep=False).check(stored)]
    assert findings == [Kind.RECORD_MISLABELLED, Kind.OFFSET_TOO_HIGH]


def test_a_content_of_unknown_selection_has_no_unselected_record() -> None:
    assert list(RecordRules(but(READY, stored_for=None), deep=False).check(record("TID-1", 5))) == []


def nested(depth: int) -> bytes:
    """A payload with so many containers inside one another."""
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


ODD: Final = {
    "same key in different objects": (b'{"a":1,"b":[{"a":1},{"a":1}]}', []),
    "twice": (b'{"a":{"b":[{"c":1,"d":2,"c":3}]}}', [Kind.PAYLOAD_TWICE]),
    "twice, once escaped": (b'{"a":1,"\\u0061":1}', [Kind.PAYLOAD_TWICE]),
    "as deep as may be": (nested(USUAL_LIMITS.json_depth), []),
    "one deeper": (nested(USUAL_LIMITS.json_depth + 1), [Kind.PAYLOAD_DEEP]),
    "beyond the decoder": (nested(100_000), [Kind.PAYLOAD_UNREADABLE]),
    "beyond 64 bit": (b'{"a":18446744073709551617}', []),
    "beyond a double": (b'{"a":1e400,"b":-0.0}', []),
    "beyond a decimal": (b'{"a":1e99999999999999999999}', [Kind.PAYLOAD_UNREADABLE]),
    "10,000 digits": (b'{"a":' + b"9" * 10_000 + b"}", [Kind.PAYLOAD_UNREADABLE]),
    "half a surrogate pair": (b'{"a":"\\ud800"}', [Kind.PAYLOAD_UNREADABLE]),
}
"""Payloads, and what a deep audit finds of each."""


@pytest.mark.parametrize(("payload", "kinds"), ODD.values(), ids=ODD.keys())
def test_what_only_decoding_shows_is_a_finding_of_a_deep_audit_alone(
    payload: bytes, kinds: list[Kind]
) -> None:
    stored = record("CVE-1", 5, payload)
    shallow = [each.kind for each in RecordRules(READY, deep=False).check(stored)]
    assert set(shallow) <= {Kind.RECORD_UNREADABLE}
    if not shallow:
        assert [each.kind for each in RecordRules(READY, deep=True).check(stored)] == kinds


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("limits", [USUAL_LIMITS, Limits(json_depth=3, json_values=20, line_bytes=200)])
def test_the_quick_way_passes_no_record_about_which_the_rules_say_anything(
    limits: Limits, deep: bool
) -> None:
    """Else a difference would be lost; and it reads the usual lines, else it would not be quick."""
    state = but(READY, offset=150, last_offset=150)
    rules = RecordRules(state, limits, deep=deep)
    usual = made_up(40)
    odd = [record("CVE-1", 5, payload) for payload, _ in ODD.values()]
    mislabelled = [replace(each, name="CVE-other") for each in usual[:5]]
    moved = [replace(each, offset=each.offset + 1000) for each in usual[:5]]
    cut = [replace(each, line=each.line[:-1]) for each in usual[:5]]
    twice = [replace(each, line=each.line.replace(b'{"', b'{"a":{"b":1,"b":2},"', 1)) for each in usual[:5]]
    stored = [*usual, *awkward(), *odd, *mislabelled, *moved, *cut, *twice, record("TID-1", 5)]
    read = reader(limits)([each.line for each in stored])

    for one, line in zip(stored, read, strict=True):
        assert list(rules.check(one, line)) == list(rules.check(one)), one.name
    if limits is USUAL_LIMITS and any(read):  # some platforms have no fast reader
        assert all(read[: len(usual)])


@pytest.mark.parametrize("case", ["twice", "twice, once escaped", "beyond a decimal", "10,000 digits"])
def test_a_deep_audit_decodes_what_a_fast_reader_has_passed(case: str) -> None:
    """Such a reader shows that a line is a record, not that an update can be applied to it."""
    payload, kinds = ODD[case]
    stored = record("CVE-1", 5, payload)
    assert [each.kind for each in RecordRules(READY, deep=True).check(stored, stored)] == kinds


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"-Infinity"])
def test_what_is_no_number_is_a_finding(constant: bytes) -> None:
    findings = RecordRules(READY, deep=True).check(record("CVE-1", 5, b'{"a":' + constant + b"}"))
    assert [each.kind for each in findings] == [Kind.RECORD_UNREADABLE]


def test_odd_but_sound_records_pass_a_deep_audit() -> None:
    rules = RecordRules(READY, deep=True)
    assert [finding for each in (*awkward(), *made_up(30)) for finding in rules.check(each)] == []


def test_an_object_with_the_same_key_a_hundred_thousand_times_is_soon_a_finding() -> None:
    payload = b'{"a":1' + b',"a":1' * 100_000 + b"}"
    (finding,) = RecordRules(READY, deep=True).check(record("CVE-1", 5, payload))
    assert finding.kind is Kind.PAYLOAD_TWICE


def test_the_key_that_is_there_twice_is_named() -> None:
    (finding,) = RecordRules(READY, deep=True).check(record("CVE-1", 5, b'{"one":1,"two":1,"two":2}'))
    assert "'two'" in finding.detail


def test_each_kind_has_a_name_of_its_own() -> None:
    assert len({kind.label for kind in Kind}) == len(Kind)


CHECK_OF = {
    "against": "against",
    "command": "command",
    "count": "count",
    "generation": "generations",
    "offset": "offsets",
    "payload": "deep",
    "record": "records",
    "settings": "settings",
    "state": "state",
    "store": "store",
    "writer": "writers",
}


def test_each_kind_has_the_name_the_check_and_the_weight_of_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "verify.md").read_text()
    table = page.partition("| kind | finding |")[2]
    rows = re.findall(r"`([a-z]+-[a-z-]+)`( \(note\))?", table)
    assert {(kind.label, kind.weight) for kind in Kind} == {
        (label, "note" if note else "difference") for label, note in rows
    }
    assert {kind.label: kind.check for kind in Kind} == {
        label: CHECK_OF[label.partition("-")[0]] for label, _ in rows
    }
