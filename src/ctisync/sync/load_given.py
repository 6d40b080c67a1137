"""Initialise from a given snapshot, without requests to the feed."""

from collections.abc import Callable
from dataclasses import replace

from ctisync.core.model import Change, ConsumerInfo, OffsetRange, Snapshot
from ctisync.core.pass_report import Ended
from ctisync.core.state import RefusedSnapshot
from ctisync.ports import SnapshotFile
from ctisync.sync.parts import Parts
from ctisync.sync.run_pass import run_pass


def load_given(parts: Parts, file: SnapshotFile, snapshot: Snapshot) -> Ended:
    """Make the records of `file` the live content at `snapshot.offset`. Returns what `run_pass` returns.

    No request is sent to the feed of `parts`.
    """
    return run_pass(
        replace(parts, feed=_NoFeed(file)),
        ConsumerInfo(last_offset=None, snapshot=snapshot),
    )


class _NoFeed:
    """Replaces the feed of a pass. It returns the given file and answers nothing else."""

    def __init__(self, file: SnapshotFile) -> None:
        self._file = file

    def fetch_snapshot(
        self, snapshot: Snapshot, refused: RefusedSnapshot | None, keep_alive: Callable[[], None]
    ) -> SnapshotFile:
        return self._file

    open_snapshot = fetch_snapshot

    def tidy(self) -> None:
        """Nothing to do: this pass has not downloaded anything."""

    def consumer_info(self) -> ConsumerInfo:
        raise AssertionError("the feed is not to be asked")

    def changes(self, wanted: OffsetRange) -> list[Change]:
        raise AssertionError("the feed is not to be asked")

    def prefetch(self, wanted: OffsetRange) -> None:
        raise AssertionError("the feed is not to be asked")
