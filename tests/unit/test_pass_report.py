"""The report of a pass says what it came to, and who may want to be told."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import pytest

from ctisync.core.fold import Folded
from ctisync.core.incidents import Incident
from ctisync.core.model import Consumer, Delete, Write
from ctisync.core.pass_report import MOST_TOUCHED, Draft, PassReport, Touched, Work
from ctisync.core.state import LONGEST_COOLDOWN, ConsumerState, LoadRequest, Owed
from ctisync.core.steps import End
from ctisync.errors import Blocked, FeedUnreachable
from ctisync.notifications.metrics import GAUGES
from tests.support.records import record

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CONSUMER = Consumer()
STATE = ConsumerState(
    offset=3, last_offset=5, content=True, checked_at=NOW, updated_at=NOW, snapshot_offset=3
)
READ: dict[str, Any] = {
    "pass_id": "abc",
    "command": "sync",
    "consumer": "vd_1.0.0/vd_4.8.0",
    "index": "wazuh-cve",
    "began_at": NOW,
    "seconds": 2.5,
}
GOOD = PassReport(
    **READ,
    exit_code=0,
    outcome="up-to-date",
    why="all of it",
    from_offset=3,
    offset=5,
    last_offset=5,
    phase="ready",
    checked_at=NOW,
    updated_at=NOW,
)


def but(**changes: object) -> PassReport:
    return msgspec.structs.replace(GOOD, **changes)


class Cost(NamedTuple):
    """What a feed has cost."""

    received: int
    retries: int


def draft() -> Draft:
    return Draft(CONSUMER, "sync", pass_id="abc", began_at=NOW, began=10.0)


def folded(*writes: Write, created: tuple[str, ...] = ()) -> Folded:
    return Folded(list(writes), skipped=0, created=frozenset(created))


def test_what_the_steps_did_is_summed_up_and_the_last_state_is_where_it_stands() -> None:
    made = draft()
    made.set_state(STATE, commands=True)
    made.traffic = Cost(received=1234, retries=1)
    made.add_load(3, 40)
    put = [record(f"CVE-{number}", 4 + number) for number in range(3)]
    gone = Delete("CVE-0", 9)
    assert [each.how for each in made.add_range(5, folded(*put, created=("CVE-1",)))] == [
        "updated",
        "created",
        "updated",
    ]
    assert made.add_range(7, folded(gone)) == [Touched(9, "deleted", "CVE-0")]
    owing = msgspec.structs.replace(STATE, offset=15, last_offset=20, owed=Owed(15))
    made.set_state(owing, commands=True)
    made.end = End("up-to-date", "all of it")

    report, error = made.ended(None, now=12.5)

    assert error is None
    assert report == PassReport(
        **READ,
        exit_code=0,
        outcome="up-to-date",
        why="all of it",
        from_offset=3,
        offset=15,
        last_offset=20,
        phase="ready",
        command_owed=True,
        initialisations=1,
        changes=12,
        records=44,
        received=1234,
        retries=1,
        checked_at=NOW,
        updated_at=NOW,
        tried_at=NOW,
        touched=(
            Touched(3, "loaded", ""),
            Touched(4, "updated", "CVE-0"),
            Touched(5, "created", "CVE-1"),
            Touched(6, "updated", "CVE-2"),
            Touched(9, "deleted", "CVE-0"),
        ),
    )
    assert (report.behind, report.ended_at) == (5, NOW + timedelta(seconds=2.5))


def test_a_command_is_owed_only_where_there_is_a_command_manager() -> None:
    made = draft()
    made.set_state(msgspec.structs.replace(STATE, owed=Owed(3)), commands=False)
    assert not made.ended(FeedUnreachable("gone"), now=11.0).report.command_owed


def test_no_command_is_owed_that_the_state_does_not_owe() -> None:
    made = draft()
    made.set_state(STATE, commands=True)
    assert not made.ended(FeedUnreachable("gone"), now=11.0).report.command_owed


def test_a_draft_has_the_incidents_of_the_stored_state() -> None:
    """Else each pass would alert anew."""
    assert draft().incidents == ()
    made, stored = draft(), (Incident("error", 5, "why", NOW, NOW),)
    made.set_state(msgspec.structs.replace(STATE, incidents=stored), commands=True)
    assert made.incidents == stored


def test_a_report_of_an_earlier_version_keeps_the_number_of_records_that_it_does_not_list() -> None:
    text = msgspec.json.encode(but(unlisted=3))
    assert msgspec.json.decode(text)["untold"] == 3
    assert msgspec.json.decode(text.replace(b'"untold":3', b'"untold":4'), type=PassReport).unlisted == 4


def test_a_pass_that_never_saw_the_store_knows_its_error_and_nothing_else() -> None:
    gone = FeedUnreachable("gone")
    report, error = draft().ended(gone, now=12.5)
    assert error is gone
    assert (report.exit_code, report.outcome, report.why) == (5, "feed-unreachable", f"{CONSUMER}: gone")
    assert (report.from_offset, report.offset, report.behind, report.in_step_at) == (None,) * 4
    assert (report.received, report.retries) == (0, 0)


def test_a_running_pass_is_not_called_missing_unless_its_process_was_looked_for() -> None:
    assert not Work().process_missing


def test_an_error_is_the_outcome_even_where_the_pass_came_to_its_end() -> None:
    made = draft()
    made.end = End("blocked", "change 4")
    report = made.ended(Blocked(f"{CONSUMER}: change 4 of CVE-1"), now=11.0).report
    assert (report.outcome, report.why) == ("blocked", f"{CONSUMER}: change 4 of CVE-1")


def test_a_signal_is_answered_with_what_the_next_pass_will_do() -> None:
    """Who stops an init-snapshot must learn whether it was stored that it is asked for."""
    made = Draft(CONSUMER, "init-snapshot", pass_id="abc", began_at=NOW, began=0.0)
    assert made.after_stop == "run the same command again"
    made.set_state(msgspec.structs.replace(STATE, requested=LoadRequest(CONSUMER, NOW)), commands=True)
    assert made.after_stop.startswith(
        "the next ctisync sync continues the initialisation of vd_1.0.0/vd_4.8.0"
    )
    made.add_load(3, 40)
    made.set_state(STATE, commands=True)
    assert made.after_stop == "the next pass continues from here"


@pytest.mark.parametrize(
    ("report", "reasons"),
    [
        (GOOD, []),
        (but(changes=1), ["update"]),
        (but(initialisations=1), ["update"]),
        (but(exit_code=5), ["error"]),
        (but(changes=1, exit_code=8), ["update", "error"]),
        (but(checked_at=None, exit_code=7), ["error", "stale"]),
        (but(checked_at=NOW - timedelta(hours=23)), []),
        (but(checked_at=NOW - LONGEST_COOLDOWN), ["stale"]),
        (but(last_offset=9, updated_at=NOW - timedelta(hours=23)), []),
        (but(last_offset=9, updated_at=NOW - timedelta(hours=24)), ["stale"]),
        (but(last_offset=9, updated_at=None), ["stale"]),
    ],
)
def test_each_report_has_its_reasons_for_a_hook(report: PassReport, reasons: list[str]) -> None:
    assert report.reasons() == reasons


@pytest.mark.parametrize("behind", [0, 7])
def test_a_time_in_the_future_is_no_sign_that_a_content_is_in_step(behind: int) -> None:
    """Metrics and hooks would take a stale content for a current one for years."""
    ahead = NOW + timedelta(days=3650)
    report = but(exit_code=5, last_offset=5 + behind, checked_at=ahead, updated_at=ahead)
    assert report.in_step_at is None
    assert report.reasons() == ["error", "stale"]
    figures = {name: value_of(report) for name, (_, value_of) in GAUGES.items()}
    for time in ("in_step", "checked", "updated"):
        assert figures[f"ctisync_{time}_timestamp_seconds"] is None


def test_what_is_stale_is_for_the_operator_to_say() -> None:
    report = but(checked_at=NOW - timedelta(hours=2))
    assert report.reasons(timedelta(hours=2)) == ["stale"]
    assert report.reasons(timedelta(hours=3)) == []


def test_an_empty_report_is_of_a_pass_that_has_done_nothing() -> None:
    made = PassReport(**READ, exit_code=7, outcome="store-unavailable", why="")
    assert not made.command_owed
    assert (made.initialisations, made.changes, made.records, made.received, made.retries) == (0,) * 5
    assert (made.unlisted, made.touched, made.behind, made.in_step_at) == (0, (), None, None)


@pytest.mark.parametrize(
    ("offset", "last_offset", "behind"),
    [(3, 5, 2), (5, 5, 0), (9, 5, 0), (None, 5, None), (3, None, None)],
)
def test_the_distance_behind_needs_both_offsets(
    offset: int | None, last_offset: int | None, behind: int | None
) -> None:
    assert but(offset=offset, last_offset=last_offset).behind == behind


def test_ten_thousand_records_are_listed() -> None:
    assert MOST_TOUCHED == 10_000


def test_a_content_is_stale_only_beyond_the_time() -> None:
    at_once = but(checked_at=NOW + timedelta(seconds=2.5) - timedelta(hours=1))
    assert "stale" not in at_once.reasons(timedelta(hours=1))
    assert "stale" in at_once.reasons(timedelta(minutes=59))
