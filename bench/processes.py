"""Whole processes, measured from start to end as the operating system accounts for them."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench.places import INTERPRETER, SOURCES
from tests.support import launched

_LONGEST: Final = 3600.0
"""Seconds after which a process hangs."""

_LAST_CHARACTERS: Final = 2000


class BenchFailed(Exception):
    """What was to be measured did not do its work; the text says what it did instead."""


class Run(NamedTuple):
    """What one run took: `wall` and `cpu` in seconds, `peak` resident memory in MB (a million bytes).

    Of what runs within the bench's own process only `wall` is known.
    """

    wall: float
    cpu: float | None = None
    peak: float | None = None


def bare_environment() -> dict[str, str]:
    """For processes that need nothing but their interpreter and the sources."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": SOURCES}


def run_python(arguments: Sequence[str], folder: Path, environ: Mapping[str, str] | None = None) -> Run:
    """`python` with these arguments, in that folder. Raises BenchFailed with its last words.

    What it writes is in the files `out` and `told` of the folder afterwards.
    """
    figures, errors_file = folder / "figures", folder / "told"
    with (folder / "out").open("wb") as output, errors_file.open("wb") as errors:
        process = subprocess.Popen(
            [*launched.launcher(str(figures)), INTERPRETER, *arguments],
            cwd=folder,
            env=bare_environment() if environ is None else environ,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        _await(process)
    code, peak, wall, cpu = launched.measured(str(figures))
    if code != 0:
        words = errors_file.read_text(errors="replace")[-_LAST_CHARACTERS:]
        raise BenchFailed(f"{' '.join(arguments)} ended with {code} and said:\n{words}")
    return Run(wall, cpu, peak * 1024 / 1e6)


def _await(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(_LONGEST)
    finally:  # Ctrl-C, too, leaves nothing running
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
