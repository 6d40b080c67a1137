"""The judgement of an examination: what is worth a warning, what ends passes, what counts in the end."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from ctisync.core.health import (
    LEAST_ROOM,
    CheckResult,
    Health,
    failed,
    guarded,
    judge_clocks,
    judge_disk_space,
    judge_end,
    ok,
    warning,
    worst,
)
from ctisync.core.model import Consumer
from ctisync.errors import StoreUnavailable

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
GIB = 1 << 30


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([], "ok"),
        ([ok("a", "")], "ok"),
        ([ok("a", ""), warning("b", ""), ok("c", "")], "warning"),
        ([warning("a", ""), failed("b", ""), ok("c", "")], "failed"),
    ],
)
def test_the_worst_check_is_that_of_the_whole(results: list[CheckResult], expected: Health) -> None:
    assert worst(results) == expected


def test_an_error_ends_its_own_check_alone_and_keeps_its_earlier_results() -> None:
    def look() -> Iterator[CheckResult]:
        yield ok("store", "it answers")
        raise StoreUnavailable("it is full", hint="df -h")

    assert list(guarded("disk", look, about="a/b")) == [
        ok("store", "it answers"),
        failed("disk", "it is full", "df -h", about="a/b"),
    ]
    (_, result) = guarded("disk", look, fault="warning")
    assert result.health == "warning"


def test_a_bug_is_no_check_result() -> None:
    with pytest.raises(ZeroDivisionError):
        list(guarded("disk", lambda: [ok("disk", str(1 // 0))]))


@pytest.mark.parametrize(
    ("apart", "health", "words"),
    [
        (timedelta(), "ok", "within 5 minutes"),
        (timedelta(minutes=5), "ok", "within 5 minutes"),
        (timedelta(minutes=-5), "ok", "within 5 minutes"),
        (timedelta(minutes=6), "warning", "6 minutes ahead of"),
        (timedelta(minutes=-90), "warning", "90 minutes behind"),
    ],
)
def test_clocks_more_than_five_minutes_apart_are_worth_a_warning(
    apart: timedelta, health: Health, words: str
) -> None:
    result = judge_clocks(NOW - apart, NOW)
    assert (result.health, words in result.text) == (health, True)


@pytest.mark.parametrize(
    ("free", "snapshot", "share", "filled", "health"),
    [
        (GIB, None, None, False, "ok"),
        (LEAST_ROOM - 1, None, None, True, "warning"),
        (GIB, GIB, None, False, "ok"),
        (GIB - 1, GIB, None, False, "failed"),
        (GIB - 1, GIB, None, True, "warning"),
        (3 * GIB, GIB, 0.25, False, "ok"),
        (3 * GIB - 1, GIB, 0.25, False, "failed"),
        (9 * GIB - 1, GIB, 1.0, False, "failed"),
        (LEAST_ROOM - 1, 1, None, False, "warning"),
    ],
)
def test_too_little_room_for_a_load_fails_where_the_next_pass_has_to_load(
    free: int, snapshot: int | None, share: float | None, filled: bool, health: Health
) -> None:
    assert judge_disk_space("/state", free, snapshot, share, filled=filled).health == health


@pytest.mark.parametrize(
    ("on_disk", "share", "health"),
    [
        (32 << 20, 0.25, "warning"),
        ((32 << 20) - 1, 0.25, "failed"),
        (1 << 20, None, "warning"),
        ((1 << 20) - 1, None, "failed"),
        (0, None, "failed"),
    ],
)
def test_a_disk_too_full_for_a_pass_has_failed_whatever_the_database_has_left(
    on_disk: int, share: float | None, health: Health
) -> None:
    free = LEAST_ROOM - 1  # in empty pages, of which the log can make no use
    for snapshot in (None, 1):
        result = judge_disk_space("/state", free, snapshot, share, filled=True, on_disk=on_disk)
        assert (result.what, result.health, result.hint) == ("disk", health, "df -h /state")


def test_the_results_for_room_and_clocks_name_the_place_the_figures_and_what_to_type() -> None:
    assert judge_disk_space("/state", 300 << 20, None, None, filled=False) == ok(
        "disk", "/state has 300 MiB of free disk space"
    )
    assert judge_disk_space("/state", 1 << 20, None, None, filled=False) == warning(
        "disk", "/state has 1 MiB of free disk space", "df -h /state"
    )
    assert judge_disk_space("/state", 3 * GIB, GIB, 0.25, filled=False) == ok(
        "disk", "/state has 3,072 MiB of free disk space, a load of the snapshot needs about 3,072 MiB"
    )
    assert judge_disk_space("/state", GIB, GIB, 0.25, filled=False) == failed(
        "disk",
        "/state has 1,024 MiB of free disk space, a load of the snapshot needs about 3,072 MiB",
        "df -h /state",
    )
    assert judge_clocks(NOW, NOW) == ok("clock", "this host's clock is within 5 minutes of the feed's")
    assert judge_clocks(NOW + timedelta(minutes=7), NOW) == warning(
        "clock", "this host's clock is 7 minutes behind the feed's", "timedatectl"
    )


def test_less_than_256_mib_is_worth_a_look() -> None:
    assert LEAST_ROOM == 256 << 20
    assert judge_disk_space("/", LEAST_ROOM, None, None, filled=False).health == "ok"
    assert judge_disk_space("/", LEAST_ROOM, LEAST_ROOM, None, filled=False).health == "ok"
    assert judge_disk_space("/", 100, 100, None, filled=False).health == "warning", (
        "it would do, but only just"
    )
    assert judge_disk_space("/", 99, 100, None, filled=False).health == "failed"


@pytest.mark.parametrize(
    ("left", "health", "words"),
    [
        (timedelta(days=30, seconds=1), "ok", "is valid until"),
        (timedelta(days=30), "warning", "in 30 days"),
        (timedelta(days=1, hours=1), "warning", "in 1 day"),
        (timedelta(hours=5), "warning", "today or tomorrow"),
        (timedelta(0), "failed", "expired on"),
    ],
)
def test_a_certificate_is_worth_a_warning_thirty_days_before_its_end(
    left: timedelta, health: Health, words: str
) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    result = judge_end("store-certificate", "the certificate of x", now + left, now)
    assert (result.health, result.hint) == (health, None if health == "ok" else "renew it")
    assert words in result.text


def test_a_check_result_is_about_a_consumer_or_about_all() -> None:
    assert (ok("a", "").about, warning("a", "", about=Consumer()).about) == (None, "vd_1.0.0/vd_4.8.0")
