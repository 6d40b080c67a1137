"""The command as its users run it: another process, an empty home, nothing of this process's settings."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from ctisync.cli.help import HELP_TEXTS, HelpText
from tests.support.feed_history import populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.forked import needs_interpreter, run_in_fork

DEADLINE = 120


CONSUMER_KEYS: Final = {
    "context",
    "consumer",
    "phase",
    "offset",
    "facts_offset",
    "last_offset",
    "behind",
    "last_snapshot_link",
    "snapshot_offset",
    "records",
    "pending_command",
    "accepted",
    "checked_at",
    "tried_at",
    "updated_at",
    "blocked_by",
    "asked_at",
    "occupant",
    "at_work",
    "last_failure",
    "alias_moved",
    "error",
}
"""Of each consumer in `status --json`."""


class Ctisync:
    """`run` a command line; `environ` is what every call gets, and may be changed."""

    main_module: ClassVar[str | None] = "ctisync.cli"
    """The module whose `main` runs in a fork. None: each call starts an interpreter, as `start` does."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.database = home / "state" / "ctisync" / "ctisync.db"
        self.environ = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_STATE_HOME": str(home / "state"),
            "CTISYNC_CTI__RETRY_BUDGET": "0.2",
            "CTISYNC_CTI__COOLDOWN": "0",
        }

    def command(self, *arguments: str) -> Sequence[str]:
        return [sys.executable, "-m", "ctisync", *arguments]

    def run(self, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        """To its end, which is one of those that the command's help names."""
        ended = self.run_raw(*arguments, **environ)
        help_text = help_text_of(arguments)
        assert ended.returncode in help_text.codes, (
            f"{arguments}: {ended.returncode} is in no help\n{ended.stderr!r}"
        )
        return subprocess.CompletedProcess(
            arguments, ended.returncode, ended.stdout.decode(), ended.stderr.decode()
        )

    def run_raw(self, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[bytes]":
        """To its end, whatever that is."""
        environ = {**self.environ, **environ}
        if self.main_module and not needs_interpreter(environ):
            return run_in_fork(self.main_module, arguments, environ, self.home, DEADLINE)
        return subprocess.run(
            self.command(*arguments),
            env=environ,
            cwd=self.home,
            capture_output=True,
            timeout=DEADLINE,
            check=False,
        )

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[bytes]":
        merged = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(self.command(*arguments), env=self.environ, cwd=self.home, **merged)


def help_text_of(arguments: Sequence[str]) -> HelpText:
    """What the help teaches of the command that is called; `config show` is one of them."""
    words = [*arguments[:2], "", ""]
    names = (f"{words[0]} {words[1]}", words[0], "")
    return next(HELP_TEXTS[name] for name in names if name in HELP_TEXTS)


@pytest.fixture
def ctisync(tmp_path: Path) -> Ctisync:
    return Ctisync(tmp_path)


@pytest.fixture
def feed(ctisync: Ctisync) -> Iterator[FeedSimulator]:
    """A feed with 20 records and a snapshot, which `ctisync` is set to follow."""
    with FeedSimulator() as simulator:
        populate(simulator.history, 20)
        simulator.publish_snapshot()
        ctisync.environ["CTISYNC_CTI__URL"] = simulator.url
        yield simulator
