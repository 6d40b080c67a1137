"""What each setting that is about speed or size changes: loads with it, in turn with loads without.

The cluster's row without anything set has one shard and no replica, as ctisync has by itself.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from bench.processes import Run
from bench.report import Outcome, new_table, spread_document
from bench.rounds import Contender, Rounds, play
from bench.stored import bytes_on_disk
from bench.workshop import Store, Workshop

Json = Any

_DEFAULT: Final = "default"

_ONE_AFTER_THE_OTHER: Final = {"cti.load_while_downloading": "false"}

TRIALS: Final[Mapping[Store, tuple[Mapping[str, str], ...]]] = {
    "sqlite": ({"store.compression": "none"}, _ONE_AFTER_THE_OTHER),
    "opensearch": (
        {"store.senders": "1"},
        {"store.senders": "2"},
        {"store.senders": "8"},
        {"store.bulk_bytes": "1000000"},
        {"store.bulk_bytes": "10000000"},
        {"store.codec": "best_compression"},
        {"store.shards": "3"},
        _ONE_AFTER_THE_OTHER,
    ),
    "cluster": (
        {"store.shards": "3"},
        {"store.replicas": "1"},
        {"store.shards": "3", "store.replicas": "1"},
        {"store.shards": "3", "store.replicas": "1", "store.senders": "8"},
    ),
}
"""Each is tried against the default of the same store."""


def measure(workshop: Workshop) -> Outcome:
    options = workshop.options
    table = new_table(
        f"settings: loads of {options.records} records",
        *("", "median s", "ratio", "spread", "CPU s", "peak MB", "disk MB", "disk ratio"),
    )
    document: dict[str, Json] = {}
    for store in options.stores:
        document[store] = _tried(workshop, store)
        table.add_row(store)
        for name, row in document[store].items():
            table.add_row(f"  {name}", *_cells(row))
        table.add_section()
    figures = {
        f"{store}, {name}": row["ratio"]["median"]
        for store, rows in document.items()
        for name, row in rows.items()
        if name != _DEFAULT
    }
    return Outcome(table, figures, {"stores": document})


def _tried(workshop: Workshop, store: Store) -> Json:
    trials: dict[str, Mapping[str, str]] = {_DEFAULT: {}} | {_name(trial): trial for trial in TRIALS[store]}
    disk: dict[str, int] = {}
    with workshop.feed() as feed:

        def load(name: str) -> Callable[[], Run]:
            def run() -> Run:
                with workshop.client(store, feed, trials[name]) as client:
                    run = client.load()
                    disk[name] = bytes_on_disk(workshop, store, client)
                return run

            return run

        contenders = [Contender(name, load(name), warm_ups=int(name == _DEFAULT)) for name in trials]
        rounds = play(contenders, workshop.options.pairs)
    return {name: _row(rounds, name, disk) for name in trials}


def _name(trial: Mapping[str, str]) -> str:
    return ", ".join(f"{setting} = {value}" for setting, value in trial.items())


def _row(rounds: Rounds, name: str, disk: Mapping[str, int]) -> Json:
    runs = rounds.runs[name]
    return {
        "seconds": rounds.walls(name).median,
        "ratio": spread_document(rounds.ratio(name, _DEFAULT)),
        "cpu_seconds": sorted(run.cpu or 0.0 for run in runs)[len(runs) // 2],
        "peak_mb": max(run.peak or 0.0 for run in runs),
        "disk_bytes": disk[name],
        "disk_ratio": disk[name] / disk[_DEFAULT],
    }


def _cells(row: Json) -> list[str]:
    ratio = row["ratio"]
    return [
        *(f"{row['seconds']:.2f}", f"{ratio['median']:.2f} x", f"{ratio['spread']:.2f}"),
        *(f"{row['cpu_seconds']:.2f}", f"{row['peak_mb']:.0f}"),
        *(f"{row['disk_bytes'] / 1e6:.1f}", f"{row['disk_ratio']:.2f} x"),
    ]
