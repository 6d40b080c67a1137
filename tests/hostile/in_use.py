"""A content in use, to which hostile snapshots come by both doors: given as a file, served by the feed."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from ctisync.core.findings import Kind
from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from ctisync.verify.audit import verify
from tests.crash.passes import LATER, Ended, Forks
from tests.hostile.stored import Stored, read_stored
from tests.support.command_manager import CommandManagerStandIn
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.log import KeptLog

UNIX_TIME: Final = 1746459961


class InUse:
    """Whole commands, each in a process of its own, on a SQLite file that was initialised and updated.

    The feed has gone on by one change, which cannot be applied: a pass that meets it asks for a snapshot.
    """

    def __init__(
        self, folder: Path, feed: FeedSimulator, manager: CommandManagerStandIn, forks: Forks
    ) -> None:
        self.feed = feed
        self.manager = manager
        self.consumer = Consumer(feed.context, feed.consumer)
        self.folder = folder / "run"
        self._forks = forks
        self._files, self._start, self._copy = folder / "given", folder / "start", folder / "copy"
        self._passes = 0
        self.folder.mkdir()
        self._files.mkdir()
        populate(feed.history, 12)
        feed.publish_snapshot()
        churn(feed.history, 30)
        ended = self.command("sync")
        assert ended.code == 0, ended.stderr
        feed.history.poison(feed.history.names()[0])
        self.folder.rename(self._start)

    def begin(self) -> None:
        """As it was before the first hostile one."""
        for folder in (self.folder, self._files):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._start, self.folder)
        self._files.mkdir()
        self.manager.commands.clear()

    def from_file(self, content: bytes) -> Ended:
        """`init-snapshot --from` a file whose name tells the feed's last offset."""
        return self.command("init-snapshot", "--from", str(self.snapshot_file(content)))

    def snapshot_file(self, content: bytes) -> Path:
        """What is in it, its content says, not its name."""
        path = self._files / f"{self.feed.history.last_offset}_{UNIX_TIME}.zip"
        path.write_bytes(content)
        return path

    def from_feed(self, content: bytes | None = None) -> Ended:
        """`sync`, while these bytes are offered as the snapshot of the last offset (None: a good one)."""
        self.feed.files.clear()
        self.feed.publish_snapshot(body=content)
        return self.command("sync")

    def command(self, *arguments: str, **environ: str) -> Ended:
        self._passes += 1
        usual = {
            "HOME": str(self.folder),
            "CTISYNC_CTI__URL": self.feed.url,
            "CTISYNC_STORE__URL": f"sqlite:///{self.folder}/ctisync.db",
            "CTISYNC_STATE_DIR": str(self.folder),
            "CTISYNC_COMMAND_MANAGER__URL": self.manager.url,
        }
        return self._forks.run(
            *arguments,
            "-q",
            folder=self.folder,
            environ={**usual, **environ},
            fault=None,
            later=self._passes * LATER,
        )

    @property
    def state(self) -> ConsumerState:
        return self._store().read_state(self.consumer)

    def stored(self) -> Stored:
        files = frozenset(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))
        return read_stored(self._store(), self._copy / "ctisync.db", self.consumer)._replace(files=files)

    def audited(self, *, deep: bool) -> dict[Kind, int]:
        """What `verify` finds."""
        verification = verify(
            self.consumer, store=self._store(), log=KeptLog(), deep=deep, against=None, at_work=None
        )
        return verification.counts

    def _store(self) -> SqliteStore:
        """On a copy, so that the look itself mends nothing."""
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self.folder, self._copy)
        return SqliteStore(self._copy / "ctisync.db", SystemClock())


@contextmanager
def content_in_use(folder: Path) -> Iterator[InUse]:
    with ExitStack() as parts:
        yield InUse(
            folder,
            parts.enter_context(FeedSimulator()),
            parts.enter_context(CommandManagerStandIn()),
            parts.enter_context(Forks(folder)),
        )
