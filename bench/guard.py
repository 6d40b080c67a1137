"""The limits that the quick figures must keep: ratios, sizes and memory, no times."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from bench.commands.updating import WITHOUT_START
from bench.report import Outcome, new_table
from bench.workshop import Store


class Limit(NamedTuple):
    """The most that a figure of a bench may be."""

    bench: str
    figure: str
    most: float
    store: Store


LIMITS: Final = (
    Limit("load-opensearch", "ctisync / floor", 8.0, "opensearch"),
    Limit("load-opensearch", "ctisync / parallel_bulk", 1.2, "opensearch"),
    Limit("load-sqlite", "ctisync / floor", 10.0, "sqlite"),
    Limit("update-opensearch", f"{WITHOUT_START} / raw _mget and _bulk", 6.0, "opensearch"),
    Limit("update-opensearch", "ctisync / one by one", 1.2, "opensearch"),
    Limit("update-sqlite", f"{WITHOUT_START} / floor", 20.0, "sqlite"),
    Limit("idle", "sqlite / interpreter", 40.0, "sqlite"),
    Limit("idle", "opensearch / interpreter", 60.0, "opensearch"),
    Limit("memory", "sqlite, peak MB", 200.0, "sqlite"),
    Limit("memory", "opensearch, peak MB", 200.0, "opensearch"),
    Limit("overlap", "sqlite, limited link / sqlite, the longer of both", 2.5, "sqlite"),
    Limit("overlap", "opensearch, limited link / opensearch, the longer of both", 2.5, "opensearch"),
    Limit("disk", "sqlite / ZIP", 12.0, "sqlite"),
    Limit("disk", "opensearch / ZIP", 6.0, "opensearch"),
)


def judge(found: Mapping[str, Outcome], stores: Sequence[Store]) -> Outcome:
    """`found`: what each bench has measured. `figures` are those beyond their limit.

    Raises KeyError for a limit that is about nothing.
    """
    table = new_table("guard", "bench", "figure", "most", "measured", "")
    beyond: dict[str, float] = {}
    for limit in LIMITS:
        if limit.store not in stores:
            continue
        value = found[limit.bench].figures[limit.figure]
        kept = value <= limit.most
        if not kept:
            beyond[f"{limit.bench}: {limit.figure}"] = value
        table.add_row(
            limit.bench, limit.figure, f"{limit.most:g}", f"{value:.2f}", "kept" if kept else "BEYOND"
        )
    return Outcome(table, beyond, {"kept": not beyond})
