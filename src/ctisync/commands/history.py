"""`ctisync history`: the reports of the last passes, as a table, as JSON, or as a page with charts.

The page has no script and fetches nothing: you can mail it, or serve it with the strictest content policy.
"""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from math import floor, log10
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, TextIO

import msgspec
import typer

from ctisync import __version__, hints
from ctisync.cli.invocation import CLOCK, CommonOptions, Invocation, JsonOption, command, print_document
from ctisync.commands.overview import Overview, overview_of
from ctisync.core.model import Consumer
from ctisync.core.pass_report import PassReport
from ctisync.core.words import bytes_as_text, noun_for
from ctisync.errors import DONE, UsageError
from ctisync.escaping import Drawn, escape
from ctisync.settings.model import MOST_PASSES
from ctisync.system.files import atomic_write, named_write_errors
from ctisync.system.process import print_drawn
from ctisync.wiring import opened_store

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

HISTORY_SCHEMA: Final = 1
"""Version of the JSON document: keys may be added; none is removed or changes its meaning."""

_BAR: Final = 8
"""Characters of the longest bar."""
_UNITS: Final = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"


class Passes(NamedTuple):
    """The last passes over a consumer, newest first. `overview`: of its content, for the page; None if there
    is no search index."""

    consumer: Consumer
    reports: list[PassReport]
    overview: Overview | None = None


class History(NamedTuple):
    """`store` is the name of the store, without secrets."""

    store: str
    consumers: list[Passes]


@command()
def history(
    options: CommonOptions,
    last: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=MOST_PASSES, help="Number of passes; 20 by default in a table."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a self-contained HTML page with charts.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Show the last passes, newest first: result, duration, and offsets behind."""
    if html is not None and as_json:
        raise UsageError("--html and --json cannot be combined", hint=hints.command("history", "--json"))
    most = last or (20 if html is None and not as_json else MOST_PASSES)
    passes = read_history(options.invocation(), most, overviews=html is not None)
    if html is not None:
        write_page(passes, CLOCK.now(), html)
    elif as_json:
        print_document(_as_document(passes))
    else:
        print_drawn(as_table(passes, sys.stdout))
    return DONE


def read_history(invocation: Invocation, most: int, *, overviews: bool = False) -> History:
    """At most `most` passes of each consumer."""
    with opened_store(invocation.settings, invocation.clock) as store:
        return History(
            store.name,
            [
                Passes(
                    each,
                    list(store.passes(each, most)),
                    overview_of(invocation, store, each) if overviews else None,
                )
                for each in invocation.consumers
            ],
        )


def _as_document(history: History) -> dict[str, Any]:
    """The contract of `history --json`: the stored reports, with values derived from them."""
    return {
        "schema": HISTORY_SCHEMA,
        "store": history.store,
        "consumers": [
            {"consumer": str(consumer), "passes": [_report(each) for each in reports]}
            for consumer, reports, _ in history.consumers
        ],
    }


def _report(report: PassReport) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(report)
    for name in ("consumer", "touched", "untold", "was_in_step_at"):
        del fields[name]
    return fields | {"ended_at": report.ended_at, "behind": report.behind, "in_step_at": report.in_step_at}


def as_table(history: History, stream: TextIO) -> Drawn:
    """One table per consumer, in the width and colours that `stream` supports: a line per pass, with bars for
    the duration and the offsets behind."""
    from ctisync.commands.printing import cell, drawn  # only a table needs rich, which takes long to import

    def draw(console: "Console") -> None:
        for number, (consumer, reports, _) in enumerate(history.consumers):
            if number:
                console.print()
            console.print(cell(str(consumer), "bold"))
            console.print(_table(reports, console.width) if reports else "  the history is empty")

    return drawn(stream, draw)


class _Column(NamedTuple):
    """`title` may be empty; in a narrow terminal the columns with the highest `spared` are left out first."""

    title: str
    text: Callable[[PassReport], str]
    spared: int = 0
    left: bool = False
    style: Callable[[PassReport], str] = lambda _: ""


def _table(reports: Sequence[PassReport], width: int) -> "Table":
    from rich.table import Table

    from ctisync.commands.printing import cell

    columns = _columns(reports)
    cells = {column: [cell(column.text(one), column.style(one)) for one in reports] for column in columns}
    widths = {
        column: max(len(column.title), *(each.cell_len for each in texts)) + 2
        for column, texts in cells.items()
    }
    while sum(widths[column] for column in columns) > width:
        spared = max(columns, key=lambda column: column.spared)
        if not spared.spared:
            break
        columns.remove(spared)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for column in columns:
        table.add_column(
            column.title, justify="left" if column.left else "right", no_wrap=True, header_style="dim"
        )
    for row in zip(*(cells[column] for column in columns), strict=True):
        table.add_row(*row)
    return table


def _columns(reports: Sequence[PassReport]) -> list[_Column]:
    longest = max(report.seconds for report in reports)
    furthest = max(report.behind or 0 for report in reports)
    return [
        _Column("  began", lambda one: f"  {one.began_at:%Y-%m-%d %H:%M:%S}", left=True),
        _Column("command", lambda one: one.command, 2, left=True),
        _Column(
            "outcome",
            lambda one: one.outcome,
            left=True,
            style=lambda one: "" if one.exit_code == DONE else "red",
        ),
        _Column("exit", lambda one: str(one.exit_code)),
        _Column("offset", _offsets, 1),
        _Column("changes", lambda one: _amount(one.changes), 3),
        _Column("records", lambda one: _amount(one.records), 4),
        _Column("received", lambda one: bytes_as_text(one.received) if one.received else "", 5),
        _Column("took", lambda one: duration(one.seconds)),
        _Column("", lambda one: bar(one.seconds, longest), 6, left=True, style=lambda _: "blue"),
        _Column("behind", lambda one: "?" if one.behind is None else f"{one.behind:,}"),
        _Column("", lambda one: bar(one.behind or 0, furthest), 7, left=True, style=lambda _: "yellow"),
    ]


def bar(value: float, most: float) -> str:
    """In eighths of a character; a value above 0 has at least one."""
    eighths = max(1, round(8 * _BAR * value / most)) if value > 0 else 0
    full, rest = divmod(eighths, 8)
    return ("█" * full + _EIGHTHS[rest]).rstrip()


def _offsets(report: PassReport) -> str:
    if report.offset is None:
        return "?"
    if report.from_offset in (None, report.offset):
        return f"{report.offset:,}"
    return f"{report.from_offset:,} → {report.offset:,}"


def _amount(number: int) -> str:
    return f"{number:,}" if number else ""


def duration(seconds: float) -> str:
    """In seconds, minutes, hours or days."""
    unit, size = fitting(seconds)
    return f"{seconds / size:,.{0 if unit == 'min' else 1}f} {unit}"


def fitting(seconds: float) -> tuple[str, int]:
    """The unit for a duration, and its seconds."""
    return next((unit, size) for unit, size in _UNITS if seconds >= 2 * size or size == 1)


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
    with named_write_errors(path, hint=hints.command("history", "--html FILE")), atomic_write(path) as file:
        file.write(page.encode())


def _as_page(history: History, now: datetime) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

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
    moments = [report.ended_at for _, reports, _ in history.consumers for report in reports]
    span = (min(moments, default=now), max(moments, default=now))
    return environment.get_template("history.html").render(
        consumers=[
            (str(consumer), newest, _charts(newest, span), overview)
            for consumer, newest, overview in history.consumers
        ],
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
