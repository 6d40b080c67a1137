"""Passes as real processes on a SQLite file, each begun from a copy of the same start."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec

from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from tests.crash.stories import Story, expected, settings
from tests.support.command_manager import CommandManagerStandIn
from tests.support.doomed import Call
from tests.support.faults import Effect, Fault
from tests.support.feed_simulator import FeedSimulator
from tests.support.records import comparable

REPOSITORY = Path(__file__).resolve().parents[2]
LATER = 7200.0
"""Seconds between two passes: more than any cool-down here, less than `reinit_interval`."""


class Ended(NamedTuple):
    """How a command ended: its exit code or minus a signal, its words, its effects unless it was killed, and
    its result."""

    code: int
    stderr: str
    effects: tuple[Effect, ...]
    stdout: str = ""


class Forks:
    """A process that has ctisync loaded and plays each call in a fork of itself."""

    def __init__(self, results: Path) -> None:
        self._results = results
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.doomed", "--serve"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(
        self,
        *arguments: str,
        folder: Path,
        environ: Mapping[str, str],
        fault: Fault | None = None,
        later: float = 0.0,
        most_bytes: int | None = None,
    ) -> Ended:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        effects = self._results / "effects"
        effects.unlink(missing_ok=True)
        call = Call(
            arguments=list(arguments),
            folder=str(folder),
            results=str(self._results),
            environ=dict(environ),
            fault=fault,
            later=later,
            most_bytes=most_bytes,
        )
        self._process.stdin.write(msgspec.json.encode(call) + b"\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        lines = effects.read_text().splitlines() if effects.exists() else []
        return Ended(
            code,
            (self._results / "stderr").read_text(),
            tuple(Effect(*line.split(": ", 1)) for line in lines),  # type: ignore[arg-type]  # places
            (self._results / "stdout").read_text(),
        )


class Kept(NamedTuple):
    """All that a pass leaves, but for what tells of time: what two of them must agree on."""

    lines: tuple[bytes, ...]
    state: Mapping[str, Any]
    files: frozenset[str]
    generations: int
    rows: int

    def unlike(self, other: "Kept") -> str:
        """The fields that differ, both values of each."""
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in self._fields)
        return "; ".join(
            f"{name}: {ours} instead of {theirs}" for name, ours, theirs in pairs if ours != theirs
        )


class SqlitePasses:
    """One story on SQLite: `begin` anew, `run` a pass, look at what is `kept`. `spare` is scratch space."""

    def __init__(
        self,
        story: Story,
        folder: Path,
        feed: FeedSimulator,
        manager: CommandManagerStandIn,
        forks: Forks,
        more_settings: Mapping[str, str] | None = None,
    ) -> None:
        self.story = story
        self.feed = feed
        self.manager = manager
        self.consumer = Consumer(feed.context, feed.consumer)
        self.more_settings = more_settings or {}
        self._forks = forks
        self._start = folder / "start"
        self.folder = folder / "run"
        self._copy = folder / "copy"
        self._passes = 0
        self._at_offset: dict[tuple[int, int | None], list[Any]] = {}
        self.folder.mkdir()
        if story.before is not None:
            story.before(feed)
            ended = self.run()
            assert ended.code == 0, ended.stderr
        self.first_offset = feed.history.last_offset
        self.last_offset = story.then(feed)
        self.folder.rename(self._start)

    def begin(self) -> None:
        """As after the passes before; nothing asked, nothing sent."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self._start, self.folder)
        self.manager.commands.clear()
        self.feed.requests.clear()
        self._passes = 1

    @property
    def environ(self) -> dict[str, str]:
        """The settings of every pass."""
        return {
            "HOME": str(self.folder),
            "CTISYNC_CTI__URL": self.feed.url,
            "CTISYNC_STORE__URL": f"sqlite:///{self.folder}/ctisync.db",
            "CTISYNC_STATE_DIR": str(self.folder),
            "CTISYNC_COMMAND_MANAGER__URL": self.manager.url,
            **settings(self.feed),
            **self.more_settings,
        }

    def run(self, fault: Fault | None = None) -> Ended:
        self._passes += 1
        return self._forks.run(
            "sync", folder=self.folder, environ=self.environ, fault=fault, later=self._passes * LATER
        )

    def commands(self) -> list[int]:
        """The offsets of the accepted commands."""
        return [int(command.offset) for command in self.manager.commands]

    def snapshots(self) -> int:
        """How often a snapshot was asked for."""
        return len(self.feed.requests_for("snapshot"))

    def read(self) -> tuple[ConsumerState, tuple[bytes, ...] | None]:
        """State and content as a reader finds them; on a copy, so that the look itself mends nothing."""
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self.folder, self._copy)
        store = SqliteStore(self._copy / "ctisync.db", SystemClock())
        if store.summary(self.consumer).records is None:
            return store.read_state(self.consumer), None
        return store.read_state(self.consumer), tuple(store.export(self.consumer))

    def holds(self, offset: int) -> bool:
        """Whether readers find value for value what the feed held at that offset."""
        state, lines = self.read()
        expected = self._expected(offset, state.snapshot_offset)
        return lines is not None and [comparable(line) for line in lines] == expected

    def is_whole(self) -> bool:
        """Whether readers find what the stored offset says (0: begin again, until then what was before)."""
        state, lines = self.read()
        if lines is None:
            return (state.offset, self.story.before) == (0, None)
        expected = self._expected(state.offset or self.first_offset, state.snapshot_offset)
        return [comparable(line) for line in lines] == expected

    def _expected(self, offset: int, loaded_at: int | None) -> list[Any]:
        position = offset, loaded_at
        if position not in self._at_offset:
            self._at_offset[position] = expected(self.feed, offset, loaded_at)
        return self._at_offset[position]

    def kept(self) -> Kept:
        files = frozenset(path.name for path in self.folder.iterdir())
        state, lines = self.read()
        with closing(sqlite3.connect(self._copy / "ctisync.db")) as database:
            [(generations,)] = database.execute("SELECT count(*) FROM generations")
            [(rows,)] = database.execute("SELECT count(*) FROM records")
            [(health,)] = database.execute("PRAGMA integrity_check")
        assert health == "ok"
        return Kept(lines or (), without_times(state), files, generations, rows)


def without_times(state: ConsumerState) -> dict[str, Any]:
    """The state but for what tells when, how often and from where."""
    report = {
        name: value
        for name, value in msgspec.to_builtins(state, builtin_types=()).items()
        if not name.endswith(("_at", "_link"))
    }
    return report | {"accepted": state.accepted and state.accepted.offset}


@contextmanager
def sqlite_passes(
    story: Story, folder: Path, more_settings: Mapping[str, str] | None = None
) -> Iterator[SqlitePasses]:
    with ExitStack() as parts:
        yield SqlitePasses(
            story,
            folder,
            parts.enter_context(FeedSimulator()),
            parts.enter_context(CommandManagerStandIn()),
            parts.enter_context(Forks(folder)),
            more_settings,
        )
