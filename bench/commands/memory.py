"""Peak memory and time of a load against the number of records, and the lines through them.

Each size is loaded half as often as there are pairs: memory hardly differs from one load to the next.
"""

import statistics
from typing import Any, Final

from bench.figures import Line, line_through
from bench.processes import Run
from bench.report import Outcome, new_table
from bench.rounds import Contender, play
from bench.workshop import Store, Workshop

Json = Any

_PER: Final = 100_000
"""Records that a slope is told for."""


def measure(workshop: Workshop) -> Outcome:
    table = new_table("memory: loads of several sizes", "store", "records", "median s", "CPU s", "peak MB")
    figures: dict[str, float] = {}
    document: dict[str, Json] = {}
    for store in workshop.options.stores:
        points = {size: _loaded(workshop, store, size) for size in workshop.options.sizes}
        for size, run in points.items():
            table.add_row(store, str(size), f"{run.wall:.2f}", f"{run.cpu:.2f}", f"{run.peak:.1f}")
        peak = line_through([(size, run.peak or 0.0) for size, run in points.items()])
        wall = line_through([(size, run.wall) for size, run in points.items()])
        table.add_row(f"  for {_PER} more", "", _slope(wall), "", _slope(peak))
        table.add_row("  R²", "", f"{wall.r_squared:.3f}", "", f"{peak.r_squared:.3f}")
        table.add_section()
        figures[f"{store}, peak MB"] = max(run.peak or 0.0 for run in points.values())
        document[store] = {
            "loads": {
                str(size): {"wall": round(run.wall, 4), "peak_mb": round(run.peak or 0.0, 2)}
                for size, run in points.items()
            },
            "peak_mb": peak._asdict(),
            "wall": wall._asdict(),
        }
    return Outcome(table, figures, document)


def _loaded(workshop: Workshop, store: Store, records: int) -> Run:
    """The medians of some loads."""
    with workshop.feed(records=records) as feed:

        def load() -> Run:
            with workshop.client(store, feed) as client:
                return client.load()

        loads = max(1, workshop.options.pairs // 2)
        runs = play([Contender(store, load, warm_ups=0)], loads).runs[store]
    return Run(
        statistics.median(run.wall for run in runs),
        statistics.median(run.cpu or 0.0 for run in runs),
        statistics.median(run.peak or 0.0 for run in runs),
    )


def _slope(line: Line) -> str:
    return f"{line.slope * _PER:+.2f}"
