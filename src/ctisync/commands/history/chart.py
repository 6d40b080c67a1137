"""Small charts over time: turns numbers into the coordinates of an SVG. The template sets the style."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import floor, log10
from typing import Final, NamedTuple

from ctisync.commands.history.table import duration, fitting

WIDTH: Final = 720
HEIGHT: Final = 160
LEFT: Final = 64
TOP: Final = 8
_INNER_WIDTH: Final = WIDTH - LEFT - 8
_INNER_HEIGHT: Final = HEIGHT - TOP - 24
_DAY: Final = 86_400.0

Values = Sequence[tuple[datetime, float]]
Span = tuple[datetime, datetime]
"""Begin and end of the time axis."""


class Mark(NamedTuple):
    """A position and its label."""

    x: float
    y: float
    text: str


class Bar(NamedTuple):
    x: float
    y: float
    width: float
    height: float
    text: str


class Chart(NamedTuple):
    """In pixels of a picture of WIDTH by HEIGHT. `line` has the points of a polyline; it is empty if there is
    nothing to show."""

    title: str
    what: str
    line: str
    dots: list[Mark]
    bars: list[Bar]
    failures: list[float]
    across: list[Mark]
    below: list[Mark]

    @property
    def shown(self) -> Sequence[Mark | Bar]:
        """What stands for one value each."""
        return self.dots or self.bars


def steps(
    title: str, what: str, values: Values, failed: Sequence[datetime], span: Span, *, seconds: bool = False
) -> Chart:
    """A line through the values, and a vertical line at each time in `failed`. `seconds`: the values are
    durations, shown in fitting units."""
    if not values:
        return Chart(title, what, "", [], [], [], [], [])
    scale = _Scale(values, span, seconds=seconds)
    points = [(scale.x(time), scale.y(value)) for time, value in values]
    dots = [
        Mark(x, y, f"{time:%Y-%m-%d %H:%M}: {duration(value) if seconds else in_digits(value)}")
        for (x, y), (time, value) in zip(points, values, strict=True)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    inside = [round(scale.x(time), 1) for time in failed if scale.first <= time.timestamp() <= scale.last]
    return Chart(title, what, line, dots, [], inside, scale.across(), scale.below())


def bars(title: str, what: str, days: Values, span: Span) -> Chart:
    """One bar per day, from its begin to its end, clipped to the axis."""
    if not days:
        return Chart(title, what, "", [], [], [], [], [])
    scale = _Scale(days, span)
    bottom = scale.y(0)
    found = []
    for day, value in days:
        begin, end = scale.x(day), scale.x(day + timedelta(days=1))
        text = f"{day:%Y-%m-%d}: {value:,.0f}"
        found.append(Bar(begin, scale.y(value), max(1.0, end - begin - 1), bottom - scale.y(value), text))
    return Chart(title, what, "", [], found, [], scale.across(), scale.below())


class _Scale:
    """Maps times and values to pixels. Values begin at 0; a time outside the axis is moved to its end."""

    def __init__(self, values: Values, span: Span, *, seconds: bool = False) -> None:
        self.first = span[0].timestamp()
        self.last = max(span[1].timestamp(), self.first + 60)
        most = max(value for _, value in values)
        self._unit, self._size = fitting(most) if seconds else ("", 1)
        self._most = nice(most / self._size) * self._size

    def x(self, time: datetime) -> float:
        inside = min(max(time.timestamp(), self.first), self.last)
        return LEFT + _INNER_WIDTH * (inside - self.first) / (self.last - self.first)

    def y(self, value: float) -> float:
        return TOP + _INNER_HEIGHT * (1 - value / self._most)

    def across(self) -> list[Mark]:
        """Horizontal lines and their values."""
        values = (0.0, self._most / 2, self._most)
        return [
            Mark(LEFT, self.y(value), f"{in_digits(value / self._size)} {self._unit}".rstrip())
            for value in values
        ]

    def below(self) -> list[Mark]:
        """Labels of the time axis: the first time, the middle, the last."""
        form = "%Y-%m-%d" if self.last - self.first > 3 * _DAY else "%m-%d %H:%M"
        times = (self.first, (self.first + self.last) / 2, self.last)
        moments = [datetime.fromtimestamp(time, UTC) for time in times]
        return [Mark(self.x(moment), HEIGHT - 6, moment.strftime(form)) for moment in moments]


def in_digits(value: float) -> str:
    """With four significant digits or as a whole number, never with an exponent."""
    decimals = 0 if value == 0 else max(0, 3 - floor(log10(value)))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def nice(most: float) -> float:
    """The smallest of 1, 2, 4, 5, 6, 8, 10, times a power of ten, that is at least `most`."""
    if most <= 0:
        return 1.0
    size = 10.0 ** floor(log10(most))
    return next(step * size for step in (1, 2, 4, 5, 6, 8, 10, 20) if step * size >= most)
