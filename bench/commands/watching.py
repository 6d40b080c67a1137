"""Updates on SQLite with a watch and without, in pairs: what looking at the content above a cursor costs."""

from contextlib import ExitStack
from typing import Final

from bench.commands.updating import update_by_update
from bench.report import Outcome, rounds_outcome
from bench.rounds import Contender, play
from bench.workshop import Workshop

_WATCH: Final = '[{"name": "severe", "min_severity": "critical"}]'


def measure(workshop: Workshop) -> Outcome:
    options = workshop.options
    with ExitStack() as parts:
        contenders = []
        for name, settings in (("update", {}), ("update with a watch", {"watch": _WATCH})):
            feed = parts.enter_context(workshop.feed(steps=options.pairs + 1, kind="advisories"))
            client = parts.enter_context(workshop.client("sqlite", feed, settings=settings))
            client.load()
            assert feed.changes is not None
            contenders.append(Contender(name, update_by_update(feed, client, feed.changes, options.changes)))
        rounds = play(contenders, options.pairs)
    title = f"watch: {options.records} records, {options.changes} changes"
    return rounds_outcome(title, rounds, [("update with a watch", "update")])
