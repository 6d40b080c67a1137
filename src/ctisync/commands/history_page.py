"""`history --html`: one self-contained page with charts.

It has no script and fetches nothing: you can mail it, or serve it with the strictest content policy.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import floor, log10
from pathlib import Path
from typing import Any, Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from ctisync import __version__
from ctisync.commands.history import History, duration, fitting
from ctisync.core.model import Consumer
from ctisync.core.pass_report import PassReport
from ctisync.core.words import noun_for
from ctisync.errors import DONE
from ctisync.escaping import escape
from ctisync.system.files import atomic_write, named_write_errors

_MOST_ROWS: Final = 50

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


def write_page(history: History, now: datetime, path: Path) -> None:
    """Writes the page atomically. Raises UsageError."""
    page = _as_page(history, now)
    with named_write_errors(path, hint="ctisync history --html FILE"), atomic_write(path) as file:
        file.write(page.encode())


def _as_page(history: History, now: datetime) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("ctisync.commands"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        finalize=_escaped,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"moment": _moment, "number": _number, "duration": duration, "noun": noun_for}
    moments = [report.ended_at for _, reports in history.consumers for report in reports]
    span = (min(moments, default=now), max(moments, default=now))
    return environment.get_template("history.html").render(
        consumers=[_consumer(each.consumer, each.reports, span) for each in history.consumers],
        store=history.store,
        now=now,
        version=__version__,
    )


def _escaped(value: Any) -> Any:
    """Cleans each text that the template inserts; markup of the template itself is not a plain `str`."""
    return escape(value) if type(value) is str else value


def _consumer(consumer: Consumer, newest_first: Sequence[PassReport], span: Span) -> dict[str, Any]:
    reports = list(reversed(newest_first))
    failures = [each for each in newest_first if each.exit_code != DONE]
    return {
        "name": str(consumer),
        "index": consumer.index,
        "passes": len(reports),
        "first": reports[0] if reports else None,
        "last": reports[-1] if reports else None,
        "failures": failures[:_MOST_ROWS],
        "reasons": Counter(each.outcome for each in failures).most_common(),
        "initialisations": sum(each.initialisations for each in reports),
        "changes": sum(each.changes for each in reports),
        "charts": _charts(reports, span) if reports else [],
        "newest": newest_first[:_MOST_ROWS],
    }


def _charts(reports: Sequence[PassReport], span: Span) -> list[Chart]:
    failed = [each.ended_at for each in reports if each.exit_code != DONE]
    lag = [(each.ended_at, float(each.behind)) for each in reports if each.behind is not None]
    ages = [
        (each.ended_at, (each.ended_at - each.in_step_at).total_seconds())
        for each in reports
        if each.in_step_at is not None
    ]
    took = [(each.ended_at, each.seconds) for each in reports]
    days: Counter[datetime] = Counter()
    for each in reports:
        day = each.ended_at.replace(hour=0, minute=0, second=0, microsecond=0)
        days[day] += each.changes
    return [
        line_chart("Lag", "offsets behind the feed, at the end of each pass", lag, failed, span),
        line_chart("Age", "since the content was known to be in step", ages, failed, span, seconds=True),
        bar_chart(
            "Changes",
            "applied on each day (UTC)",
            sorted((day, float(sum_)) for day, sum_ in days.items()),
            span,
        ),
        line_chart("Duration", "of each pass", took, failed, span, seconds=True),
    ]


def _moment(time: datetime | None) -> str:
    return "never" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:,}"


def line_chart(
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


def bar_chart(title: str, what: str, days: Values, span: Span) -> Chart:
    """One bar per day, from its begin to its end, clipped to the axis."""
    if not days:
        return Chart(title, what, "", [], [], [], [], [])
    scale = _Scale(days, span)
    bottom = scale.y(0)
    rectangles = []
    for day, value in days:
        begin, end = scale.x(day), scale.x(day + timedelta(days=1))
        text = f"{day:%Y-%m-%d}: {value:,.0f}"
        rectangles.append(
            Bar(begin, scale.y(value), max(1.0, end - begin - 1), bottom - scale.y(value), text)
        )
    return Chart(title, what, "", [], rectangles, [], scale.across(), scale.below())


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
