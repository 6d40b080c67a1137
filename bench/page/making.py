"""Measures what docs/performance.md shows (`python -m bench performance`), and draws it (`... picture`).

    performance [--sets SET ...] [options of the benches]
              runs each set, keeps its figures in performance.json (those of others stay), then as `picture`
    picture   the tables of performance.md, and performance.svg, from performance.json

Each set is a process of its own, so that none has another's nodes beside it, and counts as measured on an
idle machine only when that was so before and after it.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bench import machine
from bench.page.results import PAGE, SETS, Page, read, write
from bench.page.text import filled
from bench.places import ROOT
from bench.processes import BenchFailed
from bench.report import say

Json = Any

COMMANDS: Final = ("performance", "picture")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS, help="to measure anew (all)")
    parser.add_argument("--page", type=Path, default=PAGE.folder, help="the folder of the page (%(default)s)")
    options, others = parser.parse_known_args(arguments)
    page = Page(options.page)
    try:
        if options.command == "performance":
            for name in options.sets:
                write(page, read(page) | {name: _measured(name, others)})
    except KeyboardInterrupt:
        say("interrupted; the sets that were complete are kept")
        return 130
    except BenchFailed as error:
        say(f"FAILED: {error}")
        return 2
    show(page)
    return 0


def show(page: Page) -> None:
    """Makes the tables and the picture anew."""
    from bench.page.picture import picture  # a large library, of which nothing else has need

    results = read(page)
    page.text.write_text(filled(page.text.read_text(), results))
    page.picture.write_text(picture(results))


def _measured(name: str, options: Sequence[str]) -> Json:
    """What the bench tells as JSON; what it prints is passed on."""
    say(f"== {name}")
    command = [sys.executable, "-m", "bench", name, *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as bench:
        assert bench.stdout is not None
        lines = [line for line in map(_passed_on, bench.stdout) if line.startswith('{"bench"')]
    if bench.returncode != 0 or not lines:
        raise BenchFailed(f"{name} ended with {bench.returncode}")
    result = json.loads(lines[-1])
    return result | {"idle": result["idle"] and machine.is_idle()}


def _passed_on(line: str) -> str:
    say(line.rstrip("\n"))
    return line
