"""A mirror as the feed of a pass.

Its files may be on a stick, on a network disk, on a web server, or in a copy that is not finished: each is
checked by the size and the digest in the manifest, on the bytes that are then used. A file that is not there
may have been pruned since the head was read, so the head is read again.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO, Final, NamedTuple

from msgspec.structs import replace

from ctisync.core import json_text, wire
from ctisync.core.health import CheckResult, failed, mib, ok
from ctisync.core.json_text import UNDECODABLE, Excess, Scan, TooMany
from ctisync.core.manifest import (
    HEAD,
    LONGEST_SEGMENT,
    SIGNATURE,
    Manifest,
    MirroredSnapshot,
    Segment,
    WrongMirror,
    available,
    safe_name,
)
from ctisync.core.model import Change, Consumer, ConsumerInfo, OffsetRange, Snapshot
from ctisync.core.publication import Publication, checked, publication, signature_of
from ctisync.core.segment import unpacked
from ctisync.core.state import RefusedSnapshot
from ctisync.core.trust import Serials, Trust, check_age, check_serial, with_mirror
from ctisync.errors import (
    CtisyncError,
    FeedRefused,
    FeedUnreachable,
    ReplyTooLarge,
    UsageError,
)
from ctisync.feed.mirror_files import Download, MirrorFiles
from ctisync.feed.snapshot.file import LocalSnapshot
from ctisync.feed.snapshot.spool import SpoolFolder
from ctisync.signatures import signer_of

_TRIES: Final = 5
_PAUSE: Final = 0.2
"""Seconds between two tries: a head that is being replaced can be missing on some network disks."""
_ANYBODY: Final = Trust()


class _Lines(NamedTuple):
    """A segment that was read and checked, as the offset and the text of each change."""

    name: str
    changes: list[tuple[int, bytes]]


class MirrorFeed:
    """`ports.Feed` on a mirror, for one pass. `spool`: where a snapshot is copied to before it is
    read."""

    def __init__(
        self, files: MirrorFiles, consumer: Consumer, spool: SpoolFolder, trust: Trust = _ANYBODY
    ) -> None:
        self._trust = trust
        self._files = files
        self._consumer = consumer
        self._folders = (safe_name(consumer.context), safe_name(consumer.name))
        self._root, self._place = files.place(()), files.place(self._folders)
        self._spool = spool
        self._clock = spool.pass_limits.clock
        self._limits = spool.pass_limits.limits
        self._loaded: Publication | None = None
        self._serials: Serials = ()
        self._lines = _Lines("", [])

    @property
    def received(self) -> int:
        return self._files.received

    @property
    def retries(self) -> int:
        return self._files.retries

    @property
    def _manifest(self) -> Manifest:
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded.manifest

    def check_time(self) -> None:
        self._spool.pass_limits.check_time()

    def consumer_info(self) -> ConsumerInfo:
        loaded = self._loaded = self._load()
        manifest = loaded.manifest
        floor, newest = available(manifest, partial(self._files.has, self._folders))
        public = manifest.feed.get("is_public")
        return ConsumerInfo(
            manifest.last_offset,
            None if newest is None else Snapshot(newest.name, newest.offset),
            public if isinstance(public, bool) else None,
            wire.identity(manifest.feed),
            replace(loaded.mirrored, floor=floor),
        )

    def publication(self) -> Publication:
        """By the head as it is now."""
        self._loaded = self._load()
        return self._loaded

    def signature(self, publication: Publication) -> bytes | None:
        """The bytes of its signature, if there is one."""
        if publication.signature is not None:  # these bytes are those that were checked
            return publication.signature
        with self._errors(publication.file.name):
            return signature_of(self._read, publication.file)

    def segment(self, segment: Segment) -> bytes:
        """The bytes of the file, with the changes that the manifest says."""
        with self._errors(segment.name):
            content = checked(self._read, segment, LONGEST_SEGMENT)
            unpacked(content, segment)
            return content

    def changes(self, offsets: OffsetRange) -> list[Change]:
        try:
            return self._changes(offsets)
        except FeedUnreachable as error:
            if not error.is_missing:
                raise
            self._loaded = None
            return self._changes(offsets)

    def prefetch(self, offsets: OffsetRange) -> None:
        """Does nothing: a segment is read within milliseconds."""

    def fetch_snapshot(
        self, snapshot: Snapshot, refused: RefusedSnapshot | None, keep_alive: Callable[[], None]
    ) -> LocalSnapshot:
        entry = self._entry(snapshot)
        with self._errors(entry.name):
            file = self._files.fetch(self._folders, Download(entry, self._spool, refused, keep_alive))
        file.check_disk_space()
        return file

    open_snapshot = fetch_snapshot

    def tidy(self) -> None:
        self._files.tidy(self._spool)

    def snapshot_bytes(self, snapshot: Snapshot) -> int | None:
        try:
            return self._entry(snapshot).size
        except CtisyncError:
            return None

    def diagnose(self) -> tuple[list[CheckResult], int | None]:
        self._files.is_persistent = False
        try:
            info = self.consumer_info()
            entry = self._manifest.snapshots[-1]
            self._read(entry.name, 0)
        except CtisyncError as error:
            return [failed("feed", error.message, error.hint, about=self._consumer)], None
        at = f"{self._manifest.checked_at:%Y-%m-%dT%H:%M:%SZ}"
        text = f"the mirror {self._root} has offset {info.last_offset:,}, the last of the feed at {at}"
        offered = f"the mirror has one of offset {entry.offset:,}, of {mib(entry.size)}"
        results = [ok("feed", text, about=self._consumer), ok("snapshot", offered, about=self._consumer)]
        return results, entry.size

    def fetch_from(self, url: str, keep_alive: Callable[[], None]) -> LocalSnapshot:
        raise UsageError(
            "the feed is a mirror, so ctisync downloads nothing",
            hint="download the snapshot with another program, and pass the file",
        )

    def store_stream(self, stream: BinaryIO, link: str) -> LocalSnapshot:
        return self._spool.store_stream(stream, link)

    def _load(self) -> Publication:
        """It is read again if what the head names is not there: a newer head may be."""
        verify = partial(signer_of, keys=self._trust.keys) if self._trust.keys else None
        for left in reversed(range(_TRIES)):
            try:
                with self._errors(HEAD):
                    loaded = publication(self._read, str(self._consumer), verify)
                check_age(loaded.manifest.made_at, self._trust, self._clock.now())
                check_serial(loaded.mirrored, self._serials)
                self._serials = with_mirror(loaded.mirrored, self._serials)
                return loaded
            except (FeedUnreachable, FeedRefused) as error:
                if not left or not (isinstance(error, FeedRefused) or error.is_missing):
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
                is_missing=True,
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
        if name.endswith(SIGNATURE) and not self._files.has(self._folders, name):
            raise FeedUnreachable(f"{name} is not there", is_missing=True)
        return self._files.read(self._folders, name, most)

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
