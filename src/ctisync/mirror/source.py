"""The feed as a mirror needs it."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ctisync.core.model import ChangeMark, ConsumerInfo, Information, OffsetRange, Snapshot
from ctisync.core.state import RefusedSnapshot
from ctisync.ports import SnapshotFile


class OriginalSnapshot(SnapshotFile, Protocol):
    """A snapshot whose file can be moved elsewhere, byte for byte; `discard` then removes the rest."""

    @property
    def path(self) -> Path: ...


class MirrorSource(Protocol):
    """The feed as a mirror needs it: as it answers, and not only what a pass reads of that. Raises as
    `PassFeed` does."""

    def source_info(self) -> tuple[ConsumerInfo, Information]: ...

    def original_changes(self, offsets: OffsetRange) -> list[tuple[ChangeMark, bytes]]:
        """As `PassFeed.changes`, each change as its text, on one line."""

    def fetch_snapshot(
        self, snapshot: Snapshot, refused: RefusedSnapshot | None, keep_alive: Callable[[], None]
    ) -> OriginalSnapshot: ...

    def snapshot_bytes(self, snapshot: Snapshot) -> int | None:
        """As `Feed.snapshot_bytes`."""

    def check_time(self) -> None:
        """As `Feed.check_time`."""

    def tidy(self) -> None:
        """As `PassFeed.tidy`."""
