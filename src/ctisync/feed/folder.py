"""A mirror folder as the feed of a pass.

The folder may be a stick, a network disk, or a copy that is not finished: each file is checked by the size
and the digest in the manifest, on the bytes that are then used. A file that is not there may have been pruned
since the head was read, so the head is read again.
"""

import errno
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, cast

import msgspec

from ctisync.core import json_text, wire
from ctisync.core.health import CheckResult, failed, mib, ok
from ctisync.core.json_text import UNDECODABLE, Excess, Scan, TooMany, decode_as
from ctisync.core.manifest import (
    HEAD,
    LONGEST_HEAD,
    LONGEST_MANIFEST,
    LONGEST_SEGMENT,
    Manifest,
    MirroredSnapshot,
    MirrorFile,
    Segment,
    WrongMirror,
    edges,
    head_of,
    manifest_name,
    manifest_of,
    safe_name,
)
from ctisync.core.model import Change, Consumer, ConsumerInfo, Mirrored, OffsetRange, Snapshot
from ctisync.core.state import RefusedSnapshot
from ctisync.errors import (
    CtisyncError,
    FeedRefused,
    FeedUnreachable,
    ReplyTooLarge,
    SnapshotRefused,
    UsageError,
)
from ctisync.escaping import quoted
from ctisync.feed.snapshot.file import LocalSnapshot
from ctisync.feed.snapshot.spool import SpoolFolder
from ctisync.system.files import open_inside

_TRIES: Final = 5
_PAUSE: Final = 0.2
"""Seconds between two tries: a head that is being replaced can be missing on some network disks."""
_MISSING: Final = (errno.ENOENT, errno.ESTALE)


class _Mark(msgspec.Struct):
    """What is read of each change of a segment."""

    offset: int
    inserted_at: Any = None


_mark_decoder: Final = msgspec.json.Decoder(_Mark)


class _Lines(NamedTuple):
    """A segment that was read and checked, as the offset and the text of each change."""

    name: str
    changes: list[tuple[int, bytes]]


class FolderFeed:
    """`ports.Feed` on a mirror folder, for one pass. `spool`: where a snapshot is copied to before it is
    read."""

    retries = 0

    def __init__(self, root: Path, consumer: Consumer, spool: SpoolFolder) -> None:
        self.received = 0
        self._root = root
        self._consumer = consumer
        self._folders = (safe_name(consumer.context), safe_name(consumer.name))
        self._spool = spool
        self._clock = spool.pass_limits.clock
        self._limits = spool.pass_limits.limits
        self._loaded: Manifest | None = None
        self._lines = _Lines("", [])

    @property
    def _folder(self) -> Path:
        return self._root.joinpath(*self._folders)

    @property
    def _manifest(self) -> Manifest:
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def check_time(self) -> None:
        self._spool.pass_limits.check_time()

    def consumer_info(self) -> ConsumerInfo:
        self._loaded = None
        manifest = self._manifest
        newest = manifest.snapshots[-1]
        public = manifest.feed.get("is_public")
        return ConsumerInfo(
            manifest.last_offset,
            Snapshot(newest.name, newest.offset),
            public if isinstance(public, bool) else None,
            wire.identity(manifest.feed),
            Mirrored(manifest.checked_at, manifest.floor),
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

    def _load(self) -> Manifest:
        """By the head. It is read again if what it names is not there: a newer one may be."""
        for left in reversed(range(_TRIES)):
            try:
                with self._errors(HEAD):
                    head = head_of(self._read(HEAD, LONGEST_HEAD))
                    text = self._checked(head.manifest, LONGEST_MANIFEST)
                    manifest = manifest_of(text, str(self._consumer))
                    name = manifest_name(manifest.serial, head.manifest.sha256)
                    if head.manifest.name != name:
                        raise WrongMirror(f"it names {head.manifest.name}, which has another name")
                return manifest
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
            raise FeedRefused(f"changes {offsets} of {self._folder} cannot be read: {error}") from None

    def _lines_of(self, segment: Segment) -> _Lines:
        """The last one stays in memory: the next range begins in it."""
        if self._lines.name != segment.name:
            with self._errors(segment.name):
                packed = self._checked(segment, LONGEST_SEGMENT)
                self._lines = _Lines(segment.name, _lines_in(unpacked(packed, segment.raw_size), segment))
        return self._lines

    def _checked(self, file: MirrorFile, most: int) -> bytes:
        """The bytes of a file, which are those that the manifest means."""
        if file.size > most:
            raise WrongMirror(f"it would have {file.size} bytes, at most {most} are accepted")
        content = self._read(file.name, file.size)
        if len(content) != file.size or hashlib.sha256(content).hexdigest() != file.sha256:
            raise WrongMirror(f"{file.name} is damaged: it has not the size and the digest that it should")
        return content

    def _read(self, name: str, most: int) -> bytes:
        """At most one byte more than `most`."""
        self.check_time()
        with self._opened(name) as file:
            content = file.read(most + 1)
        self._count(len(content))
        if len(content) > most:
            raise WrongMirror(f"{name} is damaged: it has more than {most} bytes")
        return content

    def _opened(self, name: str) -> BinaryIO:
        return open_inside(self._root, self._folders, name)

    def _count(self, received: int) -> None:
        self.received += received

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Errors of reading the file of this name become those of ctisync."""
        try:
            yield
        except WrongMirror as error:
            raise FeedRefused(
                f"the mirror cannot be used: {self._folder / name}: {error}",
                hint="copy the mirror again (each file is checked against its digest)",
            ) from None
        except OSError as error:
            place = error.filename or name
            if error.errno in _MISSING:
                raise FeedUnreachable(
                    f"the mirror {self._folder} is not complete: {place}: {error.strerror}",
                    hint=f"mount the disk, or copy the mirror again; then: ls -l {quoted(self._folder)}",
                ) from None
            raise FeedRefused(
                f"the mirror {self._folder} cannot be read: {place}: {error.strerror}",
                hint=f"ls -l {quoted(self._folder)}",
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


def unpacked(packed: bytes, size: int) -> bytes:
    """The `size` bytes of a segment's lines. Raises WrongMirror."""
    import zstandard

    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(packed) as reader:
            text = reader.read(size + 1)
    except zstandard.ZstdError as error:
        raise WrongMirror(f"it cannot be decompressed: {error}") from None
    if len(text) != size:
        raise WrongMirror(f"it has not the {size} bytes of changes that it should")
    return text


def _lines_in(text: bytes, segment: Segment) -> list[tuple[int, bytes]]:
    """The changes of a segment, which are as the manifest says. Raises WrongMirror."""
    if text and not text.endswith(b"\n"):
        raise WrongMirror("its last line has no end")
    lines = text.split(b"\n")[:-1]
    try:
        marks = [decode_as(line, _mark_decoder) for line in lines]
    except UNDECODABLE as error:
        raise WrongMirror(f"a line is no change: {error}") from None
    before = segment.after
    for mark in marks:
        if not before < mark.offset <= segment.to:
            raise WrongMirror(f"offset {mark.offset} follows {before}")
        before = mark.offset
    ends = edges([(mark.offset, mark.inserted_at) for mark in marks])
    if len(marks) != segment.count or ends != (segment.first, segment.last):
        raise WrongMirror("its changes are not those that the manifest says")
    return [(mark.offset, line) for mark, line in zip(marks, lines, strict=True)]
