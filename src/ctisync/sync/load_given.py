"""Initialise from a snapshot that is already here, without a word to the feed."""

from collections.abc import Callable

from ctisync.core.model import Change, Consumer, ConsumerInfo, OffsetRange, Snapshot
from ctisync.core.state import RefusedSnapshot
from ctisync.core.steps import Policy
from ctisync.ports import Clock, CommandManager, Log, SnapshotFile, Store
from ctisync.sync.run_pass import run_pass


def load_given(
    consumer: Consumer,
    file: SnapshotFile,
    snapshot: Snapshot,
    *,
    store: Store,
    commands: CommandManager | None,
    clock: Clock,
    log: Log,
) -> None:
    """Make the records of `file` the live content, standing at `snapshot.offset`. Raises as run_pass does."""
    run_pass(
        consumer,
        feed=_NoFeed(file),
        store=store,
        commands=commands,
        clock=clock,
        log=log,
        policy=Policy(mode="init-snapshot"),
        offered=ConsumerInfo(last_offset=None, snapshot=snapshot),
    )


class _NoFeed:
    """Stands where the feed stands in a pass; hands out the given file and answers nothing else."""

    def __init__(self, file: SnapshotFile) -> None:
        self._file = file

    def fetch_snapshot(
        self, snapshot: Snapshot, refused: RefusedSnapshot | None, keep_alive: Callable[[], None]
    ) -> SnapshotFile:
        return self._file

    open_snapshot = fetch_snapshot

    def tidy(self) -> None:
        """Nothing was downloaded by this pass."""

    def consumer_info(self) -> ConsumerInfo:
        raise AssertionError("the feed is not to be asked")

    def changes(self, wanted: OffsetRange) -> list[Change]:
        raise AssertionError("the feed is not to be asked")

    def ask_ahead(self, wanted: OffsetRange) -> None:
        raise AssertionError("the feed is not to be asked")
