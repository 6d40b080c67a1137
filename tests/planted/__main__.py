"""Plants one bug after another into a copy of the tree and looks whether a test notices.

    python -m tests.planted               all of them
    python -m tests.planted gap crc       those whose name holds one of these words

A survivor is a hole in the tests: the exit code is then 1. A word that no name holds is an error: 2.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.planted import patching
from tests.planted.near import or_near
from tests.planted.patching import Patch

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("src", "tests", "pyproject.toml", "README.md", "docs", "examples")
TIME_LIMIT = 600


class TrialResult(NamedTuple):
    patch: Patch
    outcome: str
    """"caught", "SURVIVED", or that the tests did not run at all."""
    by: str
    seconds: float


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.planted")
    parser.add_argument("words", nargs="*")
    words = parser.parse_args(arguments).words
    patches = patching.all_patches()
    names = [patch.name for patch in patches]
    for word in words:
        if not any(word in name for name in names):
            parser.error(f"no planted bug has {word!r} in its name; {or_near(word, names)}")
    patches = [patch for patch in patches if not words or any(word in patch.name for word in words)]
    results = []
    for patch in patches:
        result = judge(patch)
        results.append(result)
        _say(f"{result.outcome:9} {result.seconds:5.1f} s  {patch.name}: {patch.breaks}")
        if result.by:
            _say(f"{'':19}{result.by}")
    caught = sum(result.outcome == "caught" for result in results)
    _say(f"{caught} of {len(results)} planted bugs were caught")
    return 0 if caught == len(results) else 1


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def judge(patch: Patch) -> TrialResult:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ctisync-planted-") as folder:
        tree = Path(folder)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, tree)
        patching.apply(patch, tree)
        done = _run_tests(patch.tests, tree)
    failed = re.search(r"^FAILED \S*?(tests/\S+)", done.stdout, flags=re.MULTILINE)
    outcome = {0: "SURVIVED", 1: "caught"}.get(done.returncode, f"exit code {done.returncode}")
    if outcome not in ("SURVIVED", "caught"):
        _say(done.stdout[-2000:] + done.stderr[-2000:])
    return TrialResult(patch, outcome, failed[1] if failed else "", time.monotonic() - began)


def _run_tests(tests: list[str], tree: Path) -> "subprocess.CompletedProcess[str]":
    # The copy's `src` comes before the checkout's, which an editable installation has put on the path.
    environ = {**os.environ, "PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    options = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", "--tb=line"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    return subprocess.run(
        command, cwd=tree, env=environ, capture_output=True, text=True, timeout=TIME_LIMIT, check=False
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
