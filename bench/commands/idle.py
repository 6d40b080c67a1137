"""A `sync` that finds nothing to do, as a whole process, next to the interpreter alone."""

from contextlib import ExitStack
from typing import Final

from bench.processes import run_python
from bench.report import Outcome, rounds_outcome
from bench.rounds import Contender, play
from bench.workshop import Workshop

_MOST_RECORDS: Final = 2000
"""How much is stored makes no difference."""

_ROUNDS_A_PAIR: Final = 3
"""They are short."""


def measure(workshop: Workshop) -> Outcome:
    options = workshop.options
    with ExitStack() as parts:
        feed = parts.enter_context(workshop.feed(records=min(options.records, _MOST_RECORDS)))
        folder = parts.enter_context(workshop.new_folder())
        contenders = [Contender("interpreter", lambda: run_python(["-c", "pass"], folder))]
        for store in options.stores:
            client = parts.enter_context(workshop.client(store, feed))
            client.load()
            contenders.append(Contender(store, client.sync))
        rounds = play(contenders, _ROUNDS_A_PAIR * options.pairs)
    return rounds_outcome(
        "idle: a sync with nothing to do", rounds, [(store, "interpreter") for store in options.stores]
    )
