"""The table of `history` stays readable on every terminal, and its bars do not lie."""

import io
import re
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from ctisync.commands.history import History, Passes, as_table, bar, duration
from ctisync.core.model import Consumer
from tests.unit.test_pass_report import GOOD

FAILED = msgspec.structs.replace(
    GOOD,
    began_at=datetime(2026, 3, 1, 13, 0, tzinfo=UTC),
    exit_code=5,
    outcome="feed-unreachable",
    offset=1_908_777,
    last_offset=1_909_000,
    changes=1000,
    received=3_000_000,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, columns: int) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    table = as_table(History("sqlite:///x", [Passes(Consumer(), [FAILED, GOOD])]), Terminal())
    return re.sub(r"\x1b\[[\d;]*m", "", table).splitlines()


@pytest.mark.parametrize("columns", [70, 80, 90, 100, 110, 130])
def test_no_terminal_cuts_what_it_shows(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    lines = shown(monkeypatch, columns)
    assert "…" not in "".join(lines)
    assert max(map(len, lines)) <= columns
    for expected in ("2026-03-01 13:00:00", "feed-unreachable", "223"):
        assert expected in lines[2]


def test_a_wide_terminal_shows_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _, titles, failed, _ = shown(monkeypatch, 150)
    assert titles.split() == [
        *("began", "command", "outcome", "exit", "offset", "changes", "records", "received"),
        *("took", "behind"),
    ]
    assert "3 → 1,908,777" in failed
    assert "3.0 MB" in failed
    assert failed.endswith("████████")


@pytest.mark.parametrize(
    ("value", "expected"), [(0, ""), (0.001, "▏"), (4, "████"), (4.5, "████▌"), (8, "████████")]
)
def test_a_bar_is_as_long_as_what_it_stands_for(value: float, expected: str) -> None:
    assert bar(value, 8) == expected


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (timedelta(seconds=1.24), "1.2 s"),
        (timedelta(seconds=119), "119.0 s"),
        (timedelta(minutes=5), "5 min"),
        (timedelta(hours=5.55), "5.5 h"),
    ],
)
def test_a_duration_is_in_the_unit_that_fits(length: timedelta, expected: str) -> None:
    assert duration(length.total_seconds()) == expected
