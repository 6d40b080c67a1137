"""What a bench found: a table for people, and one line of JSON for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.table import Table

from bench.figures import Spread, spread
from bench.processes import Run
from bench.rounds import Rounds

Json = Any

_WIDTH: Final = 130


class Outcome(NamedTuple):
    """`figures` are what the guard's limits are about, by name; `document` is the line of JSON."""

    table: Table
    figures: Mapping[str, float]
    document: dict[str, Json]


def rounds_outcome(
    title: str, rounds: Rounds, ratios: Sequence[tuple[str, str]], amount: tuple[str, float] | None = None
) -> Outcome:
    """A row a contender; `ratios` are (name, other): how many times as long the one takes as the other.

    `amount`: what each run gets done, and its unit, for the speed: ("MB", 471.2).
    """
    unit, done = amount or ("", 0.0)
    columns = ("min s", "median s", "spread s", "CPU s", "peak MB", *((f"{unit}/s",) if unit else ()))
    table = new_table(title, "", *columns)
    for name, runs in rounds.runs.items():
        walls = rounds.walls(name)
        row = [f"{walls.least:.3f}", f"{walls.median:.3f}", f"{walls.width:.3f}"]
        row += [_shown(_of(runs, "cpu"), 2), _shown(_of(runs, "peak"), 0)]
        table.add_row(name, *row, *((f"{done / walls.median:.0f}",) if unit else ()))
    table.add_section()
    spreads = {f"{name} / {other}": rounds.ratio(name, other) for name, other in ratios}
    for name, ratio in spreads.items():
        table.add_row(name, f"{ratio.least:.2f} x", f"{ratio.median:.2f} x", f"{ratio.width:.2f}")
    document = {
        "runs": {name: _runs_document(runs) for name, runs in rounds.runs.items()},
        "ratios": {name: spread_document(ratio) for name, ratio in spreads.items()},
    }
    return Outcome(table, {name: ratio.median for name, ratio in spreads.items()}, document)


def new_table(title: str, *columns: str) -> Table:
    """The first column is text, the others are numbers."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    return table


def spread_document(values: Spread) -> Json:
    return {
        "min": round(values.least, 4),
        "median": round(values.median, 4),
        "spread": round(values.width, 4),
        "values": [round(value, 4) for value in values.values],
    }


def show(name: str, outcome: Outcome, facts: Mapping[str, Json]) -> None:
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else _WIDTH)
    console.print(outcome.table)
    figures = {name: round(value, 4) for name, value in outcome.figures.items()}
    say(json.dumps({"bench": name, **facts, **outcome.document, "figures": figures}))


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _of(runs: Sequence[Run], field: str) -> Spread | None:
    values = [value for value in (getattr(run, field) for run in runs) if value is not None]
    return spread(values) if values else None


def _shown(measured: Spread | None, digits: int) -> str:
    return "" if measured is None else f"{measured.median:.{digits}f}"


def _runs_document(runs: Sequence[Run]) -> Json:
    measured = {"wall": _of(runs, "wall"), "cpu": _of(runs, "cpu"), "peak_mb": _of(runs, "peak")}
    return {name: spread_document(value) for name, value in measured.items() if value is not None}
