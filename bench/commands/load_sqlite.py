"""Initialising a SQLite file, next to one `executemany` of ready rows that are stored as they are."""

from bench.processes import Run
from bench.report import Outcome, rounds_outcome
from bench.rivals import sqlite_floor
from bench.rivals.prebaked import Prebaked
from bench.rounds import Contender, play
from bench.workshop import Workshop


def measure(workshop: Workshop) -> Outcome:
    with workshop.feed() as feed:
        prebaked = Prebaked(feed.snapshot)

        def ctisync() -> Run:
            with workshop.client("sqlite", feed) as client:
                return client.load()

        def floor() -> Run:
            with workshop.new_folder() as folder:
                return sqlite_floor.load(folder / "floor.db", prebaked)

        contenders = [Contender("ctisync", ctisync), Contender("floor", floor)]
        rounds = play(contenders, workshop.options.pairs)
        facts = feed.snapshot.facts
    megabytes = facts.unzipped_bytes / 1e6
    title = f"load-sqlite: {facts.records} records, {megabytes:.0f} MB"
    return rounds_outcome(title, rounds, [("ctisync", "floor")], ("MB", megabytes))
