"""The feed as a mirror needs it."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ctisync.core.manifest import Segment
from ctisync.core.model import ChangeMark, ConsumerInfo, Information, OffsetRange, Snapshot
from ctisync.core.publication import Publication
from ctisync.core.state import RefusedSnapshot
from ctisync.ports import SnapshotFile


class OriginalSnapshot(SnapshotFile, Protocol):
    """A snapshot whose file can be moved elsewhere, byte for byte; `discard` then removes the rest."""

    @property
    def path(self) -> Path: ...


class Source(Protocol):
    """Raises as `PassFeed` does."""

    def fetch_snapshot(
        self, snapshot: Snapshot, refused: RefusedSnapshot | None, keep_alive: Callable[[], None]
    ) -> OriginalSnapshot: ...

    def check_time(self) -> None:
        """As `Feed.check_time`."""

    def tidy(self) -> None:
        """As `PassFeed.tidy`."""


class CopySource(Source, Protocol):
    """A mirror as a copy of it needs it."""

    def publication(self) -> Publication:
        """By the head as it is now."""

    def signature(self, publication: Publication) -> bytes | None:
        """The bytes of its signature, if there is one."""

    def segment(self, segment: Segment) -> bytes:
        """Its bytes, which are as its entry says."""


class MirrorSource(Source, Protocol):
    """The feed as a mirror needs it: as it answers, and not only what a pass reads of that."""

    def source_info(self) -> tuple[ConsumerInfo, Information]: ...

    def original_changes(self, offsets: OffsetRange) -> list[tuple[ChangeMark, bytes]]:
        """As `PassFeed.changes`, each change as its text, on one line."""

    def snapshot_bytes(self, snapshot: Snapshot) -> int | None:
        """As `Feed.snapshot_bytes`."""
