"""The limits that the quick figures must keep: ratios, sizes and memory, no times.

A limit is what is usual on an idle machine, times the headroom of its kind of figure. `usual` is set anew, by
the median of three `make bench-quick` (whose last line of JSON has all of them in `measured`), whenever a
change is meant to move it; never to let a change pass.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from bench.commands.updating import WITHOUT_START
from bench.report import Outcome, new_table
from bench.workshop import Store

TIMES: Final = 1.5
"""Ratios of times of small runs: they differ by a third from one quick run to the next."""

DIFFERENCES: Final = 2.5
"""Ratios to what is left of a time when another is taken off: both times' noise is in it."""

PROCESSOR: Final = 1.15
"""Ratios of seconds of processor time within one process: other work hardly moves them."""

MEMORY: Final = 1.25
"""Peaks: they differ by a few MB with the number of bulks that happened to be under way."""

OVERLAP: Final = 1.1
"""Ratios of two runs over the same link, whose pace takes the noise out; 1 is no overlap at all."""

BYTES: Final = 1.1
"""Sizes on the disk: they hardly differ."""


class Limit(NamedTuple):
    """What a figure of a bench usually is, and how many times that it may be."""

    bench: str
    figure: str
    usual: float
    headroom: float
    store: Store

    @property
    def most(self) -> float:
        return self.usual * self.headroom


LIMITS: Final = (
    Limit("reading", "reading / inflating", 2.8, PROCESSOR, "sqlite"),
    Limit("load-opensearch", "ctisync / floor", 2.9, TIMES, "opensearch"),
    Limit("load-opensearch", "ctisync / parallel_bulk", 0.74, TIMES, "opensearch"),
    Limit("load-sqlite", "ctisync / floor", 2.56, TIMES, "sqlite"),
    Limit("update-opensearch", f"{WITHOUT_START} / raw _mget and _bulk", 2.8, DIFFERENCES, "opensearch"),
    Limit("update-opensearch", "ctisync / one by one", 0.51, TIMES, "opensearch"),
    Limit("update-sqlite", f"{WITHOUT_START} / floor", 1.68, DIFFERENCES, "sqlite"),
    Limit("idle", "sqlite / interpreter", 14.2, TIMES, "sqlite"),
    Limit("idle", "opensearch / interpreter", 21.9, TIMES, "opensearch"),
    Limit("memory", "sqlite, peak MB", 67.0, MEMORY, "sqlite"),
    Limit("memory", "opensearch, peak MB", 84.1, MEMORY, "opensearch"),
    Limit("overlap", "sqlite, limited link / sqlite, one after the other", 0.83, OVERLAP, "sqlite"),
    Limit(
        "overlap", "opensearch, limited link / opensearch, one after the other", 0.83, OVERLAP, "opensearch"
    ),
    Limit("disk", "sqlite / ZIP", 1.29, BYTES, "sqlite"),
    Limit("disk", "opensearch / ZIP", 2.04, BYTES, "opensearch"),
    Limit("index", "index / content", 0.98, BYTES, "sqlite"),
    Limit("index", "building, peak MB", 57.2, MEMORY, "sqlite"),
)


def judge(outcomes: Mapping[str, Outcome], stores: Sequence[Store]) -> Outcome:
    """`found`: what each bench has measured. `figures` are those beyond their limit.

    Raises KeyError for a limit that is about nothing.
    """
    table = new_table("guard", "bench", "figure", "usual", "most", "measured", "")
    beyond: dict[str, float] = {}
    measured: dict[str, float] = {}
    for limit in LIMITS:
        if limit.store not in stores:
            continue
        name, value = f"{limit.bench}: {limit.figure}", outcomes[limit.bench].figures[limit.figure]
        measured[name] = round(value, 3)
        kept = value <= limit.most
        if not kept:
            beyond[name] = value
        table.add_row(
            *(limit.bench, limit.figure, f"{limit.usual:g}", f"{limit.most:.2f}", f"{value:.2f}"),
            "kept" if kept else "BEYOND",
        )
    return Outcome(table, beyond, {"kept": not beyond, "measured": measured})
