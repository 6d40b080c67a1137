"""How a state is judged for monitoring and put into words for people."""

import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from ctisync.commands.status import as_document, as_table
from ctisync.commands.status.judge import Thresholds, ago, check, thresholds
from ctisync.commands.status.read import ConsumerStatus, Status
from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState, Cooldown, FailedChange, Moved, Owed, RefusedSnapshot
from ctisync.errors import UsageError

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
READY = ConsumerState(
    offset=100,
    last_offset=100,
    content=True,
    snapshot_offset=50,
    checked_at=NOW - timedelta(minutes=5),
    updated_at=NOW - timedelta(hours=30),
)
FAILED = FailedChange(101, "CVE-2024-1", 2, "there is no /x", "digest", blocked=True)


def status(*states: ConsumerState) -> Status:
    consumers = [
        ConsumerStatus(Consumer(name=f"c{number}"), state, 7 if state.content else None)
        for number, state in enumerate(states)
    ]
    return Status("sqlite:////s/ctisync.db", tuple(consumers))


def but(**changes: object) -> ConsumerState:
    return msgspec.structs.replace(READY, **changes)


BROUGHT = but(last_offset=None, checked_at=None)


@pytest.mark.parametrize(
    ("warn", "crit", "code"), [("31h", None, 0), ("29h", None, 1), ("1h", "29h", 2), (None, "31h", 1)]
)
def test_without_a_feed_a_limit_of_age_counts_from_the_load(
    warn: str | None, crit: str | None, code: int
) -> None:
    """Behind an air gap a snapshot is brought every week, and monitoring tells when it was not."""
    line, actual = check(status(BROUGHT), NOW, thresholds(None, None, warn, crit))
    assert actual == code
    assert "offset 100, the feed was never asked, last changed 30 hours ago" in line
    assert "'vd_1.0.0/c0 age'=108000s" in line


@pytest.mark.parametrize(
    ("state", "code", "words"),
    [
        (READY, 0, "offset 100, none behind"),
        (but(last_offset=300, updated_at=NOW - timedelta(hours=23)), 0, "200 behind"),
        (but(last_offset=300), 1, "200 offsets behind, last in step 30 hours ago"),
        (but(checked_at=NOW - timedelta(days=3)), 1, "the feed last answered 3 days ago"),
        (
            but(checked_at=NOW - timedelta(days=3), unanswered_at=NOW - timedelta(hours=1)),
            1,
            "the feed last answered 3 days ago, was last asked 1 hour ago",
        ),
        (but(updated_at=NOW - timedelta(days=13)), 0, "none behind"),
        (
            but(updated_at=NOW - timedelta(days=20)),
            1,
            "the feed is still at offset 100, last changed 20 days ago",
        ),
        (but(owed=Owed(100, 4)), 1, "the command for offset 100 is not accepted yet"),
        (but(offset=0), 1, "a new initialisation is pending"),
        (but(loading=True), 1, "a new initialisation is pending"),
        (but(last_offset=60), 1, "the feed went back to 60"),
        (but(failed=FAILED), 2, "blocked by change 101 of CVE-2024-1"),
        (but(stored_for=Consumer()), 1, "the settings differ"),
        (ConsumerState(), 2, "no content yet"),
        (ConsumerState(loading=True), 2, "no content yet"),
        (but(checked_at=None), 3, "the feed was never asked"),
        (but(checked_at=None, unanswered_at=NOW), 3, "the feed never answered"),
        (but(last_offset=None), 3, "the feed was never asked"),
    ],
)
def test_each_state_has_its_judgement(state: ConsumerState, code: int, words: str) -> None:
    line, actual = check(status(state), NOW)

    assert actual == code
    assert words in line
    assert line.startswith(f"CTISYNC {('OK', 'WARNING', 'CRITICAL', 'UNKNOWN')[code]} - ")


def test_a_content_that_is_gone_is_critical_whatever_else_there_is_to_say() -> None:
    for state in (READY, but(failed=FAILED), but(owed=Owed(100)), but(checked_at=None), but(offset=0)):
        line, code = check(Status("s", (ConsumerStatus(Consumer(), state, None),)), NOW)
        assert (code, "removed the content" in line, "ctisync sync" in line) == (2, True, True)
    elsewhere = but(stored_for=Consumer(index="before"))
    assert check(Status("s", (ConsumerStatus(Consumer(), elsewhere, None),)), NOW)[1] == 1, (
        "it is under its old name"
    )


def test_a_content_without_a_record_is_critical() -> None:
    line, code = check(Status("s", (ConsumerStatus(Consumer(), READY, 0),)), NOW)
    assert (code, "has no records" in line, "ctisync init-snapshot" in line) == (2, True, True)


AHEAD = NOW + timedelta(days=3650)


