"""A schedule: processes that stop each other's work half-way, and what must be so when all have gone on."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ctisync.errors import AnotherPass
from tests.support.records import comparable
from tests.two_writers import feeds
from tests.two_writers.processes import DONE, CommandFile, Pass, Place, run_here

MOST_PROCESSES = 8
MOMENTS = 50
"""About as many as a first pass with three ranges has."""


class Outcome(NamedTuple):
    """`late`: requests that were sent by who had lost the lease; `accepted`: those of them with an effect."""

    processes: int
    overtaken: int
    late: int
    accepted: list[str]


def chain(place: Place, seed: int, folder: Path, holder: Callable[[], int | None] = lambda: None) -> Outcome:
    """2 to 8 processes: each stops at some moment and the next one takes over; the last one runs to its end.

    Then the stopped ones go on, in any order, and change nothing. `holder` is the process id that the lease
    names, where there is a lease to be named.
    """
    choose = random.Random(seed)
    commands = folder / "told"
    passes: list[tuple[Pass, bool]] = []
    for _ in range(choose.randint(2, MOST_PROCESSES) - 1):
        began = Pass(place, seed, commands, choose.randint(1, MOMENTS))
        if began.stopped():
            passes.append((began, holder() == began.pid))
        else:
            assert began.ended().code == 0
    try:
        assert Pass(place, seed, commands).ended().code == 0
        assert_made_good(place, seed, commands)
        outcome = Outcome(len(passes) + 1, 0, 0, [])
        choose.shuffle(passes)
        for stopped, had_lease in passes:
            overtaken = had_lease and holder() != stopped.pid  # who finds nothing to do takes no lease
            stopped.go_on()
            ended = stopped.ended()
            assert ended.code in (0, AnotherPass.exit_code), ended.message
            assert_made_good(place, seed, commands)
            if overtaken:
                accepted = [sent.what for sent in ended.after_stop if sent.accepted]
                outcome = Outcome(
                    outcome.processes,
                    outcome.overtaken + 1,
                    outcome.late + len(ended.after_stop),
                    outcome.accepted + accepted,
                )
    finally:
        for stopped, _ in passes:
            stopped.kill()
    assert run_here(place, seed, commands) == DONE
    assert_made_good(place, seed, commands)
    return outcome


def assert_made_good(place: Place, seed: int, commands: Path) -> None:
    """The content is the feed's at its last offset, value for value, and readers were told so."""
    server = feeds.made_up(seed)
    store = place.open()
    try:
        state = store.read_state(place.consumer)
        stored = [comparable(line) for line in store.export(place.consumer)]
    finally:
        store.close()
    expected = server.history.expected_records()
    assert stored == [comparable(expected[name]) for name in sorted(expected, key=str.encode)]
    assert (state.offset, state.owed, state.range_to) == (server.reported_offset, None, None)
    assert server.reported_offset in CommandFile(commands).offsets()
