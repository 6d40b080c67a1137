"""The search: each target in turn, in a process of its own, by Atheris (libFuzzer for Python).

    python -m tests.fuzz --seconds 600 --seed 1 links archive      (no name: all of them)

What it meets lies in `.fuzz/`: inputs that lead further in `corpus/TARGET`, those at which a check fails in
`findings/TARGET`. `--keep` then writes the smallest inputs that cover the same into `tests/fuzz/corpus/`.
Ends with 1 when there are findings, with 2 when it cannot search here.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from tests.fuzz.keeping import keep
from tests.fuzz.target import TARGETS
from tests.fuzz.targets import ALL

PLACE: Final = Path(".fuzz")

_IN_MEMORY: Final = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # a folder of our own
"""Where targets write their files: on a disk, most of the time goes into waiting for it."""

_UNITS: Final = re.compile(r"stat::number_of_executed_units: ([0-9]+)")
_COVERED: Final = re.compile(r"cov: ([0-9]+) ft: ([0-9]+) corp: ([0-9]+)")
_FINDING: Final = re.compile(r"(?m)^finding: (.*)$")
_ENDED: Final = re.compile(r"(?m)^SUMMARY: libFuzzer: (.*)$")


class FuzzResult(NamedTuple):
    """What a search came to: inputs tried, branches and features reached, inputs that lead further."""

    inputs: int
    branches: int
    features: int
    corpus: int
    findings: tuple[str, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    if options.list:
        print("\n".join(ALL))
        return 0
    if options.keep:
        for name in options.targets or ALL:
            print(f"{name}: {keep(TARGETS[name], PLACE / 'corpus' / name)} inputs kept")
        return 0
    if find_spec("atheris") is None:
        print(
            "fuzz: Atheris is not installed here. It has wheels for Linux on x86-64 and Python 3.11 to 3.13; "
            "there, `make fuzz` installs it into .venv-fuzz. The tests play what it has found everywhere.",
            file=sys.stderr,
        )
        return 2
    findings = 0
    for name in options.targets or ALL:
        done = searched(name, options.seconds, options.seed)
        findings += len(done.findings)
        print(
            f"{name:<16} {options.seconds:>6} s {done.inputs:>12,} inputs {done.branches:>6} branches "
            f"{done.features:>6} features {done.corpus:>5} in the corpus {len(done.findings):>3} findings",
            flush=True,
        )
        for finding in done.findings:
            print(f"  {finding}", flush=True)
    return 1 if findings else 0


def searched(name: str, seconds: int, seed: int) -> FuzzResult:
    """One target. A process that dies (a crash, a time-out, no memory) is a finding; the search goes on."""
    end = time.monotonic() + seconds
    inputs, reached = 0, [(0, 0, 0)]
    findings: dict[str, None] = {}
    while (left := round(end - time.monotonic())) > 0:
        command = [sys.executable, "-m", "tests.fuzz.search", name, str(left), str(seed), str(PLACE)]
        with tempfile.TemporaryDirectory(prefix="ctisync-fuzz-", dir=_IN_MEMORY) as scratch:
            done = subprocess.run(
                command,
                env={**os.environ, "PYTHONHASHSEED": "0", "TMPDIR": scratch},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
        text = done.stdout + done.stderr
        findings |= dict.fromkeys(_FINDING.findall(text))
        inputs += sum(map(int, _UNITS.findall(text)))
        reached += [(int(cov), int(ft), int(corpus)) for cov, ft, corpus in _COVERED.findall(text)]
        if done.returncode == 0:
            break
        ended = _ENDED.findall(text)
        findings[f"the process ended with {done.returncode}: {ended[0] if ended else text[-2000:]}"] = None
        if not ended:  # it did not even begin
            break
        seed += 1
    return FuzzResult(inputs, *max(reached), tuple(findings))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(ALL))
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="write what leads further into the tree")
    parser.add_argument("--list", action="store_true", help="the names of the targets")
    options = parser.parse_args(arguments)
    if unknown := set(options.targets) - set(ALL):
        parser.error(f"there is no target {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