@pytest.mark.parametrize(
    "state",
    [
        but(checked_at=AHEAD),
        but(checked_at=AHEAD, updated_at=AHEAD),
        but(updated_at=AHEAD),
        but(last_offset=300, checked_at=AHEAD, updated_at=AHEAD),
        but(last_offset=None, checked_at=None, updated_at=AHEAD),
        but(checked_at=NOW + timedelta(minutes=6)),
    ],
)
@pytest.mark.parametrize("limits", [Thresholds(), thresholds(None, None, "1h", "2h")])
def test_a_time_in_the_future_proves_nothing(state: ConsumerState, limits: Thresholds) -> None:
    """A clock that was ahead once would keep a stale content OK for years."""
    line, code = check(status(state), NOW, limits)
    assert (code, "a clock" in line) == (3, True), line
    assert "ctisync sync" in line
    assert not re.search(r"age'=-", line), line


def test_what_is_worse_than_a_time_in_the_future_is_shown_instead() -> None:
    limits = Thresholds(crit_behind=100)
    assert check(status(but(last_offset=300, checked_at=AHEAD)), NOW, limits)[1] == 2
    assert check(status(but(failed=FAILED, checked_at=AHEAD)), NOW)[1] == 2


def test_a_clock_that_is_a_little_ahead_is_none_of_monitorings_business() -> None:
    line, code = check(status(but(checked_at=NOW + timedelta(minutes=4))), NOW)
    assert (code, "age'=0s" in line) == (0, True), line


def test_a_time_in_the_future_is_shown_with_what_mends_it() -> None:
    table = as_table(status(but(checked_at=AHEAD)), io.StringIO(), NOW)
    assert "in the future (a clock is wrong)" in table
    assert "ctisync sync" in table


def test_of_several_consumers_the_worst_counts_and_all_are_shown() -> None:
    line, code = check(status(READY, but(owed=Owed(100)), but(last_offset=None), ConsumerState()), NOW)

    assert code == 2
    assert all(f"vd_1.0.0/c{number}: " in line for number in range(4))
    assert check(status(READY, but(owed=Owed(100)), but(last_offset=None)), NOW)[1] == 3
    assert check(status(READY, but(owed=Owed(100))), NOW)[1] == 1


def test_a_certificate_that_ends_soon_is_a_warning_beside_a_good_content() -> None:
    late = ("the certificate of https://indexer.example:9200", NOW + timedelta(days=3, hours=1))
    later = ("the client certificate /c.pem", NOW + timedelta(days=40))
    line, code = check(msgspec.structs.replace(status(READY), certificates=(late, later)), NOW)
    assert code == 1
    assert "none behind" in line
    assert (
        f"; the certificate of https://indexer.example:9200 expires on {late[1]:%Y-%m-%d}, in 3 days" in line
    )
    assert "/c.pem" not in line


def test_missing_figures_are_u() -> None:
    assert (
        "'vd_1.0.0/c0 behind'=U 'vd_1.0.0/c0 records'=U 'vd_1.0.0/c0 age'=U;86400 'vd_1.0.0/c0 checked_age'=U"
        in check(status(ConsumerState()), NOW)[0]
    )


LAGS = but(last_offset=300, updated_at=NOW - timedelta(hours=2))
OLD = but(checked_at=NOW - timedelta(hours=3))


@pytest.mark.parametrize(
    ("state", "limits", "code"),
    [
        (LAGS, Thresholds(), 0),
        (LAGS, Thresholds(warn_behind=200), 0),
        (LAGS, Thresholds(warn_behind=199), 1),
        (LAGS, Thresholds(warn_behind=100, crit_behind=199), 2),
        (LAGS, Thresholds(crit_behind=150), 2),
        (LAGS, Thresholds(warn_age=timedelta(hours=2)), 0),
        (LAGS, Thresholds(warn_age=timedelta(minutes=119)), 1),
        (LAGS, Thresholds(warn_age=None, crit_age=timedelta(minutes=119)), 2),
        (OLD, Thresholds(), 0),
        (OLD, Thresholds(warn_age=timedelta(hours=2)), 1),
        (OLD, Thresholds(crit_age=timedelta(hours=2), warn_age=None), 2),
        (OLD, Thresholds(warn_behind=0), 0),
        (but(last_offset=300, updated_at=None), Thresholds(), 1),
        (but(last_offset=300, updated_at=None), Thresholds(warn_age=None), 0),
        (but(last_offset=300, updated_at=NOW, checked_at=NOW - timedelta(days=2)), Thresholds(), 1),
    ],
)
def test_from_where_on_it_is_a_warning_or_critical_is_for_the_operator_to_say(
    state: ConsumerState, limits: Thresholds, code: int
) -> None:
    assert check(status(state), NOW, limits)[1] == code


