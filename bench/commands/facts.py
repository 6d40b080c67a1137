"""A load into OpenSearch with and without the facts index: the node's processor time, and when the content is
live.

The processor time is that of the node's process, from before the load until it has no more segments to merge.
"""

from datetime import datetime
from time import sleep
from typing import Any, Final

from bench.client import Client
from bench.figures import spread
from bench.processes import BenchFailed
from bench.report import Outcome, new_table, spread_document
from bench.workshop import Workshop
from tests.support.opensearch_node import OpenSearchNode

Json = Any

_SETTINGS: Final = {"without": {}, "with": {"store.facts_index": "true"}}
_WITH_ITSELF: Final = "store.facts_index"


class _Load:
    """What a load took: seconds of the node's processor time, seconds until the content was live."""

    def __init__(self, node: float, live: float, whole: float, peak: float) -> None:
        self.node, self.live, self.whole, self.peak = node, live, whole, peak


def measure(workshop: Workshop) -> Outcome:
    options = workshop.options
    loads: dict[str, list[_Load]] = {name: [] for name in _SETTINGS}
    with workshop.feed() as feed:
        for number in range(options.pairs + 1):
            for name, settings in _SETTINGS.items():
                with workshop.client("opensearch", feed, settings) as client:
                    load = _load(workshop.node, client, feed.snapshot.facts.records if settings else None)
                if number:  # the first pair warms the node up
                    loads[name].append(load)
    table = new_table(
        f"facts: loads of {options.records} records", "", "node CPU s", "live s", "s", "peak MB"
    )
    for name, runs in loads.items():
        values = [spread([getattr(run, field) for run in runs]).median for field in ("node", "live", "whole")]
        table.add_row(
            f"{name} facts index",
            *(f"{value:.2f}" for value in values),
            f"{max(run.peak for run in runs):.0f}",
        )
    table.add_section()
    figures, document = dict[str, float](), dict[str, Json]()
    for field, of in (("node", "node CPU"), ("live", "live")):
        pairs = zip(loads["with"], loads["without"], strict=True)
        ratio = spread([getattr(ours, field) / getattr(theirs, field) for ours, theirs in pairs])
        figures[f"{of}, with / without"] = ratio.median
        document[of] = spread_document(ratio)
        table.add_row(f"{of}, with / without", f"{ratio.median:.2f} x", f"{ratio.width:.2f}")
    return Outcome(table, figures, document)


def _load(node: OpenSearchNode, client: Client, facts: int | None) -> _Load:
    before = _processor_time(node)
    run = client.load()
    _await_merges(node)
    after = _processor_time(node)
    events = {each["event"]: each for each in client.events()}
    if facts is not None and events["facts-index-filled"]["documents"] != facts:
        raise BenchFailed(f"the facts index was not filled with {facts} documents")
    times = [datetime.fromisoformat(events[name]["time"]) for name in ("initialise", "initialised")]
    return _Load(after - before, (times[1] - times[0]).total_seconds(), run.wall, run.peak or 0.0)


def _processor_time(node: OpenSearchNode) -> float:
    [of_node] = node.request("GET", "/_nodes/stats/process")["nodes"].values()
    return float(of_node["process"]["cpu"]["total_in_millis"]) / 1000


def _await_merges(node: OpenSearchNode) -> None:
    node.request("POST", "/_flush")
    while node.request("GET", "/_stats/merge")["_all"]["total"]["merges"]["current"]:
        sleep(0.1)
