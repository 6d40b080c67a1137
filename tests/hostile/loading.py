"""The load of a given file as `init-snapshot --from` wires it, within this process: for hundreds of files."""

from contextlib import closing
from pathlib import Path
from typing import Final

from ctisync.core.model import Consumer, Snapshot
from ctisync.core.steps import Policy
from ctisync.errors import SnapshotRefused
from ctisync.feed.http.budget import PassLimits
from ctisync.feed.snapshot.file import open_file, snapshot_offset
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.sync.run_pass import run_pass
from tests.hostile.in_use import UNIX_TIME
from tests.hostile.stored import Stored, read_stored
from tests.support.clock import FakeClock
from tests.support.feed_history import History
from tests.support.log import KeptLog
from tests.support.memory_feed import MemoryFeed, MemoryServer
from tests.support.one_pass import good, parts_of

OFFSET: Final = 1000
"""What each file's name says that it stands for."""


class Loading:
    """A SQLite content in use; each `load` is another pass on it."""

    def __init__(self, folder: Path, content: bytes) -> None:
        self._database = folder / "ctisync.db"
        self._snapshot = folder / f"{OFFSET}_{UNIX_TIME}.zip"
        refused = self.load(content)
        assert refused is None, refused

    def load(self, content: bytes) -> SnapshotRefused | None:
        """Why it was refused. Anything else that goes wrong is raised."""
        self._snapshot.write_bytes(content)
        clock = FakeClock()
        file = open_file(self._snapshot, PassLimits(clock))
        try:
            offset, _ = snapshot_offset(file, self._snapshot.name)
            with closing(SqliteStore(self._database, clock)) as store:
                parts = parts_of(
                    Consumer(),
                    feed=MemoryFeed(MemoryServer(History(Consumer().context))),
                    store=store,
                    commands=None,
                    clock=clock,
                    log=KeptLog(),
                    policy=Policy(mode="init-snapshot"),
                )
                good(run_pass(parts, Snapshot(str(self._snapshot), offset), file))
        except SnapshotRefused as error:
            return error
        return None

    def stored(self) -> tuple[Stored, int]:
        """With the offset of the state."""
        with closing(SqliteStore(self._database, FakeClock())) as store:
            stored = read_stored(store, self._database, Consumer())
            return stored, store.read_state(Consumer()).offset
