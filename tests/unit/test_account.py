"""The account of a pass says what it came to, and who may want to be told."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from ctisync.core.account import MOST_TOUCHED, Account, Accounting, Touched
from ctisync.core.state import LONGEST_COOLDOWN
from ctisync.errors import Blocked, FeedUnreachable
from ctisync.notifications.metrics import GAUGES

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
STANDS = {
    "consumer": "vd_1.0.0/vd_4.8.0",
    "phase": "ready",
    "offset": 3,
    "last_offset": 5,
    "owed": None,
    "checked_at": NOW,
    "updated_at": NOW,
}
KNOWN: dict[str, Any] = {
    "pass_id": "abc",
    "command": "sync",
    "consumer": "vd_1.0.0/vd_4.8.0",
    "index": "wazuh-cve",
    "began_at": NOW,
    "seconds": 2.5,
}
GOOD = Account(
    **KNOWN,
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


def but(**changes: object) -> Account:
    return msgspec.structs.replace(GOOD, **changes)


def test_what_the_events_tell_is_summed_up() -> None:
    accounting = Accounting()
    accounting.event("pass-begun", STANDS)
    accounting.event("initialised", {"offset": 3, "records": 40})
    accounting.event("range-applied", {"changes": 5, "records": 3})
    accounting.event("range-applied", {"changes": 7, "records": 6})
    accounting.event("retry", {"attempt": 1})
    accounting.event("feed-left", {"received": 1234})
    accounting.event("pass-stands", STANDS | {"offset": 15, "last_offset": 20, "owed": 15})
    accounting.event("pass-ended", {"outcome": "up-to-date", "why": "all of it"})
    account = accounting.account(None, **KNOWN)
    assert account == Account(
        **KNOWN,
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
        records=49,
        received=1234,
        retries=1,
        checked_at=NOW,
        updated_at=NOW,
        touched=(Touched(3, "loaded", ""),),
    )
    assert (account.behind, account.ended_at) == (5, NOW + timedelta(seconds=2.5))


def test_a_pass_that_never_saw_the_store_knows_its_error_and_nothing_else() -> None:
    account = Accounting().account(FeedUnreachable("gone"), **KNOWN)
    assert (account.exit_code, account.outcome, account.why) == (5, "feed-unreachable", "gone")
    assert (account.from_offset, account.offset, account.behind, account.in_step_at) == (None,) * 4


def test_an_error_is_the_outcome_even_where_the_pass_came_to_its_end() -> None:
    accounting = Accounting()
    accounting.event("pass-ended", {"outcome": "blocked", "why": "change 4"})
    assert accounting.account(Blocked("change 4 of CVE-1"), **KNOWN).why == "change 4 of CVE-1"


@pytest.mark.parametrize(
    ("account", "reasons"),
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
def test_who_may_want_to_be_told(account: Account, reasons: list[str]) -> None:
    assert account.reasons() == reasons


@pytest.mark.parametrize("behind", [0, 7])
def test_a_time_in_the_future_is_no_sign_that_a_content_is_in_step(behind: int) -> None:
    """Metrics and hooks would take a stale content for a current one for years."""
    ahead = NOW + timedelta(days=3650)
    account = but(exit_code=5, last_offset=5 + behind, checked_at=ahead, updated_at=ahead)
    assert account.in_step_at is None
    assert account.reasons() == ["error", "stale"]
    figures = {gauge.name: gauge.of(account) for gauge in GAUGES}
    for time in ("in_step", "checked", "updated"):
        assert figures[f"ctisync_{time}_timestamp_seconds"] is None


def test_what_is_stale_is_for_the_operator_to_say() -> None:
    account = but(checked_at=NOW - timedelta(hours=2))
    assert account.reasons(timedelta(hours=2)) == ["stale"]
    assert account.reasons(timedelta(hours=3)) == []


def test_a_pass_of_which_nothing_was_told_has_done_nothing() -> None:
    made = Account(**KNOWN, exit_code=7, outcome="store-unavailable", why="")
    assert not made.command_owed
    assert (made.initialisations, made.changes, made.records, made.received, made.retries) == (0,) * 5
    assert (made.untold, made.touched, made.behind, made.in_step_at) == (0, (), None, None)


@pytest.mark.parametrize(
    ("offset", "last_offset", "behind"),
    [(3, 5, 2), (5, 5, 0), (9, 5, 0), (None, 5, None), (3, None, None)],
)
def test_how_far_behind_is_known_only_when_both_ends_are(
    offset: int | None, last_offset: int | None, behind: int | None
) -> None:
    assert but(offset=offset, last_offset=last_offset).behind == behind


def test_ten_thousand_records_are_told_of() -> None:
    assert MOST_TOUCHED == 10_000


def test_a_content_is_stale_only_beyond_the_time() -> None:
    at_once = but(checked_at=NOW + timedelta(seconds=2.5) - timedelta(hours=1))
    assert "stale" not in at_once.reasons(timedelta(hours=1))
    assert "stale" in at_once.reasons(timedelta(minutes=59))
