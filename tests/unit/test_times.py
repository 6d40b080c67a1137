"""Durations and moments as people type them; what is neither is named, with what can be typed instead."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from ctisync.core.words import duration, moment
from ctisync.errors import UsageError

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("0s", 0), ("15m", 900), ("36h", 129_600), ("7d", 604_800), ("2w", 1_209_600)],
)
def test_lengths_of_time_are_written_as_people_do(text: str, seconds: int) -> None:
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("24h", NOW - timedelta(days=1)),
        ("0s", NOW),
        ("2026-02-14", datetime(2026, 2, 14, tzinfo=UTC)),
        ("2026-02-14T07:30", datetime(2026, 2, 14, 7, 30, tzinfo=UTC)),
        ("2026-02-14 07:30:15Z", datetime(2026, 2, 14, 7, 30, 15, tzinfo=UTC)),
        ("2026-02-14T01:30+02:00", datetime(2026, 2, 13, 23, 30, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_date_in_utc_or_so_long_ago(text: str, when: datetime) -> None:
    assert moment(text, NOW, "--since") == when


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "90",
        "2026",
        "-5m",
        "2026-02-30",
        "24 h",
        "99999999w",
        "999999999w",
        "0001-01-01T00:00+14:00",
    ],
)
def test_what_is_no_moment_is_named_with_its_option(text: str) -> None:
    with pytest.raises(
        UsageError, match=re.escape(f"--until: {text} is neither a duration nor a date")
    ) as caught:
        moment(text, NOW, "--until")
    assert caught.value.hint == "write 24h, 7d, 2026-11-24 or 2026-11-24T07:30Z"
