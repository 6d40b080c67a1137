"""A mirror as the feed of a pass.

Its files may be on a stick, on a network disk, on a web server, or in a copy that is not finished: each is
checked by the size and the digest in the manifest, on the bytes that are then used. A file that is not there
may have been pruned since the head was read, so the head is read again.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import BinaryIO, Final, NamedTuple, cast

from ctisync.core import json_text, wire
from ctisync.core.health import CheckResult, failed, mib, ok
from ctisync.core.json_text import UNDECODABLE, Excess, Scan, TooMany
from ctisync.core.manifest import (
    HEAD,
    LONGEST_SEGMENT,
    Manifest,
    MirroredSnapshot,
    Segment,
    WrongMirror,
    available,
    safe_name,
)
from ctisync.core.model import Change, Consumer, ConsumerInfo, Mirrored, OffsetRange, Snapshot
from ctisync.core.publication import Publication, checked, publication
from ctisync.core.segment import unpacked
from ctisync.core.state import RefusedSnapshot
from ctisync.errors import (
    CtisyncError,
    FeedRefused,
    FeedUnreachable,
    ReplyTooLarge,
    SnapshotRefused,
    UsageError,
)
from ctisync.feed.mirror_files import MirrorFiles
from ctisync.feed.snapshot.file import LocalSnapshot
from ctisync.feed.snapshot.spool import SpoolFolder

_TRIES: Final = 5
_PAUSE: Final = 0.2
"""Seconds between two tries: a head that is being replaced can be missing on some network disks."""


class _Lines(NamedTuple):
    """A segment that was read and checked, as the offset and the text of each change."""

    name: str
    changes: list[tuple[int, bytes]]


class MirrorFeed:
    """`ports.Feed` on a mirror, for one pass. `spool`: where a snapshot is copied to before it is
    read."""

    retries = 0

    def __init__(self, files: MirrorFiles, consumer: Consumer, spool: SpoolFolder) -> None:
        self.received = 0
        self._files = files
        self._consumer = consumer
        self._folders = (safe_name(consumer.context), safe_name(consumer.name))
        self._root, self._place = files.place(()), files.place(self._folders)
        self._spool = spool
        self._clock = spool.pass_limits.clock
        self._limits = spool.pass_limits.limits
        self._loaded: Publication | None = None
        self._lines = _Lines("", [])

    @property
    def _manifest(self) -> Manifest:
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded.manifest

    def check_time(self) -> None:
        self._spool.pass_limits.check_time()

    def consumer_info(self) -> ConsumerInfo:
        self._loaded = None
        manifest = self._manifest
        floor, newest = available(manifest, partial(self._files.has, self._folders))
        public = manifest.feed.get("is_public")
        return ConsumerInfo(
            manifest.last_offset,
            None if newest is None else Snapshot(newest.name, newest.offset),
            public if isinstance(public, bool) else None,
            wire.identity(manifest.feed),
            Mirrored(manifest.checked_at, floor),
        )

    def changes(self, offsets: OffsetRange) -> list[Change]:
        try:
            return self._changes(offsets)
        except FeedUnreachable:
            self._loaded = None
            return self._changes(offsets)

    def prefetch(self, offsets: OffsetRange) -> None:
        """Does nothing: a segment is read within milliseconds."""

    def fetch_snapshot(
        self, snapshot: Snapshot, refused: RefusedSnapshot | None, keep_alive: Callable[[], None]
    ) -> LocalSnapshot:
        if refused is not None and refused.link == snapshot.link:
            raise SnapshotRefused(f"the mirror still has the refused snapshot: {refused.reason}")
        entry = self._entry(snapshot)
        with self._errors(entry.name), self._opened(entry.name) as stream:
            source = cast(BinaryIO, _Checked(stream, entry, self._count, keep_alive))
            file = self._spool.store_stream(source, entry.name)
        file.check_disk_space()
        return file

    open_snapshot = fetch_snapshot

    def tidy(self) -> None:
        self._spool.tidy()

    def snapshot_bytes(self, snapshot: Snapshot) -> int | None:
        try:
            return self._entry(snapshot).size
        except CtisyncError:
            return None

    def diagnose(self) -> tuple[list[CheckResult], int | None]:
        try:
            info = self.consumer_info()
            entry = self._manifest.snapshots[-1]
            with self._errors(entry.name), self._opened(entry.name):
                pass
        except CtisyncError as error:
            return [failed("feed", error.message, error.hint, about=self._consumer)], None
        at = f"{self._manifest.checked_at:%Y-%m-%dT%H:%M:%SZ}"
        text = f"the mirror {self._root} has offset {info.last_offset:,}, the last of the feed at {at}"
        offered = f"the mirror has one of offset {entry.offset:,}, of {mib(entry.size)}"
        results = [ok("feed", text, about=self._consumer), ok("snapshot", offered, about=self._consumer)]
        return results, entry.size

    def fetch_from(self, url: str, keep_alive: Callable[[], None]) -> LocalSnapshot:
        raise UsageError(
            "the feed is a mirror folder, so ctisync downloads nothing",
            hint="download the snapshot with another program, and pass the file",
        )

    def store_stream(self, stream: BinaryIO, link: str) -> LocalSnapshot:
        return self._spool.store_stream(stream, link)

    def _load(self) -> Publication:
        """It is read again if what the head names is not there: a newer head may be."""
        for left in reversed(range(_TRIES)):
            try:
                with self._errors(HEAD):
                    return publication(self._read, str(self._consumer))
            except (FeedUnreachable, FeedRefused):
                if not left:
                    raise
                self._clock.sleep(_PAUSE)
        raise AssertionError  # pragma: no cover  # the last try has raised

    def _entry(self, snapshot: Snapshot) -> MirroredSnapshot:
        for each in self._manifest.snapshots:
            if each.name == snapshot.link:
                return each
        raise FeedUnreachable(f"the mirror {self._root} has no snapshot {snapshot.link} any more")

    def _changes(self, offsets: OffsetRange) -> list[Change]:
        manifest = self._manifest
        if offsets.after < manifest.floor or manifest.last_offset < offsets.to:
            raise FeedUnreachable(
                f"the mirror {self._root} has changes up to {manifest.last_offset}, not all of {offsets}: "
                "it has changed since this pass began",
                hint="run the same command again",
            )
        lines = [
            line
            for segment in manifest.segments_of(offsets)
            for offset, line in self._lines_of(segment).changes
            if offsets.after < offset <= offsets.to
        ]
        if sum(map(len, lines)) > self._limits.reply_bytes:
            raise ReplyTooLarge(f"changes {offsets} have more bytes than limits.reply_bytes")
        scan = Scan(self._limits.json_depth + 1, self._limits.json_values)
        try:
            for line in lines:
                scan.take(line)
            return [wire.change(json_text.decode(line)) for line in lines]
        except TooMany:
            raise ReplyTooLarge(f"changes {offsets} have more values than limits.json_values") from None
        except (Excess, *UNDECODABLE) as error:
            raise FeedRefused(f"changes {offsets} of {self._place} cannot be read: {error}") from None

    def _lines_of(self, segment: Segment) -> _Lines:
        """The last one stays in memory: the next range begins in it."""
        if self._lines.name != segment.name:
            with self._errors(segment.name):
                content = checked(self._read, segment, LONGEST_SEGMENT)
                self._lines = _Lines(segment.name, unpacked(content, segment))
        return self._lines

    def _read(self, name: str, most: int) -> bytes:
        self.check_time()
        with self._opened(name) as file:
            content = file.read(most + 1)
        self._count(len(content))
        return content

    def _opened(self, name: str) -> AbstractContextManager[BinaryIO]:
        return self._files.opened(self._folders, name)

    def _count(self, received: int) -> None:
        self.received += received

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Of the file of this name."""
        try:
            yield
        except WrongMirror as error:
            raise FeedRefused(
                f"the mirror cannot be used: {self._place}/{name}: {error}",
                hint=self._files.hint,
            ) from None


class _Checked:
    """A snapshot's file, of which a copy is made; the end raises WrongMirror unless it was the right one."""

    def __init__(
        self,
        file: BinaryIO,
        entry: MirroredSnapshot,
        count: Callable[[int], None],
        meanwhile: Callable[[], None],
    ) -> None:
        self._file = file
        self._entry = entry
        self._count = count
        self._meanwhile = meanwhile
        self._digest = hashlib.sha256()
        self._size = 0

    def read(self, size: int) -> bytes:
        self._meanwhile()
        try:
            piece = self._file.read(size)
        except OSError as error:
            raise WrongMirror(f"it cannot be read: {error.strerror}") from None
        self._count(len(piece))
        self._size += len(piece)
        self._digest.update(piece)
        is_whole = (self._size, self._digest.hexdigest()) == (self._entry.size, self._entry.sha256)
        if self._size > self._entry.size or not (piece or is_whole):
            raise WrongMirror("it is damaged: it has not the size and the digest that it should")
        return piece
