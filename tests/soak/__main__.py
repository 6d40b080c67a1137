"""Passes for hours against a feed that moves, with signals at random moments: `make soak`.

    python -m tests.soak --minutes 120 --seed 1

Ends with 0 and its figures when the time is over or Ctrl-C comes; with 1, the seed, the round and what
differs as soon as a promise is not kept. Then everything stays where it says.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.soak.feed import MovingFeed
from tests.soak.figures import Figures
from tests.soak.places import OpenSearchPlace, Place, SqlitePlace
from tests.soak.processes import Failed
from tests.soak.rounds import BUDGET, Rounds
from tests.soak.sides import Side
from tests.support.command_manager import CommandManagerStandIn
from tests.support.opensearch_node import OpenSearchNode, start_node

OPENSEARCH: Final = "2.19.1"
STORES: Final = ("sqlite", "opensearch")

NICENESS: Final = 10
TELL_EVERY: Final = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    # As a background job this process ignores Ctrl-C, and so would every pass that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.nice(NICENESS)
    folder = Path(tempfile.mkdtemp(prefix="ctisync-soak-", dir=options.folder))
    tempfile.tempdir = str(folder)  # the node's data, too
    stores = STORES if options.store == "both" else (options.store,)
    _say(f"soak of {', '.join(stores)}: {options.minutes:g} minutes, seed {options.seed}, in {folder}")
    with ExitStack() as parts:
        soak = Soak(options, [_rounds(store, options, folder, parts) for store in stores])
        ended = soak.run()
        soak.tell(ended)
        if ended == "failed":
            soak.keep_evidence(folder)
            return 1
    shutil.rmtree(folder)
    return 0


class Soak:
    def __init__(self, options: argparse.Namespace, rounds: list[Rounds]) -> None:
        self._options = options
        self._rounds = rounds
        self._began = time.monotonic()
        self._at: Rounds | None = None

    def run(self) -> str:
        """How it ended: "complete", "interrupted" or "failed"."""
        try:
            self._play()
        except KeyboardInterrupt:
            return "interrupted"
        except Exception as error:  # noqa: BLE001  # a failure of the soak itself is one, too
            self._tell_failure(error)
            return "failed"
        return "complete"

    def _play(self) -> None:
        end, tell = self._began + 60 * self._options.minutes, self._began + TELL_EVERY
        while time.monotonic() < end:
            for each in self._rounds:
                self._at = each
                each.play(sabotage=each.number + 1 == self._options.sabotage)
                time.sleep(self._options.pause)
            if time.monotonic() >= tell:
                tell += TELL_EVERY
                self._tell_progress()
        for each in self._rounds:
            self._at = each
            each.finish()

    def _tell_failure(self, error: Exception) -> None:
        assert self._at is not None
        at = self._at
        _say(f"FAILED: seed {self._options.seed}, round {at.number} of {at.figures.store}, at {at.step}")
        _say(str(error) if isinstance(error, Failed) else "".join(traceback.format_exception(error)))

    def _tell_progress(self) -> None:
        minutes = (time.monotonic() - self._began) / 60
        stores = " | ".join(each.figures.line() for each in self._rounds)
        _say(f"{minutes:6.1f} min  {stores} | soak itself {_own_memory():.0f} MB")

    def tell(self, ended: str) -> None:
        """All figures, and the same as one line of JSON."""
        minutes = (time.monotonic() - self._began) / 60
        _say(f"{ended} after {minutes:.1f} minutes, seed {self._options.seed}")
        for each in self._rounds:
            for line in each.figures.lines():
                _say(line)
        document = {
            "ended": ended,
            "seed": self._options.seed,
            "minutes": round(minutes, 2),
            "own_peak_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            "stores": [each.figures.document() for each in self._rounds],
        }
        _say(json.dumps(document))

    def keep_evidence(self, folder: Path) -> None:
        for each in self._rounds:
            where = folder / f"evidence-{each.figures.store}"
            where.mkdir()
            try:
                each.keep_evidence(where)
            except Exception as error:  # noqa: BLE001  # whatever the store can still show is worth having
                (where / "not-complete.txt").write_text(repr(error))
        _say(f"everything is kept in {folder}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", choices=(*STORES, "both"), default="both")
    parser.add_argument(
        "--databases",
        type=int,
        default=2,
        help="SQLite files that share a folder and a feed, and whose passes run at the same time",
    )
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between rounds")
    parser.add_argument("--folder", type=Path, help="where to work (default: the folder for temporary files)")
    parser.add_argument(
        "--sabotage", type=int, metavar="N", help="alter a record in round N: the soak must notice"
    )
    return parser.parse_args(arguments)


def _rounds(store: str, options: argparse.Namespace, folder: Path, parts: ExitStack) -> Rounds:
    home = folder / store
    home.mkdir()
    feed = parts.enter_context(MovingFeed())
    places: list[Place]
    if store == "sqlite":
        names = ["ctisync.db", *(f"beside-{number}.db" for number in range(1, options.databases))]
        places, sized = [SqlitePlace(home, name) for name in names], SqlitePlace.sized
    else:
        node: OpenSearchNode = parts.enter_context(start_node(OPENSEARCH))
        places, sized = [OpenSearchPlace(home, node, feed.context, feed.consumer)], OpenSearchPlace.sized
    sides = []
    for number, place in enumerate(places):
        sessions = home / f"sessions-{number}"
        sessions.mkdir()
        manager = parts.enter_context(CommandManagerStandIn())
        sides.append(Side(sessions, place, feed, manager, BUDGET))
    rounds = Rounds(options.seed, sides, feed, Figures(store, sized))
    parts.callback(rounds.end)
    return rounds


def _own_memory() -> float:
    """MB that this process, with its feeds and what they remember, has in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
