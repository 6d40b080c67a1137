"""Passes as real processes against servers that lie, each from the same stored content."""

import base64
import re
import shutil
import ssl
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple, Self, TypeVar

from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from tests.cli.conftest import Ctisync
from tests.hostile.server.ends import LOADS, End
from tests.hostile.server.measured import Ended, run
from tests.support.command_manager import CommandManagerStandIn
from tests.support.feed_history import churn, populate
from tests.support.feed_server import Kind
from tests.support.feed_simulator import FeedSimulator
from tests.support.lying_feed import Lie, LyingFeed
from tests.support.printed_error import assert_error
from tests.support.raw_server import RawRequest
from tests.support.records import comparable

T = TypeVar("T")

TOKEN: Final = "canary-token-7f3a"
USER, PASSWORD = "operator", "canary-password-91c2"
SECRETS: Final = (TOKEN, PASSWORD, base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())

MOST_MEMORY: Final = 150.0
"""MiB."""

SLACK: Final = 10.0
"""Seconds that a busy machine may add to a budget, start and end of the process included."""

AT_ONCE: Final = 5
"""Processes side by side: most of them wait most of the time."""

_SPOOLED: Final = re.compile(r"-[0-9a-f]{16}\.(part|json)$")

REPLY_BYTES: Final = 4 << 20
SNAPSHOT_BYTES: Final = 2 << 20
NOTE_BYTES: Final = 1000
"""What the note beside a part may take."""


class Case(NamedTuple):
    """One pass: what the feed answers to which question, and how the pass ends.

    Without a `command` it is one that asks that question. `seconds` are the pass's time, `settings` further
    variables.
    """

    lies: Mapping[Kind, Lie]
    end: End
    command: str | None = None
    seconds: float = 30.0
    settings: Mapping[str, str] = {}


class Kept(NamedTuple):
    """What a pass leaves: the content, its state, files beside the database with their sizes, and secrets
    that are in any file."""

    lines: tuple[bytes, ...]
    state: ConsumerState
    files: Mapping[str, int]
    secrets: tuple[str, ...]


class Outcome(NamedTuple):
    ended: Ended
    before: Kept
    after: Kept
    requests: tuple[RawRequest, ...]
    kinds: tuple[Kind, ...]


class Passes:
    """A consumer with 20 records, stored from a feed that has gone on since, by changes and a snapshot."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parts = ExitStack()
        self.feed = self._parts.enter_context(FeedSimulator())
        self.manager = self._parts.enter_context(CommandManagerStandIn(username=USER, password=PASSWORD))
        self.consumer = Consumer(self.feed.context, self.feed.consumer)
        populate(self.feed.history, 20)
        self.feed.publish_snapshot()
        self._start = folder / "start"
        self._start.mkdir()
        self.stored = self.run(self._start, "sync")
        assert self.stored.code == 0, self.stored.stderr
        churn(self.feed.history, 30)
        self.feed.publish_snapshot()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    def begun(self, name: str) -> Path:
        """A home of its own with the stored content."""
        return Path(shutil.copytree(self._start, self._folder / name))

    def run(self, home: Path, *command: str, **settings: str) -> Ended:
        """A pass of the stored content's consumer, from the true feed unless `settings` say otherwise."""
        ctisync = Ctisync(home)
        usual = {
            "CTISYNC_CTI__URL": self.feed.url,
            "CTISYNC_CTI__TOKEN": TOKEN,
            "CTISYNC_CTI__RETRY_BUDGET": "0.3",
            "CTISYNC_LIMITS__REPLY_BYTES": str(REPLY_BYTES),
            "CTISYNC_LIMITS__SNAPSHOT_BYTES": str(SNAPSHOT_BYTES),
            "CTISYNC_COMMAND_MANAGER__URL": self.manager.url,
            "CTISYNC_COMMAND_MANAGER__USERNAME": USER,
            "CTISYNC_COMMAND_MANAGER__PASSWORD": PASSWORD,
        }
        return run(ctisync.command(*command, "-q"), {**ctisync.environ, **usual, **settings}, home)

    def kept(self, home: Path) -> Kept:
        """On a copy, so that the look itself mends nothing."""
        folder = Ctisync(home).database.parent
        copy = shutil.copytree(folder, home / "copy")
        store = SqliteStore(copy / "ctisync.db", SystemClock())
        lines, state = tuple(store.export(self.consumer)), store.read_state(self.consumer)
        shutil.rmtree(copy)
        beside = (
            path for path in folder.iterdir() if path.suffix not in (".db", ".db-wal", ".db-shm", ".lock")
        )
        files = {path.name: path.stat().st_size for path in beside}
        everything = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
        return Kept(lines, state, files, secrets_in(everything.decode("utf-8", "replace")))

    def play(self, name: str, case: Case, tls: ssl.SSLContext | None = None) -> Outcome:
        home = self.begun(name)
        before = self.kept(home)
        with LyingFeed(self.feed, case.lies, tls=tls) as liar:
            command = case.command or ("init-snapshot" if "snapshot" in case.lies else "sync")
            settings = {
                "CTISYNC_CTI__URL": liar.url,
                "CTISYNC_LIMITS__PASS_SECONDS": str(case.seconds),
                **case.settings,
            }
            ended = self.run(home, command, **settings)
            return Outcome(ended, before, self.kept(home), tuple(liar.requests), tuple(liar.kinds))


def at_once(play: Callable[[str], T], names: Iterable[str]) -> dict[str, T]:
    """What comes of each, several side by side."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = {name: pool.submit(play, name) for name in names}
        return {name: each.result() for name, each in running.items()}


def secrets_in(text: str) -> tuple[str, ...]:
    return tuple(secret for secret in SECRETS if secret in text)


def assert_bounded(ended: Ended, seconds: float) -> None:
    """It ended within its budget and in little memory, without a crash and without telling a secret."""
    assert ended.seconds < seconds + SLACK
    assert 0 < ended.peak < MOST_MEMORY, ended.stderr
    assert "Traceback" not in ended.stderr
    assert secrets_in(ended.stderr) == ()


def assert_harmless(case: Case, outcome: Outcome, feed: FeedSimulator) -> None:
    """Ended in bounds and as documented, with what and why and what to type; nothing but the spool lies
    beside the database. The content is the one of before, byte for byte, or the feed's when the lie was none.
    """
    ended, before, after = outcome.ended, outcome.before, outcome.after
    assert_bounded(ended, case.seconds)
    assert ended.code == case.end.code, ended.stderr
    assert after.secrets == ()
    if case.end == LOADS:
        assert ended.stderr == ""
        assert after.files == {}
        assert comparables(after.lines) == comparables(feed.expected_lines())
        return
    assert len(ended.stderr.splitlines()) == 2, ended.stderr
    assert_error(ended.stderr, case.end.says, case.end.advises)
    assert after.lines == before.lines
    assert (after.state.offset, after.state.phase) == (before.state.offset, "ready")
    assert [name for name in after.files if not _SPOOLED.search(name)] == []
    assert sum(after.files.values()) <= SNAPSHOT_BYTES + NOTE_BYTES


def comparables(lines: Iterable[bytes]) -> list[Any]:
    return [comparable(line) for line in lines]
