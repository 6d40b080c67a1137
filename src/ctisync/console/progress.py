"""Progress bars at a terminal: amount, rate, time left."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

Unit = Literal["bytes", "records", "offsets", "seconds"]
"""Of seconds, which pass by themselves, a bar shows those that are left."""


class TerminalBar:
    """The `Progress` of the ports as a bar."""

    def __init__(self, progress: Progress, step: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(step, total=total)
        self._next_update = 0.0

    def reached(self, amount: int) -> None:
        """May be called for every record: the bar is updated at most ten times a second."""
        now = self._progress.get_time()
        if now >= self._next_update:
            self._next_update = now + 0.1
            self._progress.update(self._task, completed=amount, refresh=True)

    def print_above(self, line: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(Text(line), soft_wrap=True)


@contextmanager
def drawn(stream: TextIO, step: str, total: int | None, unit: Unit) -> Iterator[TerminalBar]:
    """One bar on `stream`, removed at the end of the block."""
    amounts: list[ProgressColumn]
    if unit == "seconds":
        amounts = [TextColumn("{task.remaining:.0f} s")]
    elif unit == "bytes":
        amounts = [DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()]
    else:
        of = "" if total is None else " of {task.total:,}"
        amounts = [TextColumn(f"{{task.completed:,}}{of} {unit}"), _Rate(), TimeRemainingColumn()]
    columns = (TextColumn("{task.description}"), BarColumn(), *amounts)
    # No thread: the bar changes only when `reached` is called, and the system may not allow one.
    console = Console(file=stream)
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as progress:
        yield TerminalBar(progress, step, total)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{int(speed):,}/s")
