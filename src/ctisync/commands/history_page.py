"""`history --html`: one self-contained page with charts.

It has no script and fetches nothing: you can mail it, or serve it with the strictest content policy.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import floor, log10
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from ctisync import __version__
from ctisync.commands.history import History, duration, fitting
from ctisync.core.pass_report import PassReport
from ctisync.core.words import noun_for
from ctisync.errors import DONE
from ctisync.escaping import escape
from ctisync.system.files import atomic_write, named_write_errors

WIDTH: Final = 720
HEIGHT: Final = 160
LEFT: Final = 64
TOP: Final = 8
RIGHT: Final = WIDTH - 8
BOTTOM: Final = HEIGHT - 24
"""Pixels of a picture, and of the part of it that the values take."""

Values = Sequence[tuple[datetime, float]]
Span = tuple[datetime, datetime]
"""Begin and end of the time axis."""


def write_page(history: History, now: datetime, path: Path) -> None:
    """Writes the page atomically. Raises UsageError."""
    page = _as_page(history, now)
    with named_write_errors(path, hint="ctisync history --html FILE"), atomic_write(path) as file:
        file.write(page.encode())


def _as_page(history: History, now: datetime) -> str:
    environment = Environment(
        loader=PackageLoader("ctisync.commands"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        finalize=_escaped,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "moment": lambda time: "never" if time is None else f"{time:%Y-%m-%d %H:%M:%S}",
        "number": lambda value: "?" if value is None else f"{value:,}",
        "pixels": lambda value: f"{value:.1f}",
        "duration": duration,
        "noun": noun_for,
    }
    moments = [report.ended_at for _, reports in history.consumers for report in reports]
    span = (min(moments, default=now), max(moments, default=now))
    return environment.get_template("history.html").render(
        consumers=[(str(consumer), newest, _charts(newest, span)) for consumer, newest in history.consumers],
        reasons=lambda failures: Counter(each.outcome for each in failures).most_common(),
        store=history.store,
        now=now,
        version=__version__,
    )


def _escaped(value: Any) -> Any:
    """Cleans each text that the template inserts; markup of the template itself is not a plain `str`."""
    return escape(value) if type(value) is str else value


class Chart:
    """Values over time: a line, or with `daily` one bar per day. `failed`: times that the chart marks;
    `seconds`: the values are durations, shown in fitting units.

    Values begin at 0; a time outside the axis is moved to its end. The template draws it.
    """

    def __init__(
        self,
        title: str,
        what: str,
        values: Values,
        span: Span,
        *,
        failed: Sequence[datetime] = (),
        seconds: bool = False,
        daily: bool = False,
    ) -> None:
        self.title = title
        self.what = what
        self.points = values
        self.daily = daily
        self.failed = failed
        self._seconds = seconds
        self._first = span[0].timestamp()
        self._last = max(span[1].timestamp(), self._first + 60)
        most = max((value for _, value in values), default=0.0)
        self._unit, self._size = fitting(most) if seconds else ("", 1)
        self._most = nice(most / self._size) * self._size

    def x(self, time: datetime) -> float:
        inside = min(max(time.timestamp(), self._first), self._last)
        return LEFT + (RIGHT - LEFT) * (inside - self._first) / (self._last - self._first)

    def y(self, value: float) -> float:
        return TOP + (BOTTOM - TOP) * (1 - value / self._most)

    def day_width(self, day: datetime) -> float:
        """The width of a bar, from the begin of the day to its end."""
        return max(1.0, self.x(day + timedelta(days=1)) - self.x(day) - 1)

    def label(self, time: datetime, value: float) -> str:
        if self.daily:
            return f"{time:%Y-%m-%d}: {value:,.0f}"
        return f"{time:%Y-%m-%d %H:%M}: {duration(value) if self._seconds else in_digits(value)}"

    def across(self) -> list[tuple[float, str]]:
        """Horizontal lines: their heights and values."""
        values = (0.0, self._most / 2, self._most)
        return [(self.y(each), f"{in_digits(each / self._size)} {self._unit}".rstrip()) for each in values]

    def below(self) -> list[tuple[float, str]]:
        """Labels of the time axis: the first time, the middle, the last."""
        form = "%Y-%m-%d" if self._last - self._first > timedelta(days=3).total_seconds() else "%m-%d %H:%M"
        times = (self._first, (self._first + self._last) / 2, self._last)
        moments = [datetime.fromtimestamp(time, UTC) for time in times]
        return [(self.x(moment), moment.strftime(form)) for moment in moments]


def _charts(newest_first: Sequence[PassReport], span: Span) -> list[Chart]:
    reports = list(reversed(newest_first))
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
        days[each.ended_at.replace(hour=0, minute=0, second=0, microsecond=0)] += each.changes
    return [
        Chart("Lag", "offsets behind the feed, at the end of each pass", lag, span, failed=failed),
        Chart("Age", "since the content was known to be in step", ages, span, failed=failed, seconds=True),
        Chart("Changes", "applied on each day (UTC)", sorted(days.items()), span, daily=True),
        Chart("Duration", "of each pass", took, span, failed=failed, seconds=True),
    ]


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
