"""`ctisync export` of all records, to nowhere and to a file."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench.client import Client
from bench.processes import BenchFailed, Run
from bench.report import Outcome, rounds_outcome
from bench.rounds import Contender, play
from bench.workshop import Workshop


def measure(workshop: Workshop) -> Outcome:
    options = workshop.options
    with ExitStack() as parts:
        feed = parts.enter_context(workshop.feed())
        size = feed.snapshot.facts.unzipped_bytes
        contenders = []
        for store in options.stores:
            client = parts.enter_context(workshop.client(store, feed))
            client.load()
            contenders.append(Contender(f"{store}, to nowhere", _to_nowhere(client)))
            contenders.append(Contender(f"{store}, to a file", _to_file(client, size)))
        rounds = play(contenders, options.pairs)
    title = f"export: {options.records} records, {size / 1e6:.0f} MB"
    return rounds_outcome(title, rounds, [], ("MB", size / 1e6))


def _to_nowhere(client: Client) -> Callable[[], Run]:
    return lambda: client.run("export", "-q", "--output", os.devnull)


def _to_file(client: Client, size: int) -> Callable[[], Run]:
    def run() -> Run:
        path: Path = client.home / "export.ndjson"
        path.unlink(missing_ok=True)
        run = client.run("export", "-q", "--output", str(path))
        if path.stat().st_size != size:
            raise BenchFailed(f"{path.stat().st_size} bytes were exported of {size}")
        return run

    return run
