"""One pass of `ctisync mirror`: snapshot and changes of the feed, then a manifest that names them.

Until the head is replaced, readers have the last state. A pass that was interrupted has left a draft of its
manifest, and the next pass goes on there.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from msgspec.structs import replace

from ctisync.core import wire
from ctisync.core.manifest import (
    FORMAT,
    GRID,
    Edge,
    Keep,
    Manifest,
    MirroredSnapshot,
    Segment,
    base,
    edge,
    full,
    is_due,
    pieces,
    pruned,
    snapshot_name,
)
from ctisync.core.model import ChangeMark, Consumer, ConsumerInfo, OffsetRange, Snapshot
from ctisync.core.segment import packed
from ctisync.core.state import RefusedSnapshot
from ctisync.errors import FeedRefused, ReplyTooLarge, SnapshotRefused
from ctisync.mirror.folder import MirrorFolder, Notes, Sign
from ctisync.mirror.source import CopySource, MirrorSource, OriginalSnapshot
from ctisync.ports import Clock, Log
from ctisync.signatures import SigningKey

_DRAFT_EVERY: Final = 50
"""Segments: what is requested again after an interruption."""


class Plan(NamedTuple):
    """`published`: the last offset of the mirror, None before the first pass. `changes`: what is missing of
    them. `snapshot`: the one to fetch, if any, and its `bytes`, None if unknown."""

    published: int | None
    changes: OffsetRange
    snapshot: Snapshot | None
    bytes: int | None


@dataclass(kw_only=True)
class MirrorPass(ABC):
    """`restarts`: a feed that went back is published anew (`on_feed_reset`). The caller holds the lock."""

    feed: MirrorSource | CopySource
    folder: MirrorFolder
    consumer: Consumer
    clock: Clock
    log: Log
    restarts: bool

    def __post_init__(self) -> None:
        self.notes: Notes = self.folder.notes()

    @abstractmethod
    def run(self) -> None:
        """Raises what the feed raises; the folder then has its last state."""

    @abstractmethod
    def plan(self) -> Plan:
        """What `run` would do now. Writes nothing, and raises what `run` raises at its begin."""

    def begin_cooldown(self, seconds: float, reason: str, server: str | None) -> None:
        feed = self.notes.feed.cooldown_begun(seconds, reason, self.clock.now(), server)
        self._remember(replace(self.notes, feed=feed))

    def _remember(self, notes: Notes) -> None:
        self.notes = notes
        self.folder.remember(notes)

    def _publish(self, manifest: Manifest, sign: Sign) -> None:
        named = {*manifest.files, self.folder.publish(manifest, sign)}
        self._remember(self.folder.tidy(named, replace(self.notes, draft=None)))
        self.feed.tidy()
        self.log.event(
            "info",
            "mirror-published",
            consumer=str(self.consumer),
            serial=manifest.serial,
            offset=manifest.last_offset,
            floor=manifest.floor,
            snapshot_offset=manifest.snapshots[-1].offset,
            bytes=self.folder.written,
        )

    def _fetch(self, snapshot: Snapshot) -> OriginalSnapshot:
        try:
            return self.feed.fetch_snapshot(snapshot, self.notes.feed.refused, self.feed.check_time)
        except SnapshotRefused as error:
            if error.body is not None:
                self._refuse(RefusedSnapshot(snapshot.link, *error.body, error.message))
            raise

    def _refuse(self, snapshot: RefusedSnapshot) -> None:
        self._remember(replace(self.notes, feed=self.notes.feed.snapshot_refused(snapshot)))

    def _another_history(self) -> FeedRefused:
        return FeedRefused(
            f"{self.consumer}: the feed went back, or began anew: the mirror {self.folder.path} has another "
            "history; nothing was published",
            hint='set on_feed_reset = "init" (readers then need init-snapshot), or mirror to a new folder',
        )


@dataclass(kw_only=True)
class Publisher(MirrorPass):
    """A pass whose feed is the CTI API. `key`: signs each manifest."""

    feed: MirrorSource
    keep: Keep
    key: SigningKey | None = None

    def run(self) -> None:
        published = self.folder.manifest()
        info, about = self.feed.source_info()
        checked_at = self.clock.now()
        begun = self._begun(published, info)
        last_offset = self._last_offset(begun, info)
        if last_offset is None:
            return
        snapshots, segments = ((), ()) if begun is None else (begun.snapshots, begun.segments)
        if (due := self._due(snapshots, info.snapshot)) is not None:
            snapshots = (*snapshots, self._fetched(due, last_offset))
        draft = Manifest(
            format=FORMAT,
            consumer=str(self.consumer),
            serial=_serial(published, checked_at),
            made_at=checked_at,
            checked_at=checked_at,
            feed=about,
            last_offset=last_offset,
            floor=segments[0].after if segments else base(snapshots),
            snapshots=snapshots,
            segments=segments,
        )
        self._publish(pruned(self._with_changes(draft), self.keep, self.clock.now()), self._sign)

    def plan(self) -> Plan:
        published = self.folder.manifest()
        info, _ = self.feed.source_info()
        begun = self._begun(published, info)
        snapshots, segments = ((), ()) if begun is None else (begun.snapshots, begun.segments)
        due = self._due(snapshots, info.snapshot)
        first = 0 if due is None else due.offset - due.offset % GRID
        return Plan(
            None if published is None else published.last_offset,
            OffsetRange(segments[-1].to if segments else first, info.last_offset or 0),
            due,
            None if due is None else self.feed.snapshot_bytes(due),
        )

    def _begun(self, published: Manifest | None, info: ConsumerInfo) -> Manifest | None:
        """What the folder has already, also of a pass that was interrupted; None to begin anew. Raises
        FeedRefused if that is of another history than the feed's."""
        draft, is_new = self.notes.draft, False
        if published is not None and not self._is_same(published, info):
            if not self.restarts or info.snapshot is None:
                raise self._another_history()
            is_new = True
        if draft is not None and self._is_same(draft, info) and self.folder.has(draft.files):
            # While the folder still has the old history, a draft with its snapshots is of that.
            old = set() if published is None or not is_new else published.files
            if old.isdisjoint(each.name for each in draft.snapshots):
                return draft
        return None if is_new else published

    def _is_same(self, begun: Manifest, info: ConsumerInfo) -> bool:
        end = begun.segments[-1].to if begun.segments else begun.last_offset
        is_ahead = info.last_offset is None or info.last_offset >= end
        was, now = wire.identity(begun.feed), info.identity
        return is_ahead and (was is None or now is None or was == now)

    def _last_offset(self, begun: Manifest | None, info: ConsumerInfo) -> int | None:
        """None if nothing can be published yet, with a warning."""
        if info.last_offset is None or (info.snapshot is None and (begun is None or not begun.snapshots)):
            outcome, what = "no-snapshot", "snapshot"
            if info.last_offset is None:
                outcome, what = "nothing-known", "last offset"
            why = f"the feed offers no {what} yet; nothing was published"
            consumer = str(self.consumer)
            self.log.event("warning", "pass-ended", consumer=consumer, outcome=outcome, why=why)
            return None
        return info.last_offset

    def _due(self, kept: Sequence[MirroredSnapshot], offered: Snapshot | None) -> Snapshot | None:
        """The offered one, if it is to be fetched. One that was refused is not, while others are here."""
        if offered is None or (kept and self.notes.feed.is_refused(offered)):
            return None
        age = self.keep.snapshot_age
        return offered if is_due(kept, offered.offset, age, self.clock.now()) else None

    def _fetched(self, offered: Snapshot, last_offset: int) -> MirroredSnapshot:
        file = self._fetch(offered)
        with closing(file):
            try:
                return self._add_snapshot(file, offered, max(last_offset, offered.offset))
            except SnapshotRefused as error:
                self._refuse(file.as_refused(error.message))
                file.discard()
                raise

    def _add_snapshot(self, file: OriginalSnapshot, offered: Snapshot, most: int) -> MirroredSnapshot:
        """It is read to its end first: a reader must be able to load it."""
        with self.log.progress("read", file.size, "bytes") as bar:
            highest = 0
            for batch in file.records(most):
                highest = max(highest, *(record.offset for record in batch))
                bar.reached(file.position)
        size, sha256 = self.folder.digest(file.path, self.feed.check_time)
        name = snapshot_name(sha256, offered.link.partition("#")[0].rpartition("/")[2])
        self.folder.move_here(file.path, name)
        file.discard()
        return MirroredSnapshot(
            name=name,
            size=size,
            sha256=sha256,
            offset=offered.offset,
            highest=highest,
            added_at=self.clock.now(),
        )

    def _with_changes(self, draft: Manifest) -> Manifest:
        """With all segments up to its last offset. The last one of the folder is made anew if it still grew:
        then its last change must be the same."""
        is_done = bool(draft.segments) and draft.segments[-1].to == draft.last_offset
        kept = draft.segments if is_done else full(draft.segments)
        last = draft.segments[-1].last if len(kept) < len(draft.segments) else None
        segments = list(kept)
        begin = kept[-1].to if kept else draft.floor
        with self.log.progress("mirror", draft.last_offset - begin, "offsets") as bar:
            for number, piece in enumerate(pieces(begin, draft.last_offset)):
                self.feed.check_time()
                changes = self._changes(piece)
                if number == 0 and last is not None and not _has(changes, last):
                    raise self._another_history()
                segments.append(self._add_segment(piece, changes))
                bar.reached(piece.to - begin)
                if number % _DRAFT_EVERY == 0 and piece.to < draft.last_offset:
                    self._remember(replace(self.notes, draft=replace(draft, segments=tuple(segments))))
        return replace(draft, segments=tuple(segments))

    def _changes(self, offsets: OffsetRange) -> list[tuple[ChangeMark, bytes]]:
        """Of the whole range, in parts if one reply would be too large."""
        try:
            return self.feed.original_changes(offsets)
        except ReplyTooLarge:
            if (half := offsets.first_half) == offsets:
                raise
            return self._changes(half) + self._changes(OffsetRange(half.to, offsets.to))

    def _add_segment(self, offsets: OffsetRange, changes: list[tuple[ChangeMark, bytes]]) -> Segment:
        segment, content = packed(offsets, changes)
        self.folder.add(segment.name, content)
        return segment

    def _sign(self, text: bytes, name: str) -> bytes | None:
        return None if self.key is None else self.key.signature(text, name, self.clock.now())


def _serial(published: Manifest | None, now: datetime) -> int:
    """Higher than before, also if the folder was lost, or restored from a backup: readers remember it."""
    return max(int(now.timestamp()), 1 if published is None else published.serial + 1)


def _has(changes: list[tuple[ChangeMark, bytes]], change: Edge) -> bool:
    return any(edge(mark.offset, mark.inserted_at) == change for mark, _ in changes)
