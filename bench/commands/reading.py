"""Reading a snapshot's records from its ZIP, next to inflating it alone; in seconds of processor time.

That is what a load does with each byte before a store gets it. Other work on the machine hardly moves it, so
the guard keeps it closely.
"""

from collections.abc import Callable
from pathlib import Path
from time import process_time

from bench.figures import spread
from bench.processes import BenchFailed
from bench.report import Outcome, new_table, spread_document
from bench.workshop import Workshop
from ctisync.core.model import MAX_OFFSET
from ctisync.feed.snapshot.records import records
from ctisync.feed.snapshot.zip_stream import Archive

_TURNS = 5
"""Runs of each in one round; the fastest counts."""


def measure(workshop: Workshop) -> Outcome:
    with workshop.feed() as feed:
        path, facts = feed.snapshot.path, feed.snapshot.facts
        rounds = [
            (
                _seconds(lambda: _read(path), facts.records),
                _seconds(lambda: _inflated(path), facts.unzipped_bytes),
            )
            for _ in range(workshop.options.pairs)
        ]
    title = (
        f"reading: {facts.records} records, {facts.unzipped_bytes / 1e6:.0f} MB; seconds of processor time"
    )
    table = new_table(title, "", "min s", "median s", "spread s", "MB/s")
    names = ("reading", "inflating")
    for name, seconds in zip(names, zip(*rounds, strict=True), strict=True):
        of_bench = spread(seconds)
        row = (f"{of_bench.least:.3f}", f"{of_bench.median:.3f}", f"{of_bench.width:.3f}")
        table.add_row(name, *row, f"{facts.unzipped_bytes / 1e6 / of_bench.median:.0f}")
    ratio = spread([reading / inflating for reading, inflating in rounds])
    table.add_section()
    name = " / ".join(names)
    table.add_row(name, f"{ratio.least:.2f} x", f"{ratio.median:.2f} x", f"{ratio.width:.2f}", "")
    return Outcome(table, {name: ratio.median}, {"rounds": rounds, "ratios": {name: spread_document(ratio)}})


def _seconds(work: Callable[[], int], expected: int) -> float:
    times = []
    for _ in range(_TURNS):
        begun = process_time()
        done = work()
        times.append(process_time() - begun)
        if done != expected:
            raise BenchFailed(f"{done} were read, not {expected}")
    return min(times)


def _read(path: Path) -> int:
    with path.open("rb") as file:
        return sum(len(batch) for batch in records(file, MAX_OFFSET))


def _inflated(path: Path) -> int:
    with path.open("rb") as file:
        return sum(len(piece) for _, pieces in Archive(file).contents() for piece in pieces)
