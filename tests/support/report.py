"""A `Report` that keeps what it is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from ctisync.ports import Level, Progress


class Event(NamedTuple):
    level: Level
    name: str
    fields: dict[str, Any]


class Bar:
    """A progress bar that nobody sees."""

    def __init__(self, step: str, total: int | None) -> None:
        self.step = step
        self.total = total
        self.amounts: list[int] = []

    def reached(self, amount: int) -> None:
        self.amounts.append(amount)


class KeptReport:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.bars: list[Bar] = []

    def event(self, level: Level, event: str, **fields: Any) -> None:
        self.events.append(Event(level, event, fields))

    @contextmanager
    def progress(
        self, step: str, total: int | None, unit: Literal["bytes", "records", "offsets"]
    ) -> Iterator[Progress]:
        bar = Bar(step, total)
        self.bars.append(bar)
        yield bar

    def named(self, name: str) -> list[dict[str, Any]]:
        """The fields of every event of this name."""
        return [event.fields for event in self.events if event.name == name]
