"""Initialising OpenSearch with a core for the node and another for what writes to it, next to the floor.

On a machine with two cores, the node and ctisync otherwise take them from each other.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.commands import load_opensearch
from bench.processes import BenchFailed
from bench.report import Outcome
from bench.workshop import Workshop


def measure(workshop: Workshop) -> Outcome:
    with _on_the_last_core():
        _ = workshop.node  # starts it
    return load_opensearch.measure(workshop, helpers=False)


@contextmanager
def _on_the_last_core() -> Iterator[None]:
    """What is started within runs on the last core, this process and what it starts later on the others."""
    if sys.platform != "linux" or len(cores := sorted(os.sched_getaffinity(0))) < 2:
        raise BenchFailed("it needs Linux and at least two cores")
    os.sched_setaffinity(0, cores[-1:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores[:-1])
