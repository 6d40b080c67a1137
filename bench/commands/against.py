"""Passes on SQLite, next to the same passes of another revision of this repository (`--revision`), in pairs:
an initialisation, an update, and a `sync` with nothing to do."""

import shutil
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.commands.updating import update_by_update
from bench.places import ROOT, SOURCES
from bench.processes import Run
from bench.report import Outcome, rounds_outcome
from bench.rounds import Contender, play
from bench.workshop import Workshop

_KINDS: Final = ("load", "update", "idle pass")


def measure(workshop: Workshop) -> Outcome:
    options = workshop.options
    contenders: list[Contender] = []
    with ExitStack() as parts:
        folder = parts.enter_context(workshop.new_folder())
        sources = {"this tree": SOURCES, options.revision: str(_extracted(options.revision, folder))}
        for name, place in sources.items():
            feed = parts.enter_context(workshop.feed(steps=options.pairs + 1))  # one each: it tells its end
            client = parts.enter_context(workshop.client("sqlite", feed, sources=place))
            client.load()
            assert feed.changes is not None
            passes = (
                _load(workshop, place),
                update_by_update(feed, client, feed.changes, options.changes),
                client.sync,
            )
            contenders += [
                Contender(f"{kind}, {name}", run) for kind, run in zip(_KINDS, passes, strict=True)
            ]
        # Of each pair, one directly after the other.
        rounds = play(sorted(contenders, key=lambda each: each.name.partition(",")[0]), options.pairs)
    ratios = [(f"{kind}, this tree", f"{kind}, {options.revision}") for kind in _KINDS]
    return rounds_outcome(f"against {options.revision}: {options.records} records", rounds, ratios)


def _load(workshop: Workshop, sources: str) -> Callable[[], Run]:
    def run() -> Run:
        with workshop.feed() as feed, workshop.client("sqlite", feed, sources=sources) as client:
            return client.load()

    return run


def _extracted(revision: str, folder: Path) -> Path:
    """The sources of the revision."""
    git = shutil.which("git") or "git"
    archive = subprocess.run([git, "archive", revision, "src"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    file = folder / "src.tar"
    file.write_bytes(archive.stdout)
    shutil.unpack_archive(file, folder, filter="data")
    return folder / "src"
