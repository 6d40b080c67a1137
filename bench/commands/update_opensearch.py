"""Updating OpenSearch, next to the bare requests for the same records and to one request a record.

The rivals write to indices of their own. An update is a whole process; what it takes longer than one that
finds nothing to do is shown too, since the rivals have no start to pay for.
"""

from collections.abc import Sequence
from typing import Final

from bench.commands.updating import WITHOUT_START, step_by_step, update_by_update
from bench.feed.files import RangeWork
from bench.processes import Run
from bench.report import Outcome, rounds_outcome
from bench.rivals import bulk_floor, raw_updates
from bench.rivals.bulk_floor import Manner
from bench.rivals.prebaked import Prebaked
from bench.rounds import Contender, play
from bench.workshop import Workshop

_RAW: Final = "bench-raw"
_SINGLE: Final = "bench-single"
_WARM_UP_CHANGES: Final = 20_000
"""The node compiles what it executes often. Until then all contenders take longer."""
_LEAST_WARM_UPS: Final = 3
"""Updates, of however many changes."""


def measure(workshop: Workshop) -> Outcome:
    options = workshop.options
    warm_ups = max(_LEAST_WARM_UPS, _WARM_UP_CHANGES // options.changes)
    steps = options.pairs + warm_ups
    changes = workshop.changes(steps)
    with workshop.feed(steps=steps) as feed, workshop.client("opensearch", feed) as client:
        client.load()
        for index in (_RAW, _SINGLE):
            bulk_floor.load(workshop.node, index, Prebaked(feed.snapshot), Manner(6_000_000, 2))
        contenders = [
            Contender("ctisync", update_by_update(feed, client, changes, options.changes), warm_ups),
            Contender(
                "raw _mget and _bulk", step_by_step(changes, lambda step: _raw(workshop, step)), warm_ups
            ),
            Contender("idle pass", client.sync),
            Contender("one by one", step_by_step(changes, lambda step: _single(workshop, step)), warm_ups=0),
        ]
        rounds = play(contenders, options.pairs)
    rounds.add_difference(WITHOUT_START, "ctisync", "idle pass")
    ratios = [
        ("ctisync", "raw _mget and _bulk"),
        (WITHOUT_START, "raw _mget and _bulk"),
        ("ctisync", "one by one"),
    ]
    title = f"update-opensearch: {options.changes} changes to {options.records} records"
    return rounds_outcome(title, rounds, ratios, ("changes", options.changes))


def _raw(workshop: Workshop, step: Sequence[RangeWork]) -> Run:
    return raw_updates.raw(workshop.node.url, _RAW, step)


def _single(workshop: Workshop, step: Sequence[RangeWork]) -> Run:
    return raw_updates.one_by_one(workshop.node.url, _SINGLE, step)