def test_the_figures_have_their_limits_beside_them() -> None:
    limits = Thresholds(crit_behind=500, warn_age=timedelta(hours=1), crit_age=timedelta(days=1))
    figures = check(status(LAGS), NOW, limits)[0].split(" | ")[1]
    assert "behind'=200;;500 " in figures
    assert "age'=7200s;3600;86400 " in figures


def test_a_critical_age_below_the_usual_warning_needs_no_other() -> None:
    limits = thresholds(None, None, None, "2h")
    assert (limits.warn_age, limits.crit_age) == (timedelta(hours=2), timedelta(hours=2))


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ((10, 5, None, None), "--crit-behind is lower than --warn-behind"),
        ((None, None, "2h", "1h"), "--crit-age is lower than --warn-age"),
        ((None, None, "soon", None), "soon is not a duration"),
        ((None, None, "-5m", None), "-5m is not a duration"),
        ((None, None, "999999999w", None), "999999999w is not a duration"),
    ],
)
def test_limits_that_make_no_sense_are_an_error(limits: tuple[Any, Any, Any, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        thresholds(*limits)


def test_a_block_names_its_change_for_programs() -> None:
    (consumer,) = as_document(status(but(failed=FAILED)))["consumers"]

    assert consumer["phase"] == "blocked"
    assert consumer["blocked_by"] == {
        "offset": 101,
        "resource": "CVE-2024-1",
        "operation": 2,
        "reason": "there is no /x",
    }


def test_a_change_that_failed_before_is_no_block_for_programs() -> None:
    failed = msgspec.structs.replace(FAILED, blocked=False)
    assert as_document(status(but(failed=failed)))["consumers"][0]["blocked_by"] is None


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (READY, ["100 of 100, up to date", "7 as wazuh-cve, last changed 30 hours ago", "5 minutes ago"]),
        (but(last_offset=1300), ["100 of 1,300, 1,200 behind", "ctisync sync"]),
        (but(last_offset=60), ["higher than the feed's 60: the feed went back", "ctisync init-snapshot"]),
        (but(owed=Owed(100, 1)), ["for offset 100, 1 refusal so far", "ctisync sync"]),
        (but(failed=FAILED), ["blocked by", "change 101 of CVE-2024-1, operation 2: there is no /x"]),
        (
            but(refused=RefusedSnapshot("https://h/1.zip", None, None, "cut off")),
            ["https://h/1.zip: cut off"],
        ),
        (but(stored_for=Consumer()), ["settings differ", "ctisync init-snapshot"]),
        (but(last_offset=None), ["the last offset of the feed is unknown"]),
        (ConsumerState(), ["none yet", "never", "ctisync sync"]),
    ],
)
def test_people_read_what_stands_and_what_to_type(state: ConsumerState, words: list[str]) -> None:
    table = as_table(status(state), io.StringIO(), NOW)

    assert "store  sqlite:////s/ctisync.db" in table
    for each in words:
        assert each in table


def test_a_good_state_asks_for_nothing() -> None:
    shown = Status("s", (ConsumerStatus(Consumer(), READY, 7),))
    assert "try:" not in as_table(shown, io.StringIO(), NOW)


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (timedelta(seconds=59), "just now"),
        (timedelta(seconds=60), "1 minute ago"),
        (timedelta(minutes=119), "1 hour ago"),
        (timedelta(hours=47), "47 hours ago"),
        (timedelta(days=2), "2 days ago"),
        (timedelta(days=-1), "in the future (a clock is wrong)"),
    ],
)
def test_ages_are_shown_in_words(passed: timedelta, words: str) -> None:
    assert ago(NOW - passed, NOW) == words


def test_the_table_says_until_when_the_feed_is_left_alone_and_the_document_stays_as_it_is() -> None:
    cooling = but(cooldown=Cooldown(NOW + timedelta(minutes=5), "https://feed answers 429"))

    text = as_table(status(cooling), io.StringIO(), NOW)

    assert "cool-down" in text
    assert "until 2026-03-01T12:05:00Z: https://feed answers 429" in text
    assert "cool-down" not in as_table(status(cooling), io.StringIO(), NOW + timedelta(minutes=5))
    assert as_document(status(cooling)) == as_document(status(READY))


def test_an_alias_that_leads_elsewhere_is_shown_whatever_else_there_is() -> None:
    moved = Moved(to="ctisync-old", was="ctisync-new")
    for state in (READY, but(failed=FAILED), but(owed=Owed(100)), but(checked_at=None)):
        one = ConsumerStatus(Consumer(), state, 7, moved=moved)
        line, code = check(Status("s", (one,)), NOW)
        assert (code, "points to ctisync-old" in line, "ctisync sync" in line) == (2, True, True)
        [document] = as_document(Status("s", (one,)))["consumers"]
        assert document["alias_moved"] == {"to": "ctisync-old", "from": "ctisync-new"}
