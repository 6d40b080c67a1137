"""The host on which the page for operators is played: a home, a feed, a Command Manager, maybe an OpenSearch.

What is printed there is compared with the page: the places of the test have the names that the page gives
them, and what differs from call to call (times, processes, sizes) is taken out of both.
"""

import io
import re
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from ctisync.cli.invocation import Invocation
from ctisync.commands.passes import run_passes
from ctisync.console import Console
from ctisync.core.steps import Mode
from ctisync.settings import load_settings
from ctisync.system.clock import SystemClock
from tests.cli.conftest import Ctisync
from tests.docs.shell import ROOT, path_with, run, tools
from tests.support.command_manager import CommandManagerStandIn
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.opensearch_node import OpenSearchNode

LAST_OFFSET: Final = 1_901_695
"""Where the page's feed stands when it is first asked."""

RECORDS: Final = 20

FEED: Final = "https://cti.wazuh.com"
INDEXER: Final = "https://indexer.example:9200"
STATE: Final = "/var/lib/ctisync"
SETTINGS: Final = "/etc/ctisync"
BACKUPS: Final = "/var/backups/ctisync"

VARIABLE: Final = {
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(Z|\+00:00)": "TIME",
    r"process \d+": "process PID",
    r"serial \d+": "serial N",
    r"ctisync \d+\.\d+\.\d+[\w.+]*": "ctisync VERSION",
    r"_\d{10}\.(zip|json)": r"_UNIXTIME.\1",
    r"-[0-9a-f]{32}\.(zst|json)": r"-DIGEST.\1",
    r"_ssl\.c:\d+": "_ssl.c:LINE",
    r"-[0-9a-f]{12}-\d{14}-[0-9a-f]{8}": "-GENERATION",
    r"\[[\w-]+/[\w-]{22}\]": "[INDEX/UUID]",
    r"after \d+ (?:try|tries) \(cti\.retry_budget is \d+ s\)": "after N tries (cti.retry_budget is N s)",
    r"\(after \d+ tries\)": "(after N tries)",
    r"\d+ (MiB|bytes)\b": r"N \1",
    r"[\d,]+ as wazuh-cve": "N as wazuh-cve",
    r"[\d,]+ records?\b": "N records",
    r"(records'=|limits\.pass_seconds, )\d+": r"\1N",
    r"just now|\d+ (second|minute|hour|day)s? ago": "AGO",
    r"age'=\d+s": "age'=Ns",
    r"(pass_id\W+)[0-9a-f]{12}": r"\1ID",
}
"""What differs from call to call: a pattern, and what stands for it."""


def generalised(text: str) -> str:
    for pattern, word in VARIABLE.items():
        text = re.sub(pattern, word, text)
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())


class Printed(NamedTuple):
    """What a command wrote to both streams, and its exit code."""

    code: int
    text: str

    def last(self, lines: int) -> "Printed":
        return Printed(self.code, "\n".join(self.text.splitlines()[-lines:]))


class Stage:
    """One host. `node` is None for who keeps the content in SQLite."""

    def __init__(
        self, home: Path, feed: FeedSimulator, manager: CommandManagerStandIn, node: OpenSearchNode | None
    ) -> None:
        self.home = home
        self.feed = feed
        self.manager = manager
        self.state = home / "state"
        self.settings = home / "etc"
        self.backups = home / "backups"
        self.typed = ""
        self.names = {
            str(self.state): STATE,
            str(self.settings): SETTINGS,
            str(self.backups): BACKUPS,
            feed.origin: FEED,
            manager.url: INDEXER,
        }
        self.ctisync = Hurried(home)
        for name in ("CTISYNC_CTI__RETRY_BUDGET", "CTISYNC_CTI__COOLDOWN", "XDG_STATE_HOME"):
            del self.ctisync.environ[name]
        self.environ = self.ctisync.environ
        self.environ |= {
            "PYTHONPATH": str(ROOT),
            "STATE_DIRECTORY": str(self.state),
            "CTISYNC_CTI__URL": feed.url,
        }
        self._node = node
        if node is not None:
            self.use_store(node.url)
            self.environ["CTISYNC_COMMAND_MANAGER__URL"] = manager.url
        self.state.mkdir()
        self.settings.mkdir()
        populate(feed.history, RECORDS)
        feed.publish_snapshot()

    @property
    def node(self) -> OpenSearchNode:
        assert self._node is not None
        return self._node

    @property
    def database(self) -> Path:
        return self.state / "ctisync.db"

    def use_store(self, url: str) -> None:
        """The page calls it its indexer."""
        self.names[url] = INDEXER
        self.environ["CTISYNC_STORE__URL"] = url

    def run(self, *arguments: str, **environ: str) -> Printed:
        ended = self.ctisync.run(*arguments, **environ)
        return Printed(ended.returncode, ended.stdout + ended.stderr)

    def passes(self, mode: Mode = "sync", **environ: str) -> int:
        """The exit code of a pass that nobody looks at: without the start of a process."""
        clock = SystemClock()
        settings = load_settings(None, {**self.environ, **environ}).settings
        return run_passes(Invocation.of(settings, mode, clock, Console(io.StringIO(), clock)))

    def follow(self, changes: int = 0) -> None:
        """A content that is in step with the feed, which has gone on by so many changes since."""
        assert self.passes() == 0
        churn(self.feed.history, changes)

    def alter_database(self, statement: str) -> None:
        """As another program does, or a person with the `sqlite3` of the shell."""
        with closing(sqlite3.connect(self.database)) as other, other:
            other.execute(statement)

    def type(self, script: str) -> None:
        """What a person types who reads the page; `typed` is then what it has printed."""
        for real, name in reversed(self.names.items()):  # the store's URL goes before the Command Manager's
            script = script.replace(name, real)
        if not (programs := self.home / "bin").exists():
            tools(programs, "tests.docs.hurried")
        ended = run(script, {**self.environ, "PATH": path_with(programs)}, self.home)
        self.typed = ended.stdout + ended.stderr
        assert ended.returncode == 0, self.typed

    def as_shown(self, text: str) -> str:
        """With the names that the page gives to the places of the test."""
        for real, name in self.names.items():
            text = text.replace(real, name)
        return text


class Hurried(Ctisync):
    """It sleeps never: `tests.docs.hurried`."""

    main_module = "tests.docs.hurried"

    def command(self, *arguments: str) -> Sequence[str]:
        return [sys.executable, "-m", "tests.docs.hurried", *arguments]
