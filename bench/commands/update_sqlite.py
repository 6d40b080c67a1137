"""Updating a SQLite file, next to reading and writing the same rows, ready, in one transaction a range.

An update is a whole process; what it takes longer than one that finds nothing to do is shown too.
"""

from bench.commands.updating import WITHOUT_START, step_by_step, update_by_update
from bench.report import Outcome, rounds_outcome
from bench.rivals import sqlite_floor
from bench.rivals.prebaked import Prebaked
from bench.rounds import Contender, play
from bench.workshop import Workshop


def measure(workshop: Workshop) -> Outcome:
    options = workshop.options
    steps = options.pairs + 1
    changes = workshop.changes(steps)
    with (
        workshop.feed(steps=steps) as feed,
        workshop.client("sqlite", feed) as client,
        workshop.new_folder() as folder,
    ):
        client.load()
        database = folder / "floor.db"
        sqlite_floor.load(database, Prebaked(feed.snapshot))
        contenders = [
            Contender("ctisync", update_by_update(feed, client, changes, options.changes)),
            Contender("floor", step_by_step(changes, lambda step: sqlite_floor.update(database, step))),
            Contender("idle pass", client.sync),
        ]
        rounds = play(contenders, options.pairs)
    rounds.add_difference(WITHOUT_START, "ctisync", "idle pass")
    title = f"update-sqlite: {options.changes} changes to {options.records} records"
    ratios = [("ctisync", "floor"), (WITHOUT_START, "floor")]
    return rounds_outcome(title, rounds, ratios, ("changes", options.changes))
