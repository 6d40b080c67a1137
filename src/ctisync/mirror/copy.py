"""One pass of `ctisync mirror` whose feed is a mirror, too: a copy of its manifest and of its signature,
unchanged, with all files that the manifest names.

Until all of them are here, readers have the last state. What the folder has already is not read again.
"""

from dataclasses import dataclass

from msgspec.structs import replace

from ctisync.core.manifest import Manifest, MirroredSnapshot, is_continued
from ctisync.core.model import OffsetRange, Snapshot
from ctisync.core.publication import Publication
from ctisync.core.trust import check_serial, with_mirror
from ctisync.errors import FeedUnreachable
from ctisync.mirror.publish import MirrorPass, Plan
from ctisync.mirror.source import CopySource


@dataclass(kw_only=True)
class Copier(MirrorPass):
    """A pass whose feed is a mirror."""

    feed: CopySource

    def run(self) -> None:
        try:
            self._copy()
        except FeedUnreachable as error:
            if not error.is_missing:
                raise
            self._copy()  # a newer head may be there, which names other files

    def plan(self) -> Plan:
        published, manifest = self.folder.manifest(), self._offered().manifest
        if published is not None and self._is_older(manifest, published):
            manifest = published
        after = manifest.floor if published is None else published.last_offset
        missing = self._missing(manifest)
        return Plan(
            None if published is None else published.last_offset,
            OffsetRange(after, max(after, manifest.last_offset)),
            Snapshot(missing[-1].name, missing[-1].offset) if missing else None,
            sum(each.size for each in missing),
        )

    def _copy(self) -> None:
        published, offered = self.folder.manifest(), self._offered()
        manifest = offered.manifest
        if published is not None and self._is_older(manifest, published):
            why = f"the mirror is behind: its last offset is {manifest.last_offset}, that of "
            why += f"{self.folder.path} is {published.last_offset}; nothing was published"
            consumer = str(self.consumer)
            self.log.event("warning", "pass-ended", consumer=consumer, outcome="mirror-behind", why=why)
            return
        for snapshot in self._missing(manifest):
            self._add_snapshot(snapshot)
        with self.log.progress("mirror", manifest.last_offset - manifest.floor, "offsets") as bar:
            for segment in manifest.segments:
                self.feed.check_time()
                if not self.folder.has([segment.name]):
                    self.folder.add(segment.name, self.feed.segment(segment))
                bar.reached(segment.to - manifest.floor)
        serials = with_mirror(offered.mirrored, self.notes.feed.serials)
        self.notes = replace(self.notes, feed=replace(self.notes.feed, serials=serials))
        # An idle pass does not ask for it: if the head is here, the signature is.
        signature = None if manifest == published else self.feed.signature(offered)
        self._publish(manifest, lambda *_: signature)

    def _offered(self) -> Publication:
        """Raises Untrusted if it is older than one that was published here."""
        offered = self.feed.publication()
        check_serial(offered.mirrored, self.notes.feed.serials)
        return offered

    def _is_older(self, manifest: Manifest, published: Manifest) -> bool:
        """Raises FeedRefused if it is of another history."""
        if not is_continued(published, manifest):
            if self.restarts:
                return False
            raise self._another_history()
        return (manifest.last_offset, manifest.checked_at) < (published.last_offset, published.checked_at)

    def _missing(self, manifest: Manifest) -> list[MirroredSnapshot]:
        return [each for each in manifest.snapshots if not self.folder.has([each.name])]

    def _add_snapshot(self, entry: MirroredSnapshot) -> None:
        file = self._fetch(Snapshot(entry.name, entry.offset))
        self.folder.move_here(file.path, entry.name)
        file.discard()
