"""ctisync as processes of the soak: started, killed at some moment, looked at when they have ended."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import ctisync
from tests.cli.conftest import Ctisync
from tests.support import launched
from tests.support.interpreter import is_pythons_own_end

LONGEST: Final = 300.0
"""Seconds after which a pass hangs: far more than any takes on a busy machine."""


class Failed(Exception):
    """What the soak looks for: a promise that was not kept."""


class Ended(NamedTuple):
    """How a process ended, the events that it told and whatever else it wrote. `peak` in KB, if measured."""

    code: int
    events: list[dict[str, Any]]
    words: str
    peak: int | None = None

    def count(self, event: str) -> int:
        return sum(each["event"] == event for each in self.events)

    def total(self, event: str, field: str) -> int:
        return sum(each[field] for each in self.events if each["event"] == event)


class Running:
    """One process, which writes to a file: nobody need read while it runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", output: Path) -> None:
        self.process = process
        self._output = output

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> Ended:
        """Waits for it. Raises Failed when it hangs, showed a traceback or a bug."""
        _await(self.process)
        return _outcome(self.process.returncode, self._output)


class Sessions:
    """Starts processes of one store, with the settings in `environ`; `end` leaves none of them running."""

    def __init__(self, home: Path, environ: dict[str, str]) -> None:
        self._home = home
        self._ctisync = Ctisync(home)
        # The sources that this process runs, wherever the interpreter's own installation points.
        self._ctisync.environ |= {"PYTHONPATH": str(Path(ctisync.__file__).parents[1]), **environ}
        self._number = 0
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str, **environ: str) -> Running:
        self._number = (self._number + 1) % 10
        output = self._home / f"told-{self._number}"
        return Running(self._begin(self._ctisync.command(*arguments), output, environ), output)

    def run(self, *arguments: str, **environ: str) -> Ended:
        """A whole one, whose peak memory is measured."""
        output, figures = self._home / "told", str(self._home / "figures")
        command = [*launched.launcher(figures), *self._ctisync.command(*arguments)]
        _await(self._begin(command, output, environ))
        code, peak, _, _ = launched.measured(figures)
        return _outcome(code, output)._replace(peak=peak)

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _begin(
        self, command: Sequence[str], output: Path, environ: dict[str, str]
    ) -> "subprocess.Popen[bytes]":
        with output.open("wb") as stream:
            process = subprocess.Popen(
                command,
                env={**self._ctisync.environ, **environ},
                cwd=self._home,
                stdout=stream,
                stderr=stream,
                start_new_session=True,  # Ctrl-C is for the soak alone, which ends them
            )
        self._started = [each for each in self._started if each.poll() is None] + [process]
        return process


def _await(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(LONGEST)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGABRT)
        process.wait()
        raise Failed(f"a pass hung: it had not ended after {LONGEST:.0f} s") from None


def _outcome(code: int, output: Path) -> Ended:
    events: list[dict[str, Any]] = []
    words: list[object] = []
    for line in output.read_text(errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            words.append(line)
        else:
            (events if isinstance(event, dict) and "event" in event else words).append(event)
    ended = Ended(code, events, "\n".join(map(str, words)))
    at_start = not events and is_pythons_own_end(code, ended.words)
    failed = [each for each in events if each["event"] == "failed" and "a bug in ctisync" in each["message"]]
    if failed or (not at_start and (code == 1 or "Traceback" in ended.words)):
        raise Failed(f"a pass ended with {code} and said:\n{output.read_text(errors='replace')}")
    return ended if code != 1 else ended._replace(code=-signal.SIGINT)


def wait_until(so: Callable[[], object], most: float) -> bool:
    """Until it is so, or for `most` seconds."""
    end = time.monotonic() + most
    while not so():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True
