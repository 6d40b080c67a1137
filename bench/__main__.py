"""Runs benches: `python -m bench COMMAND [options]`.

    reading, load-opensearch, load-sqlite, update-opensearch, update-sqlite, idle, export, memory, overlap,
    disk, index
    all       every one of these, at full size
    scale     loads and updates up to the size of the real feed, on a cluster, too: half an hour
    settings  what each setting that is about speed or size changes
    facts     what the facts index costs a node at a load
    load-apart    load-opensearch with a core for the node alone
    worst     what the fold of the worst replies within the limits costs
    search    search and match on an index; of the real feed's size with --records 300000: 15 minutes
    watch     updates with a watch and without
    serve     many clients of ctisync serve at once, and many downloads of its snapshot
    mirror    what a copy of a mirror folder carries, and what following it costs next to HTTP: 10 minutes
    against   passes next to those of another revision (--revision), in pairs
    quick     every bench, small: four minutes
    guard     the same as quick, and 1 as exit code when a figure is beyond its limit
    performance   measures what docs/performance.md shows; picture: draws it anew (--help after either)

Each prints a table and a line of JSON. Figures are worth what the machine is: two cores, otherwise idle.
Exit codes: 0 done, 1 beyond a limit (guard), 2 something did not do its work.
"""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from bench import guard, machine
from bench.commands import (
    against,
    disk,
    export,
    facts,
    idle,
    index,
    load_apart,
    load_opensearch,
    load_sqlite,
    memory,
    mirror,
    overlap,
    reading,
    scale,
    searching,
    serving,
    settings,
    update_opensearch,
    update_sqlite,
    watching,
    worst,
)
from bench.page import making
from bench.places import DATA
from bench.processes import BenchFailed
from bench.report import Outcome, say, show
from bench.workshop import ALL_STORES, STORES, Options, Workshop
from tests.support.opensearch_download import OpenSearchUnavailableError

Json = Any

COMMANDS: Final[dict[str, Callable[[Workshop], Outcome]]] = {
    "reading": reading.measure,
    "load-opensearch": load_opensearch.measure,
    "load-sqlite": load_sqlite.measure,
    "update-opensearch": update_opensearch.measure,
    "update-sqlite": update_sqlite.measure,
    "idle": idle.measure,
    "export": export.measure,
    "memory": memory.measure,
    "overlap": overlap.measure,
    "disk": disk.measure,
    "index": index.measure,
}
LONG: Final[dict[str, Callable[[Workshop], Outcome]]] = {
    "scale": scale.measure,
    "settings": settings.measure,
    "load-apart": load_apart.measure,
    "facts": facts.measure,
    "worst": worst.measure,
    "search": searching.measure,
    "watch": watching.measure,
    "mirror": mirror.measure,
    "serve": serving.measure,
    "against": against.measure,
}
"""Part of no set: they take long, or a cluster, or keep this process on some of its cores."""

SETS: Final = ("all", "quick", "guard")
SMALL: Final = ("quick", "guard")

RECORDS: Final = 40_000
FEW_RECORDS: Final = 2000
PAIRS: Final = 5
FEW_PAIRS: Final = 3
CHANGES: Final = 1000
FEW_CHANGES: Final = 500


def main(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] in making.COMMANDS:
        return making.main(arguments)
    parser = _parser()
    parsed = parser.parse_args(arguments)
    parsed.stores = parsed.stores or (ALL_STORES if parsed.command in LONG else STORES)
    if parsed.command in COMMANDS and not _fits(parsed.command, parsed.stores):
        parser.error(f"--stores {' '.join(parsed.stores)} leaves {parsed.command} out")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the servers end, too
    options = _options(parsed)
    facts = {
        "records": options.records,
        "changes": options.changes,
        "pairs": options.pairs,
        "seed": options.seed,
        **_machine(),
    }
    outcomes: dict[str, Outcome] = {}
    try:
        with Workshop(options) as workshop:
            for name in _chosen(parsed.command, parsed.stores):
                outcomes[name] = (COMMANDS | LONG)[name](workshop)
                show(name, outcomes[name], facts)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except (BenchFailed, OpenSearchUnavailableError) as error:
        say(f"FAILED: {error}")
        return 2
    if parsed.command != "guard":
        return 0
    judgement = guard.judge(outcomes, options.stores)
    show("guard", judgement, facts)
    return 1 if judgement.figures else 0


def _machine() -> dict[str, Json]:
    facts = machine.facts()
    say(f"{facts['cores']} cores, of which {facts['busy_cores']} are busy before it begins")
    if not facts["idle"]:
        say("WARNING: this machine is busy with something else: these figures are worth nothing.")
    return facts


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=(*COMMANDS, *LONG, *SETS), metavar="COMMAND")
    parser.add_argument("--records", type=int, help=f"in the feed ({RECORDS}; quick: {FEW_RECORDS})")
    parser.add_argument("--pairs", type=int, help=f"how often each is run ({PAIRS}; quick: {FEW_PAIRS})")
    parser.add_argument("--changes", type=int, help=f"in one update ({CHANGES}; quick: {FEW_CHANGES})")
    parser.add_argument("--seed", type=int, default=1, help="of the feed (%(default)s)")
    parser.add_argument(
        "--sizes",
        type=_numbers,
        help="records for `memory` and `scale`, at least two (a fourth, half and all of --records;"
        f" scale: {','.join(map(str, scale.SIZES))})",
    )
    parser.add_argument(
        "--stores",
        nargs="+",
        choices=ALL_STORES,
        help=f"leave out the benches of the others ({' '.join(STORES)}; scale, settings: the cluster, too)",
    )
    parser.add_argument("--revision", default="HEAD", help="of the repository, for `against` (%(default)s)")
    parser.add_argument("--folder", type=Path, default=DATA, help="keeps feeds, some GB (%(default)s)")
    return parser


def _options(parsed: argparse.Namespace) -> Options:
    small = parsed.command in SMALL
    records = parsed.records or (FEW_RECORDS if small else RECORDS)
    return Options(
        records=records,
        changes=parsed.changes or (FEW_CHANGES if small else CHANGES),
        pairs=parsed.pairs or (FEW_PAIRS if small else PAIRS),
        seed=parsed.seed,
        sizes=parsed.sizes
        or (scale.SIZES if parsed.command == "scale" else (records // 4, records // 2, records)),
        stores=tuple(parsed.stores),
        folder=parsed.folder.absolute(),
        revision=parsed.revision,
    )


def _chosen(command: str, stores: Sequence[str]) -> list[str]:
    return [name for name in COMMANDS if _fits(name, stores)] if command in SETS else [command]


def _fits(command: str, stores: Sequence[str]) -> bool:
    """Whether a bench is about one of these stores, or about all that there are."""
    about = command.rpartition("-")[2]
    return about not in STORES or about in stores


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
