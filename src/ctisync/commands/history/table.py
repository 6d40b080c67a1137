"""The table of `history`: one line per pass, with bars for the duration and the offsets behind."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ctisync.commands.history.look import History
from ctisync.commands.printing import bytes_as_text, cell, drawn
from ctisync.core.pass_report import PassReport
from ctisync.errors import DONE
from ctisync.escaping import Drawn

_BAR: Final = 8
"""Characters of the longest bar."""
_UNITS: Final = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"


def as_table(found: History, stream: TextIO) -> Drawn:
    """One table per consumer, in the width and colours that `stream` supports."""

    def draw(console: Console) -> None:
        for number, (consumer, reports) in enumerate(found.consumers):
            if number:
                console.print()
            console.print(Text(str(consumer), style="bold"))
            console.print(_table(reports, console.width) if reports else Text("  the history is empty"))

    return drawn(stream, draw)


class _Column(NamedTuple):
    """`title` may be empty; in a narrow terminal the columns with the highest `spared` are left out first."""

    title: str
    cell: Callable[[PassReport], Text]
    spared: int = 0
    left: bool = False


def _table(reports: Sequence[PassReport], width: int) -> Table:
    columns = _columns(reports)
    cells = {column: [column.cell(report) for report in reports] for column in columns}
    widths = {
        column: max(len(column.title), *(each.cell_len for each in found)) + 2
        for column, found in cells.items()
    }
    while sum(widths[column] for column in columns) > width and (spare := max(columns, key=_spared)).spared:
        columns.remove(spare)
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
        _Column("  began", lambda one: Text(f"  {one.began_at:%Y-%m-%d %H:%M:%S}"), left=True),
        _Column("command", lambda one: cell(one.command), 2, left=True),
        _Column(
            "outcome",
            lambda one: cell(one.outcome, "" if one.exit_code == DONE else "red"),
            left=True,
        ),
        _Column("exit", lambda one: Text(str(one.exit_code))),
        _Column("offset", lambda one: Text(_offsets(one)), 1),
        _Column("changes", lambda one: Text(_amount(one.changes)), 3),
        _Column("records", lambda one: Text(_amount(one.records)), 4),
        _Column("received", lambda one: Text(bytes_as_text(one.received) if one.received else ""), 5),
        _Column("took", lambda one: Text(duration(one.seconds))),
        _Column("", lambda one: Text(bar(one.seconds, longest), style="blue"), 6, left=True),
        _Column("behind", lambda one: Text("?" if one.behind is None else f"{one.behind:,}")),
        _Column("", lambda one: Text(bar(one.behind or 0, furthest), style="yellow"), 7, left=True),
    ]


def _spared(column: _Column) -> int:
    return column.spared


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
