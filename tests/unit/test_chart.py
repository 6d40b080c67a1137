"""Charts that stand one below the other: the same moment at the same place, numbers as people write them."""

from datetime import UTC, datetime, timedelta

import pytest

from ctisync.commands.history_page import LEFT, WIDTH, bar_chart, in_digits, line_chart

BEGIN = datetime(2026, 11, 20, 6, tzinfo=UTC)
SPAN = (BEGIN, BEGIN + timedelta(days=4))


def at(days: float) -> datetime:
    return BEGIN + timedelta(days=days)


def test_charts_of_the_same_passes_have_one_time_axis() -> None:
    midnight = BEGIN.replace(hour=0)
    days = [(midnight + timedelta(days=number), 3.0) for number in range(5)]
    charts = [
        line_chart("Lag", "", [(at(0), 1), (at(4), 2)], [at(2)], SPAN),
        line_chart("Age", "", [(at(2), 1)], [at(2)], SPAN),  # it is known of one pass alone
        bar_chart("Changes", "", days, SPAN),
    ]
    assert len({tuple((mark.x, mark.text) for mark in chart.below) for chart in charts}) == 1
    assert charts[0].failures == charts[1].failures == [round(charts[1].dots[0].x, 1)]
    for bar in charts[2].bars:
        assert LEFT <= bar.x < bar.x + bar.width <= WIDTH
    assert charts[2].bars[2].x + charts[2].bars[2].width / 2 == pytest.approx(
        (LEFT + WIDTH - 8) / 2 + (WIDTH - 8 - LEFT) / 4 * 0.25, abs=1
    ), "noon of the third day, six hours behind the middle"


def test_a_bar_outside_the_axis_is_not_drawn_into_the_margin() -> None:
    (bar,) = bar_chart(
        "Changes", "", [(BEGIN.replace(hour=0), 3.0)], (BEGIN, BEGIN + timedelta(hours=2))
    ).bars
    assert bar.x == LEFT
    assert bar.width == pytest.approx(WIDTH - 8 - LEFT, abs=1.5)


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


def test_a_large_lag_is_written_out() -> None:
    chart = line_chart("Lag", "", [(at(0), 1_901_776.0), (at(1), 40_000.0)], [], SPAN)
    assert [mark.text for mark in chart.across] == ["0", "1,000,000", "2,000,000"]
    assert [dot.text.partition(": ")[2] for dot in chart.dots] == ["1,901,776", "40,000"]


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
    chart = line_chart(
        "Age", "", [(at(day), each) for day, each in enumerate(seconds)], [], SPAN, seconds=True
    )
    assert [mark.text for mark in chart.across] == axis
    assert [dot.text.partition(": ")[2] for dot in chart.dots] == dots
