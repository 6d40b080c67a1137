"""Charts that stand one below the other: the same moment at the same place, numbers as people write them."""

from datetime import UTC, datetime, timedelta

import pytest

from ctisync.commands.history import LEFT, RIGHT, WIDTH, Chart, in_digits

BEGIN = datetime(2026, 11, 20, 6, tzinfo=UTC)
SPAN = (BEGIN, BEGIN + timedelta(days=4))


def at(days: float) -> datetime:
    return BEGIN + timedelta(days=days)


def test_charts_of_the_same_passes_have_one_time_axis() -> None:
    midnight = BEGIN.replace(hour=0)
    days = [(midnight + timedelta(days=number), 3.0) for number in range(5)]
    lag, age, changes = (
        Chart("Lag", "", [(at(0), 1), (at(4), 2)], SPAN),
        Chart("Age", "", [(at(2), 1)], SPAN),  # it is known of one pass alone
        Chart("Changes", "", days, SPAN, daily=True),
    )
    assert lag.below() == age.below() == changes.below()
    assert lag.x(at(2)) == age.x(at(2)) == (LEFT + RIGHT) / 2
    for day, _ in days:
        assert LEFT <= changes.x(day) < changes.x(day) + changes.day_width(day) <= WIDTH
    noon = changes.x(days[2][0]) + changes.day_width(days[2][0]) / 2
    assert noon == pytest.approx((LEFT + RIGHT) / 2 + (RIGHT - LEFT) / 4 * 0.25, abs=1), (
        "noon of the third day, six hours behind the middle"
    )


def test_a_bar_outside_the_axis_is_not_drawn_into_the_margin() -> None:
    day = BEGIN.replace(hour=0)
    chart = Chart("Changes", "", [(day, 3.0)], (BEGIN, BEGIN + timedelta(hours=2)), daily=True)
    assert chart.x(day) == LEFT
    assert chart.day_width(day) == pytest.approx(RIGHT - LEFT, abs=1.5)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"), (1, "1"), (0.5, "0.5"), (2.5, "2.5"), (123.456, "123.5"), (999.96, "1,000"),
        (1500, "1,500"), (40_000, "40,000"), (1_901_776, "1,901,776"), (2e7, "20,000,000"),
        (0.00005, "0.00005"), (1e-7, "0.0000001"),
    ],
)  # fmt: skip
def test_no_number_is_written_with_an_exponent(number: float, text: str) -> None:
    assert in_digits(number) == text


def texts(chart: Chart) -> tuple[list[str], list[str]]:
    """Those of the axis, and those of the values."""
    values = [chart.label(time, value).partition(": ")[2] for time, value in chart.points]
    return [text for _, text in chart.across()], values


def test_a_large_lag_is_written_out() -> None:
    chart = Chart("Lag", "", [(at(0), 1_901_776.0), (at(1), 40_000.0)], SPAN)
    assert texts(chart) == (["0", "1,000,000", "2,000,000"], ["1,901,776", "40,000"])


@pytest.mark.parametrize(
    ("seconds", "axis", "dots"),
    [
        ([0.7, 1.0], ["0 s", "0.5 s", "1 s"], ["0.7 s", "1.0 s"]),
        ([1.0, 100.0], ["0 s", "50 s", "100 s"], ["1.0 s", "100.0 s"]),
        ([1.0, 600.0], ["0 min", "5 min", "10 min"], ["1.0 s", "10 min"]),
        ([0.7, 40_000.0], ["0 h", "10 h", "20 h"], ["0.7 s", "11.1 h"]),
        ([60.0, 700_000.0], ["0 d", "5 d", "10 d"], ["60.0 s", "8.1 d"]),
    ],
)
def test_a_second_beside_hours_is_written_as_a_second(
    seconds: list[float], axis: list[str], dots: list[str]
) -> None:
    chart = Chart("Age", "", [(at(day), each) for day, each in enumerate(seconds)], SPAN, seconds=True)
    assert texts(chart) == (axis, dots)
