"""The rules of an audit: what no content may be like, and what it may well be like."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from ctisync.core import state as transitions
from ctisync.core.audit import (
    MOST_DEPTH,
    Kind,
    RecordRules,
    check_count,
    check_offsets,
    check_settings,
    check_state,
    highest_offset,
)
from ctisync.core.model import MAX_OFFSET, MAX_RANGE, Consumer, ConsumerInfo, Record, Snapshot
from ctisync.core.state import ConsumerState, FailedChange, Owed
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
    ],
)
def test_a_state_that_no_pass_leaves_is_named_by_its_field(
    state: ConsumerState, kind: Kind, subject: str
) -> None:
    assert (kind, subject) in [(found.kind, found.subject) for found in check_state(state)]


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
    ],
)
def test_a_state_that_a_pass_leaves_is_no_finding(state: ConsumerState) -> None:
    assert list(check_state(state)) == []


def test_an_unsettled_state_is_left_to_the_next_writer() -> None:
    found = check_state(but(READY, unsettled=True, owed=Owed(77), range_to=3))
    assert [each.kind for each in found] == [Kind.STATE_UNSETTLED]


@pytest.mark.parametrize("seed", range(200))
def test_no_sequence_of_transitions_leads_to_a_finding(seed: int) -> None:
    """Otherwise an audit would accuse a content that is as it should be."""
    chance = random.Random(seed)
    state, last, now = ConsumerState(), 10, NOW
    for _ in range(40):
        last += chance.randrange(1500)
        now += timedelta(minutes=1)
        state = transitions.looked(state, ConsumerInfo(last, Snapshot(f"s{last}", last)), now)
        state = one_step(state, last, now, chance)
        assert list(check_state(state)) == [], state
        assert list(check_count(state, 7 if state.content else None)) == []
        highest = highest_offset(state)
        assert (highest is None) == (not state.content)
        assert highest is None or highest >= state.offset


def one_step(state: ConsumerState, last: int, now: datetime, chance: random.Random) -> ConsumerState:
    if chance.random() < 0.3:
        state = (
            transitions.command_accepted(state)
            if chance.random() < 0.5 or state.owed is None
            else transitions.command_refused(state)
        )
    if state.offset == 0 or chance.random() < 0.1:
        if chance.random() < 0.3:
            return transitions.load_begun(state)
        at = chance.randrange(1, last + 1)
        return transitions.initialised(state, Snapshot(f"s{at}", at), Consumer(), now)
    wanted = transitions.next_range(state, last, MAX_RANGE)
    if wanted.to <= wanted.after:
        return state
    failed = FailedChange(chance.randint(wanted.after + 1, wanted.to), "CVE-1", 0, "why", f"d{last}")
    match chance.randrange(5):
        case 0:
            return transitions.interrupted(state, failed, now)
        case 1:
            return transitions.blocked(state, failed)
        case 2:
            return but(state, range_to=wanted.to)  # as a store without transactions does
    return transitions.advanced(state, wanted.to, now)


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
        (but(READY, unsettled=True), None),
        (ConsumerState(last_offset=9), None),
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
def test_a_record_above_the_content_is_found_and_one_that_a_snapshot_may_bring_is_a_note(
    state: ConsumerState, offset: int, kinds: list[Kind]
) -> None:
    found = RecordRules(state, deep=False).check(record("CVE-1", offset))
    assert [each.kind for each in found] == kinds


def test_what_cannot_be_judged_is_said() -> None:
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
        (ConsumerState(unsettled=True), 7, False),
    ],
)
def test_a_count_that_contradicts_the_state_is_found(
    state: ConsumerState, count: int | None, wrong: bool
) -> None:
    assert [each.kind for each in check_count(state, count)] == [Kind.COUNT_WRONG] * wrong


def test_other_settings_than_the_contents_are_a_note() -> None:
    assert list(check_settings(READY, Consumer())) == []
    (found,) = check_settings(READY, Consumer(resources=("CVE-2024-*",)))
    assert (found.kind, found.kind.weight) == (Kind.SETTINGS_DIFFER, "note")


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
def test_a_line_that_is_not_what_the_store_says_is_found(stored: Record, kind: Kind) -> None:
    state = but(READY, stored_for=Consumer(resources=("CVE-*", "", "a*")))
    assert [each.kind for each in RecordRules(state, deep=False).check(stored)] == [kind]


def nested(depth: int) -> bytes:
    """A payload with so many containers inside one another."""
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


@pytest.mark.parametrize(
    ("payload", "kinds"),
    [
        (b'{"a":1,"b":[{"a":1},{"a":1}]}', []),
        (b'{"a":{"b":[{"c":1,"d":2,"c":3}]}}', [Kind.PAYLOAD_TWICE]),
        (b'{"a":1,"\\u0061":1}', [Kind.PAYLOAD_TWICE]),
        (nested(MOST_DEPTH - 1), []),
        (nested(MOST_DEPTH), [Kind.PAYLOAD_DEEP]),
        (nested(100_000), [Kind.PAYLOAD_UNREADABLE]),
        (b'{"a":18446744073709551617}', []),
        (b'{"a":1e400,"b":-0.0}', []),
        (b'{"a":1e99999999999999999999}', [Kind.PAYLOAD_UNREADABLE]),
        (b'{"a":' + b"9" * 10_000 + b"}", [Kind.PAYLOAD_UNREADABLE]),
        (b'{"a":"\\ud800"}', [Kind.PAYLOAD_UNREADABLE]),
    ],
    ids=[
        "same key in different objects",
        "twice",
        "twice, once escaped",
        "as deep as may be",
        "one deeper",
        "beyond the decoder",
        "beyond 64 bit",
        "beyond a double",
        "beyond a decimal",
        "10,000 digits",
        "half a surrogate pair",
    ],
)
def test_what_only_decoding_shows_is_found_by_a_deep_audit_alone(payload: bytes, kinds: list[Kind]) -> None:
    stored = record("CVE-1", 5, payload)
    shallow = [each.kind for each in RecordRules(READY, deep=False).check(stored)]
    assert set(shallow) <= {Kind.RECORD_UNREADABLE}
    if not shallow:
        assert [each.kind for each in RecordRules(READY, deep=True).check(stored)] == kinds


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"-Infinity"])
def test_what_is_no_number_is_found(constant: bytes) -> None:
    found = RecordRules(READY, deep=True).check(record("CVE-1", 5, b'{"a":' + constant + b"}"))
    assert [each.kind for each in found] == [Kind.RECORD_UNREADABLE]


def test_odd_but_sound_records_pass_a_deep_audit() -> None:
    rules = RecordRules(READY, deep=True)
    assert [found for each in (*awkward(), *made_up(30)) for found in rules.check(each)] == []


def test_an_object_with_the_same_key_a_hundred_thousand_times_is_soon_told() -> None:
    payload = b'{"a":1' + b',"a":1' * 100_000 + b"}"
    (found,) = RecordRules(READY, deep=True).check(record("CVE-1", 5, payload))
    assert found.kind is Kind.PAYLOAD_TWICE


def test_each_kind_has_a_name_of_its_own() -> None:
    assert len({kind.label for kind in Kind}) == len(Kind)
