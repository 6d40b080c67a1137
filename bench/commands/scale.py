"""How initialising and updating grow with the feed: on SQLite, on one node, on a cluster of three.

For each number of records a load into an empty store, then an update with a tenth as many changes, both as
whole processes, half as often as there are pairs. Times are medians, peaks the highest. What a cluster's
nodes have done for a load is what each of them says in its own statistics.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from rich.table import Table

from bench.figures import line_through, spread
from bench.processes import Run
from bench.report import Outcome, new_table
from bench.stored import NodeWork, await_copies, bytes_on_disk, work_of_nodes
from bench.workshop import Store, Workshop

Json = Any

SIZES: Final = (10_000, 40_000, 100_000, 300_000)
CHANGED: Final = 10
"""One change for so many records."""

_PER: Final = 100_000
"""Records that a slope is told for."""

_STEPS: Final = ("load", "update")


class _Trial(NamedTuple):
    """One load and the update after it. `disk`: bytes in between. `nodes`: what each did for the load."""

    load: Run
    update: Run
    disk: int
    nodes: list[NodeWork]


class _Point(NamedTuple):
    """Of one store and size."""

    records: int
    changes: int
    unzipped: int
    zipped: int
    trials: list[_Trial]

    @property
    def loads(self) -> Sequence[Run]:
        return [trial.load for trial in self.trials]

    @property
    def updates(self) -> Sequence[Run]:
        return [trial.update for trial in self.trials]


def measure(workshop: Workshop) -> Outcome:
    options = workshop.options
    points: dict[Store, list[_Point]] = {store: [] for store in options.stores}
    for store in options.stores:
        _measured(workshop, store, min(options.sizes), 1)  # a node that was just started is slow
    for size in sorted(options.sizes):
        for store in options.stores:
            points[store].append(_measured(workshop, store, size, max(1, options.pairs // 2)))
    table = new_table("scale: a load, then as many changes as a tenth of the records", *_COLUMNS)
    figures: dict[str, float] = {}
    document: dict[str, Json] = {}
    for store, of_store in points.items():
        document[store] = _document(of_store)
        _add_rows(table, store, document[store])
        figures |= _figures(store, document[store])
    table.caption, table.caption_justify = _say_nodes(document), "left"
    largest = max(options.sizes)
    facts = {"records": largest, "changes": _changes(largest), "sizes": sorted(options.sizes)}
    return Outcome(table, figures, {**facts, "stores": document})


def _measured(workshop: Workshop, store: Store, records: int, trials: int) -> _Point:
    changes = _changes(records)
    with workshop.feed(records=records, steps=1, changes=changes) as feed:
        measured = []
        for _ in range(trials):
            feed.tell()
            with workshop.client(store, feed) as client:
                before = _nodes(workshop, store)
                load = client.load()
                after = _nodes(workshop, store)
                disk = bytes_on_disk(workshop, store, client)
                assert feed.changes is not None
                feed.tell(last_offset=feed.changes.facts.steps[0])
                update = client.update(changes)
            nodes = [now.since(then) for now, then in zip(after, before, strict=True)]
            measured.append(_Trial(load, update, disk, nodes))
        return _Point(records, changes, feed.snapshot.facts.unzipped_bytes, feed.snapshot.zip_bytes, measured)


def _changes(records: int) -> int:
    return max(1, records // CHANGED)


def _nodes(workshop: Workshop, store: Store) -> list[NodeWork]:
    if store == "sqlite":
        return []
    node = workshop.node_of(store)
    await_copies(node)
    return work_of_nodes(node)


def _document(points: Sequence[_Point]) -> Json:
    sizes = {str(point.records): _point_document(point) for point in points}
    return {
        "sizes": sizes,
        "lines": {step: _line(sizes, step) for step in _STEPS},
        "peak_mb": {step: _range(each[step]["peak_mb"] for each in sizes.values()) for step in _STEPS},
    }


def _line(sizes: Mapping[str, Json], step: str) -> Json:
    """Of seconds against records."""
    return line_through([(int(records), each[step]["seconds"]) for records, each in sizes.items()])._asdict()


def _range(values: Iterable[float]) -> list[float]:
    numbers = list(values)
    return [min(numbers), max(numbers)]


def _point_document(point: _Point) -> Json:
    last = point.trials[-1]
    return {
        "zip_bytes": point.zipped,
        "unzipped_bytes": point.unzipped,
        "disk_bytes": last.disk,
        "load": _runs(point.loads) | {"per_second": _speed(point.records, point.loads)},
        "update": _runs(point.updates)
        | {"changes": point.changes, "per_second": _speed(point.changes, point.updates)},
        "nodes": [node._asdict() for node in last.nodes],
    }


def _runs(runs: Sequence[Run]) -> Json:
    walls = spread([run.wall for run in runs])
    return {
        "seconds": round(walls.median, 3),
        "seconds_of_each": [round(wall, 3) for wall in walls.values],
        "cpu_seconds": round(statistics.median(run.cpu or 0.0 for run in runs), 3),
        "peak_mb": round(max(run.peak or 0.0 for run in runs), 1),
    }


def _speed(done: int, runs: Sequence[Run]) -> float:
    return round(done / statistics.median(run.wall for run in runs), 1)


_COLUMNS: Final = (
    *("store", "records", "load s", "records/s", "CPU s", "peak MB", "disk MB"),
    *("changes", "update s", "changes/s", "CPU s", "peak MB"),
)


def _add_rows(table: Table, store: Store, document: Json) -> None:
    for records, each in document["sizes"].items():
        load, update = each["load"], each["update"]
        table.add_row(
            *(store, records, f"{load['seconds']:.2f}", f"{load['per_second']:.0f}"),
            *(f"{load['cpu_seconds']:.2f}", f"{load['peak_mb']:.0f}", f"{each['disk_bytes'] / 1e6:.1f}"),
            *(str(update["changes"]), f"{update['seconds']:.2f}", f"{update['per_second']:.0f}"),
            *(f"{update['cpu_seconds']:.2f}", f"{update['peak_mb']:.0f}"),
        )
    slopes = [f"{document['lines'][step]['slope'] * _PER:+.2f}" for step in _STEPS]
    squares = [f"{document['lines'][step]['r_squared']:.4f}" for step in _STEPS]
    peaks = ["-".join(f"{peak:.0f}" for peak in document["peak_mb"][step]) for step in _STEPS]
    table.add_row(f"  {_PER} more", "", slopes[0], "", "", peaks[0], "", "", slopes[1], "", "", peaks[1])
    table.add_row("  R²", "", squares[0], "", "", "", "", "", squares[1])
    table.add_section()


def _say_nodes(document: Mapping[str, Json]) -> str:
    """What each node of a cluster has done for the last load."""
    return "\n".join(
        f"{store}, {records} records, node {number}: {_percent(nodes, node, 'records_sent')} of the records"
        f" were sent to it, {_percent(nodes, node, 'records_indexed')} indexed by it,"
        f" over {node['connections']} connections"
        for store, of_store in document.items()
        for records, each in list(of_store["sizes"].items())[-1:]
        for nodes in [each["nodes"]]
        if len(nodes) > 1
        for number, node in enumerate(nodes, start=1)
    )


def _percent(nodes: Sequence[Json], node: Json, count: str) -> str:
    return f"{100 * node[count] / max(1, sum(each[count] for each in nodes)):.0f} %"


def _figures(store: Store, document: Json) -> dict[str, float]:
    return {
        f"{store}, peak MB": max(document["peak_mb"]["load"] + document["peak_mb"]["update"]),
        f"{store}, load R²": document["lines"]["load"]["r_squared"],
        f"{store}, update R²": document["lines"]["update"]["r_squared"],
    }
