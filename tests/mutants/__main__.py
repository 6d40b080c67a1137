"""Plants one small fault after another into a module and looks whether a test notices.

    python -m tests.mutants                     all modules
    python -m tests.mutants core/fold sync      those whose name begins with one of these words
    python -m tests.mutants LeaseHolder         the one that the plan knows by this name
    python -m tests.mutants --afresh --jobs 2   as if nothing were known, two at a time

What was killed is remembered in `.mutants` and not tried again while its function stays as it is;
`--afresh` tries all again. A survivor that `survivors.md` does not list is a hole in the tests: the exit
code is then 1. A name that no module has is an error: 2.
"""

import argparse
import hashlib
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from tests.mutants.plan import MACHINE_SEQUENCES, ROOT, Module, modules
from tests.mutants.planting import Mutant, mutants_of
from tests.mutants.survivors import PAGE, survivors
from tests.mutants.trial import Planted, Trial, TrialResult, ended, prepare
from tests.planted.near import or_near
from tests.support.opensearch_node import OpenSearchNode, start_node

REMEMBERED: Final = ROOT / ".mutants" / "verdicts.json"
TARGET: Final = 90
"""Per cent of all mutants, those included that no test can notice."""


class Bench(NamedTuple):
    """Where the mutants of a module are tried, and how many at a time."""

    module: Module
    scratch: Path
    node: OpenSearchNode | None
    jobs: int

    def begin(self, mutant: Mutant | None, name: str, most_seconds: float) -> Trial:
        planted = None
        if mutant is not None:
            source = self.module.source
            with mutant.planted() as tree:
                planted = Planted(source.module, source.path, compile(tree, source.path, "exec"))
        return Trial(planted, self.module.stages, self.scratch / name, self.node, most_seconds)

    def seconds_unharmed(self) -> float:
        """How long the module's tests take; without a mutant they must pass."""
        began = time.monotonic()
        trial = self.begin(None, "unharmed", 600)
        try:
            ended([trial])
        finally:
            result = trial.end()
        if result.outcome != "survived":
            sys.exit(f"{self.module.name}: its tests fail without any mutant: {result.by}")
        return time.monotonic() - began

    def tried(self, mutants: Iterable[Mutant], most_seconds: float) -> Iterator[tuple[Mutant, TrialResult]]:
        """Each mutant before the module's tests."""
        waiting = deque(enumerate(mutants))
        running: dict[Trial, Mutant] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.jobs:
                    number, mutant = waiting.popleft()
                    running[self.begin(mutant, str(number), most_seconds)] = mutant
                for trial in ended(list(running)):
                    yield running.pop(trial), trial.end()
        finally:
            for trial in running:
                trial.end()


class Results:
    """What became of each mutant, kept over runs as long as its function stays as it is."""

    def __init__(self, *, afresh: bool) -> None:
        self._kept: dict[str, list[str]] = {}
        if not afresh and REMEMBERED.exists():
            self._kept = json.loads(REMEMBERED.read_text(encoding="utf-8"))

    def outcome(self, module: Module, mutant: Mutant) -> str | None:
        digest, outcome = self._kept.get(_key(module, mutant), ["", "", ""])[:2]
        return outcome if digest == _digest(mutant) else None

    def keep(self, module: Module, mutant: Mutant, result: TrialResult) -> None:
        self._kept[_key(module, mutant)] = [_digest(mutant), result.outcome, result.by]
        REMEMBERED.parent.mkdir(exist_ok=True)
        REMEMBERED.write_text(json.dumps(self._kept, indent=0, ensure_ascii=False), encoding="utf-8")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("modules", nargs="*")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--afresh", action="store_true")
    options = parser.parse_args(arguments)
    for word in options.modules:
        if not modules([word]):
            names = [name for module in modules() for name in (module.name, module.anchor)]
            parser.error(f"no module has a name that begins with {word!r}; {or_near(word, names)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server and the tests end, too
    os.environ["MODEL_SEQUENCES"] = str(MACHINE_SEQUENCES)
    prepare()
    chosen = modules(options.modules)
    results = Results(afresh=options.afresh)
    counts = {}
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ctisync-mutants-")))
        needs_server = any(module.with_a_server for module in chosen)
        node = stack.enter_context(start_node("2.19.1")) if needs_server else None
        for module in chosen:
            lent = node if module.with_a_server else None
            bench = Bench(module, scratch, lent, options.jobs)
            counts[module.name] = _count(_judged(bench, results))
    _say_figures(counts)
    total = sum(counts.values(), Counter[str]())
    return 0 if total["known"] == total["survived"] and _per_cent(total) >= TARGET else 1


def _judged(bench: Bench, results: Results) -> Iterator[tuple[Mutant, str]]:
    """Each mutant with its outcome, in the order of the lines."""
    module = bench.module
    mutants = mutants_of(module.source.text)
    waiting = [mutant for mutant in mutants if results.outcome(module, mutant) in (None, "survived")]
    if waiting:
        began = time.monotonic()
        for mutant, result in bench.tried(waiting, 20 + 6 * bench.seconds_unharmed()):
            results.keep(module, mutant, result)
        _say(f"{module.name}: {len(waiting)} of {len(mutants)} mutants, {time.monotonic() - began:.0f} s")
    for mutant in mutants:
        yield mutant, results.outcome(module, mutant) or ""


def _count(outcomes: Iterable[tuple[Mutant, str]]) -> Counter[str]:
    """Says what was not expected, and counts."""
    allowed = {each.name for each in survivors(PAGE.read_text(encoding="utf-8"))}
    count = Counter[str]()
    for mutant, outcome in outcomes:
        count[outcome] += 1
        if outcome != "survived" and mutant.name in allowed:
            _say(f"    listed, but {outcome}: {mutant.name}")
        elif outcome == "survived" and mutant.name not in allowed:
            _say(f"    SURVIVED: {mutant.name}")
        elif outcome == "survived":
            count["known"] += 1
    return count


def _say_figures(counts: dict[str, Counter[str]]) -> None:
    _say(f"{'module':28}{'mutants':>8}{'killed':>8}{'timed out':>11}{'survived':>10}{'of them known':>15}")
    for name, count in {**counts, "all": sum(counts.values(), Counter[str]())}.items():
        mutants = count["killed"] + count["timed out"] + count["survived"]
        row = f"{name:28}{mutants:8}{count['killed']:8}{count['timed out']:11}{count['survived']:10}"
        _say(f"{row}{count['known']:15}{_per_cent(count):9.1f} %")


def _per_cent(count: Counter[str]) -> float:
    dead = count["killed"] + count["timed out"]
    return 100 * dead / max(1, dead + count["survived"])


def _key(module: Module, mutant: Mutant) -> str:
    """Not the module's name: what has only moved stays known."""
    return f"{module.anchor}: {mutant.name}"


def _digest(mutant: Mutant) -> str:
    return hashlib.sha256(mutant.function_text.encode()).hexdigest()[:16]


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
