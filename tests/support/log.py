"""A `Log` that keeps its events."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from ctisync.ports import Level, Progress


class Event(NamedTuple):
    level: Level
    name: str
    fields: dict[str, Any]


class Bar:
    """A progress bar that is not shown; `amounts`: the values it reached."""

    def __init__(self, step: str, total: int | None, unit: str) -> None:
        self.step = step
        self.total = total
        self.unit = unit
        self.amounts: list[int] = []

    def reached(self, amount: int) -> None:
        self.amounts.append(amount)


class KeptLog:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.bars: list[Bar] = []
        self.most_bars_at_once = 0
        self._open = 0

    def event(self, level: Level, event: str, **fields: Any) -> None:
        self.events.append(Event(level, event, fields))

    @contextmanager
    def progress(
        self, step: str, total: int | None, unit: Literal["bytes", "records", "offsets"]
    ) -> Iterator[Progress]:
        bar = Bar(step, total, unit)
        self.bars.append(bar)
        self._open += 1
        self.most_bars_at_once = max(self.most_bars_at_once, self._open)
        try:
            yield bar
        finally:
            self._open -= 1

    def pause(self, seconds: float, sleep: Callable[[float], None]) -> None:
        sleep(seconds)

    def named(self, name: str) -> list[dict[str, Any]]:
        """The fields of every event of this name."""
        return [event.fields for event in self.events if event.name == name]
