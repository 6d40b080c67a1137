"""Initialising OpenSearch, next to what the node itself can take and to opensearch-py's helpers.

All of them end with a refresh and a count. The helpers write into an index with the same mapping.
"""

from typing import Final

from bench.feed.served import ServedFeed
from bench.processes import BenchFailed, Run, run_python
from bench.report import Outcome, rounds_outcome
from bench.rivals import bulk_floor, bulk_helpers
from bench.rivals.plain_http import connected
from bench.rivals.prebaked import Prebaked
from bench.rounds import Contender, play
from bench.workshop import Workshop

_INDEX: Final = "bench-rival"


def measure(workshop: Workshop, *, helpers: bool = True) -> Outcome:
    node, pairs = workshop.node, workshop.options.pairs
    with workshop.feed() as feed:
        prebaked = Prebaked(feed.snapshot)

        def ctisync() -> Run:
            with workshop.client("opensearch", feed) as client:
                return client.load()

        def floor() -> Run:
            node.wipe()
            return bulk_floor.load(node, _INDEX, prebaked, manner)

        manner, searched = bulk_floor.best_manner(node, prebaked)
        contenders = [
            Contender("ctisync", ctisync),
            Contender("floor", floor, warm_ups=0),
        ]
        ratios = [("ctisync", "floor")]
        if helpers:
            contenders += [
                Contender("parallel_bulk", lambda: _helper(workshop, feed, "parallel"), warm_ups=0),
                Contender("streaming_bulk", lambda: _helper(workshop, feed, "streaming"), warm_ups=0),
            ]
            ratios += [
                ("ctisync", "parallel_bulk"),
                ("ctisync", "streaming_bulk"),
                ("floor", "parallel_bulk"),
            ]
        rounds = play(contenders, pairs)
        facts = feed.snapshot.facts
    megabytes = facts.unzipped_bytes / 1e6
    title = f"load-opensearch: {facts.records} records, {megabytes:.0f} MB; floor: bulks of {manner}"
    outcome = rounds_outcome(title, rounds, ratios, ("MB", megabytes))
    outcome.document["floor"] = {"best": str(manner), "seconds": searched}
    return outcome


def _helper(workshop: Workshop, feed: ServedFeed, helper: str) -> Run:
    node, facts = workshop.node, feed.snapshot.facts
    node.wipe()
    with connected(node.url) as connection:
        bulk_floor.create(connection, _INDEX, {"number_of_replicas": 0})
        with workshop.new_folder() as folder:
            arguments = [bulk_helpers.__file__, helper, node.url, _INDEX, str(feed.snapshot.path)]
            run = run_python(arguments, folder)
        count = connection.send_json("GET", f"/{_INDEX}/_count", {})["count"]
    if count != facts.records:
        raise BenchFailed(f"{helper}_bulk has loaded {count} records of {facts.records}")
    return run
