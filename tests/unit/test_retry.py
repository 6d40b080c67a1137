"""When to try again: too early gets a client blocked, too late wastes the pass."""

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ctisync.core.retry import LONGEST_DELAY, http_date, next_delay, parse_retry_after

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("60", 60.0),
        (" 0 ", 0.0),
        ("Tue, 24 Nov 2026 03:01:30 GMT", 90.0),
        ("Tue, 24 Nov 2026 02:00:00 GMT", 0.0),
        ("Tue, 24 Nov 2026 03:00:10 -0000", 10.0),
        ("Tue, 24 Nov 2026 05:00:10 +0200", 10.0),
        ("-1", None),
        ("", None),
        ("1.5", None),
        ("inf", None),
        ("soon", None),
        ("99999999999999", None),
        ("٣", None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_nonsense_is_ignored(
    header: str | None, seconds: float | None
) -> None:
    assert parse_retry_after(header, NOW) == seconds


ABSURD = [
    "Fri, 31 Dec 99999999999999999999 23:59:59 GMT",
    "Fri, 31 Dec 9999 23:59:59 +99999999999999999999",
    "Fri, 31 Dec 2026 23:59:59 -9999",
    "Fri, 31 Dec 2026 99999999999999999999:00:00 GMT",
    "Mon, 01 Jan 0001 00:00:00 +2300",
    "Fri, 31 Dec 9999 23:59:59 -2300",
    "Fri, 31 Dec " + "9" * 5000 + " 23:59:59 GMT",
    ",",
    " , ",
    "Fri",
    "\0",
]


@pytest.mark.parametrize("header", ABSURD)
def test_an_absurd_date_is_no_wish_or_one_that_can_be_counted(header: str) -> None:
    wish = parse_retry_after(header, NOW)
    assert wish is None or 0 <= wish < 10_000 * 366 * 86_400


DATE_LIKE = st.lists(
    st.sampled_from(
        ["Fri", ",", " ", "31", "Dec", "2026", "23:59:59", "GMT", "+", "-", "9" * 30, ":", "T", "."]
    )
    | st.integers(0, 10**25).map(str)
).map("".join)


@given(DATE_LIKE | st.text())
@example(ABSURD[0])
def test_whatever_a_server_calls_a_date_ends_in_one_or_in_none(text: str) -> None:
    time = http_date(text)
    assert time is None or time.tzinfo is not None
    parse_retry_after(text, NOW)


def test_what_the_server_asks_for_is_never_shortened() -> None:
    for jitter in (0.0, 0.5, 0.999):
        delay = next_delay(1, 30.0, 300.0, jitter)
        assert delay is not None
        assert 30.0 <= delay <= 33.0
    assert next_delay(1, 600.0, 1000.0, 0.5) == 602.5, "a long wish grows by 5 seconds at most"


def test_a_retry_after_of_0_is_the_usual_delay() -> None:
    delays = [next_delay(attempt, 0.0, 300.0, 0.5) for attempt in range(1, 10)]
    assert delays == [next_delay(attempt, None, 300.0, 0.5) for attempt in range(1, 10)]


def test_waits_grow_and_stay_bounded() -> None:
    delays = [next_delay(attempt, None, 1e9, 1.0) for attempt in range(1, 60)]
    assert delays[:4] == [1.0, 2.0, 4.0, 8.0]
    assert delays[-1] == LONGEST_DELAY == 60.0


def test_a_budget_that_does_not_allow_the_wait_ends_the_tries() -> None:
    assert next_delay(1, 60.0, 59.0, 0.0) is None
    assert next_delay(1, None, 0.4, 0.0) is None
    assert next_delay(1, None, 0.5, 0.0) == 0.5
