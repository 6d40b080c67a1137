"""A load over a link that takes as long for the download as the store takes for the load.

The ideal is the longer of the two; one after the other, as without `cti.load_while_downloading`, takes twice
that.
"""

from collections.abc import Mapping
from typing import Any, Final

from bench.processes import Run
from bench.report import Outcome, rounds_outcome
from bench.rounds import Contender, Rounds, play
from bench.workshop import Store, Workshop

Json = Any

_ONE_AFTER_THE_OTHER: Final = {"cti.load_while_downloading": "false"}


def measure(workshop: Workshop) -> Outcome:
    runs: dict[str, list[Run]] = {}
    ratios: list[tuple[str, str]] = []
    links: dict[str, Json] = {}
    for store in workshop.options.stores:
        limited, ideal = f"{store}, limited link", f"{store}, the longer of both"
        sequential = f"{store}, one after the other"
        rounds, links[store] = _rounds(workshop, store, limited, sequential)
        download = links[store]["download_seconds"]
        rounds.runs[ideal] = [Run(max(download, run.wall)) for run in rounds.runs[store]]
        runs |= rounds.runs
        ratios += [(limited, ideal), (sequential, ideal), (limited, sequential)]
    megabytes = workshop.snapshot().facts.unzipped_bytes / 1e6
    title = f"overlap: {workshop.options.records} records, {megabytes:.0f} MB"
    outcome = rounds_outcome(title, Rounds(runs), ratios, ("MB", megabytes))
    outcome.document["links"] = links
    return outcome


def _rounds(workshop: Workshop, store: Store, limited: str, sequential: str) -> tuple[Rounds, Json]:
    with workshop.feed() as feed:

        def load(bytes_per_second: float | None, settings: Mapping[str, str] | None = None) -> Run:
            feed.tell(bytes_per_second=bytes_per_second)
            with workshop.client(store, feed, settings) as client:
                return client.load()

        load(None)
        seconds = load(None).wall
        rate = feed.snapshot.zip_bytes / seconds
        contenders = [
            Contender(store, lambda: load(None), warm_ups=0),
            Contender(limited, lambda: load(rate), warm_ups=0),
            Contender(sequential, lambda: load(rate, _ONE_AFTER_THE_OTHER), warm_ups=0),
        ]
        rounds = play(contenders, workshop.options.pairs)
    return rounds, {"bytes_per_second": round(rate), "download_seconds": seconds}
