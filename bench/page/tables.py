"""The tables of docs/performance.md, each from the figures of one set."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from bench.page.results import SETS, Results

Json = Any

STORES: Final = {
    "sqlite": "SQLite",
    "opensearch": "OpenSearch, one node",
    "cluster": "OpenSearch, three nodes",
}
TEN_TIMES: Final = 3_000_000
"""Records of ten feeds."""

_ON_THE_LINE: Final = 0.95
"""R² of times that may be told for sizes that were not measured."""

_STEPS: Final = {"load": "load", "update": "update of a tenth"}


def tables(results: Results) -> dict[str, str]:
    """Markdown by the name of the place in the page that it belongs to; of the sets that there are."""
    return {
        name: f"{render(results[of])}\n\n{_measured(results[of])}"
        for name, (of, render) in _PLACES.items()
        if of in results
    }


def _measured(results: Json) -> str:
    trust = (
        "an otherwise idle machine."
        if results["idle"]
        else "**a machine that was busy with something else: a placeholder, not a result.**"
    )
    records = ", ".join(f"{number:,}" for number in results.get("sizes", [results["records"]]))
    machine = f"{results['cores']} cores, {results['memory_gb']} GB, Python {results['python']}"
    return f"{records} records; {results['date']}, {machine}; {trust}"


def _scale(results: Json) -> str:
    head = ["store", "records", "load s", "records/s", "CPU s", "peak MB", "on disk MB"]
    head += ["changes", "update s", "changes/s", "CPU s", "peak MB"]
    return _table(head, _scale_rows(results))


def _scale_rows(results: Json) -> Iterator[Sequence[str]]:
    for store, records, each in _points(results):
        load, update = each["load"], each["update"]
        yield [
            *(STORES[store], f"{records:,}", f"{load['seconds']:.1f}", f"{load['per_second']:,.0f}"),
            *(f"{load['cpu_seconds']:.1f}", f"{load['peak_mb']:.0f}", f"{each['disk_bytes'] / 1e6:,.0f}"),
            *(f"{update['changes']:,}", f"{update['seconds']:.1f}", f"{update['per_second']:,.0f}"),
            *(f"{update['cpu_seconds']:.1f}", f"{update['peak_mb']:.0f}"),
        ]


def _lines(results: Json) -> str:
    rows = []
    for store, each in results["stores"].items():
        for step, name in _STEPS.items():
            line, (least, most) = each["lines"][step], each["peak_mb"][step]
            slope = f"{line['slope'] * 100_000:.1f}"
            rows.append(
                [STORES[store], name, slope, f"{line['r_squared']:.4f}", f"{least:.0f} to {most:.0f}"]
            )
    return _table(["store", "", "s for 100,000 records more", "R²", "peak MB, least to most"], rows)


def _bounds(results: Json) -> str:
    rows = [
        [STORES[store], name, f"{each[step]['cpu_seconds'] / each[step]['seconds']:.2f}"]
        for store, _, each in _largest(results)
        for step, name in _STEPS.items()
    ]
    return _table(["store", "", "CPU s a second"], rows)


def _nodes(results: Json) -> str:
    head = [
        "node",
        "records sent to it",
        "bulk bytes sent to it",
        "records indexed by it",
        "connections",
        "bulks refused",
    ]
    clusters = [each["nodes"] for _, _, each in _largest(results) if len(each["nodes"]) > 1]
    nodes = clusters[0] if clusters else []
    totals = {field: max(1, sum(node[field] for node in nodes)) for field in _SHARED}
    rows = [
        [
            str(number),
            *(_share(node[field], totals[field]) for field in _SHARED),
            str(node["connections"]),
            str(node["rejected"]),
        ]
        for number, node in enumerate(nodes, start=1)
    ]
    return _table(head, rows)


_SHARED: Final = ("records_sent", "bytes_sent", "records_indexed")


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({100 * part / whole:.0f} %)"


def _disk_a_record(results: Json) -> str:
    head = ["store", "bytes a record and copy", "copies", "of the ZIP's bytes, a copy", "ZIP bytes a record"]
    rows = []
    for store, records, each in _largest(results):
        copies = 2 if store == "cluster" else 1
        copy, packed = each["disk_bytes"] / records / copies, each["zip_bytes"] / records
        rows.append([STORES[store], f"{copy:,.0f}", str(copies), f"{copy / packed:.2f}", f"{packed:,.0f}"])
    return _table(head, rows)


def _estimate(results: Json) -> str:
    head = ["store", "load, minutes", f"{TEN_TIMES // 10:,} changes, minutes", "peak MB", "on disk GB"]
    head += ["on disk during the next load GB", "ZIP GB"]
    rows = []
    for store, records, each in _largest(results):
        lines, peaks = results["stores"][store]["lines"], results["stores"][store]["peak_mb"]
        minutes = [_minutes(lines[step]) for step in _STEPS]
        disk, packed = (TEN_TIMES * each[size] / records / 1e9 for size in ("disk_bytes", "zip_bytes"))
        peak = max(max(peaks[step]) for step in _STEPS)
        rows.append(
            [STORES[store], *minutes, f"{peak:.0f}", f"{disk:.1f}", f"{2 * disk:.1f}", f"{packed:.1f}"]
        )
    return _table(head, rows)


def _minutes(line: Json) -> str:
    """At ten times the feed; nothing when the points do not lie on the line."""
    if line["r_squared"] < _ON_THE_LINE:
        return "-"
    return f"{(line['intercept'] + line['slope'] * TEN_TIMES) / 60:.0f}"


def _points(results: Json) -> Iterator[tuple[str, int, Json]]:
    for store, each in results["stores"].items():
        for records, point in each["sizes"].items():
            yield store, int(records), point


def _largest(results: Json) -> list[tuple[str, int, Json]]:
    """The last size of each store."""
    return list({store: (store, records, point) for store, records, point in _points(results)}.values())


def _settings(results: Json) -> str:
    rows = [
        [
            *(STORES[store], name if name == "default" else f"`{name}`"),
            *(f"{row['seconds']:.1f}", f"{row['ratio']['median']:.2f}", f"{row['ratio']['spread']:.2f}"),
            *(f"{row['cpu_seconds']:.1f}", f"{row['peak_mb']:.0f}", f"{row['disk_ratio']:.2f}"),
        ]
        for store, trials in results["stores"].items()
        for name, row in trials.items()
    ]
    head = [
        "store",
        "setting",
        "load s",
        "of the default's",
        "spread",
        "CPU s",
        "peak MB",
        "disk, of the default's",
    ]
    return _table(head, rows)


def _runs(results: Json) -> str:
    """Of a bench of contenders in rounds."""
    rows = [
        [
            name,
            *(f"{runs['wall'][value]:.2f}" for value in ("min", "median", "spread")),
            *(f"{runs[kind]['median']:.{digits}f}" if kind in runs else "" for kind, digits in _KINDS),
        ]
        for name, runs in results["runs"].items()
    ]
    table = _table(["", "least s", "median s", "spread s", "CPU s", "peak MB"], rows)
    ratios = [
        [name, *(f"{each[value]:.2f}" for value in ("min", "median", "spread"))]
        for name, each in results["ratios"].items()
    ]
    return f"{table}\n\n{_table(['as long as', 'least', 'median', 'spread'], ratios)}" if ratios else table


_KINDS: Final = (("cpu", 1), ("peak_mb", 0))


def _disk(results: Json) -> str:
    sizes: Mapping[str, int] = results["bytes"]
    rows = [[name, f"{size / 1e6:,.1f}", f"{size / sizes['ZIP']:.2f}"] for name, size in sizes.items()]
    return _table(["", "MB", "of the ZIP's bytes"], rows)


def _table(head: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    """The first column is text, the others are numbers unless they hold words."""
    lines = [head, ["---" if number == 0 else "---:" for number in range(len(head))], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


_PLACES: Final[Mapping[str, tuple[str, Callable[[Json], str]]]] = {
    "scale": ("scale", _scale),
    "lines": ("scale", _lines),
    "nodes": ("scale", _nodes),
    "bounds": ("scale", _bounds),
    "disk-a-record": ("scale", _disk_a_record),
    "estimate": ("scale", _estimate),
    "settings": ("settings", _settings),
    "disk": ("disk", _disk),
    **{name: (name, _runs) for name in SETS if name not in ("scale", "settings", "disk")},
}
"""Place: the set that its figures are of, and how they are shown."""
