"""A feed without HTTP, for tests that run thousands of passes. A test compares it with `CtiFeed`.

server = MemoryServer()
server.history.create("CVE-1", {})
server.offer_snapshot()
passed(parts_of(consumer, feed=MemoryFeed(server), ...))
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ctisync.core import wire
from ctisync.core.model import Change, ConsumerInfo, OffsetRange, Record, Snapshot
from ctisync.core.state import RefusedSnapshot
from ctisync.errors import AccessRefused, CtisyncError, FeedRefused, SnapshotChanged, SnapshotRefused
from ctisync.feed.client import Prefetch
from tests.support.feed_history import History

Json = Any
Spoil = Callable[[list[Json]], list[Json]]
"""From the `data` of a reply with changes to the one that is sent instead."""

_LINES_A_BATCH = 3


@dataclass(frozen=True)
class Offered:
    """A snapshot on the server: its history, its offset, and whether its end is damaged."""

    history: History
    offset: int
    lines: list[bytes]
    damaged: bool


@dataclass
class MemoryServer:
    """The server: its true content, and what it sends instead. Attributes may be changed at any time.

    `last_offset`: sent instead of that of the history, if set; `spoils`: each alters one reply with changes;
    `failure`: raised by each request while it is set; `exchanged`: the next snapshot that is read while it is
    downloaded becomes another file.
    """

    history: History = field(default_factory=lambda: History("vd_1.0.0"))
    snapshots: dict[str, Offered] = field(default_factory=dict)
    link: str | None = None
    last_offset: int | None = None
    spoils: list[Spoil] = field(default_factory=list)
    failure: CtisyncError | None = None
    exchanged: bool = False
    downloads: list[str] = field(default_factory=list)

    def offer_snapshot(self, offset: int | None = None, *, damaged: bool = False) -> str:
        """Offer a snapshot as of an offset (default: `reported_offset`) from now on; returns its link."""
        at = self.reported_offset if offset is None else offset
        lines = list(self.history.expected_records(at).values())
        self.link = f"https://cti.example.org/store/{at}_{1_746_459_961 + len(self.snapshots)}.zip"
        self.snapshots[self.link] = Offered(self.history, at, lines, damaged)
        return self.link

    @property
    def offered(self) -> Offered | None:
        return None if self.link is None else self.snapshots[self.link]

    @property
    def reported_offset(self) -> int:
        """The last offset that the server sends."""
        return self.history.last_offset if self.last_offset is None else self.last_offset

    def reset(self, first_offset: int) -> None:
        """The server starts again: another history, no snapshot."""
        self.history = History(self.history.context, first_offset)
        self.link = self.last_offset = None

    def consumer(self) -> Json:
        self._fail()
        offset = None if self.offered is None else self.offered.offset
        information = {
            "last_offset": self.reported_offset,
            "last_snapshot_link": self.link,
            "last_snapshot_offset": offset,
        }
        return {"data": information}

    def changes(self, after: int, to: int) -> list[Json]:
        self._fail()
        reply: list[Json] = list(self.history.served(after, to))
        return self.spoils.pop(0)(reply) if self.spoils else reply

    def snapshot(self, link: str) -> Offered:
        self._fail()
        if link not in self.snapshots:
            raise AccessRefused(f"{link} answers 404")
        self.downloads.append(link)
        return self.snapshots[link]

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


def at_once(job: Callable[[], None], _name: str) -> bool:
    """`threads.Start` without a thread, so that the order of all events is fixed."""
    job()
    return True


class MemoryFeed:
    """`ctisync.ports.PassFeed` on a MemoryServer, for one pass. `prefetch` fetches at once."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server
        self._ahead = Prefetch(self._fetch_changes, at_once)

    def consumer_info(self) -> ConsumerInfo:
        self._ahead.drop()
        return wire.consumer_info(self._server.consumer())

    def changes(self, offsets: OffsetRange) -> list[Change]:
        return self._ahead.changes(offsets)

    def prefetch(self, offsets: OffsetRange) -> None:
        self._ahead.start(offsets)

    def _fetch_changes(self, offsets: OffsetRange) -> list[Change]:
        changes: list[Change] = []
        after, is_repeated = offsets.after, False
        while after < offsets.to:
            reply = [wire.change(item) for item in self._server.changes(after, offsets.to)]
            if not reply and is_repeated:
                break
            for change in reply:
                if not after < change.offset <= offsets.to:
                    raise FeedRefused(
                        f"changes {offsets} are out of order or out of range at {change.offset}"
                    )
                after = change.offset
            changes += reply
            is_repeated = True
        return changes

    def fetch_snapshot(
        self, snapshot: Snapshot, refused: RefusedSnapshot | None, keep_alive: Callable[[], None]
    ) -> "MemorySnapshot":
        self._ahead.drop()
        keep_alive()
        if refused is not None and refused.link == snapshot.link:
            raise SnapshotRefused(f"{snapshot.link} was refused before: {refused.reason}")
        return MemorySnapshot(snapshot.link, self._server.snapshot(snapshot.link))

    def open_snapshot(
        self, snapshot: Snapshot, refused: RefusedSnapshot | None, keep_alive: Callable[[], None]
    ) -> "MemorySnapshot":
        file = self.fetch_snapshot(snapshot, refused, keep_alive)
        file.exchanged, self._server.exchanged = self._server.exchanged, False
        return file

    def tidy(self) -> None:
        """Does nothing: no download uses the disk."""


class MemorySnapshot:
    """`ctisync.ports.SnapshotFile`; damage is found at the end, like a wrong CRC."""

    def __init__(self, link: str, offered: Offered) -> None:
        self._link = link
        self._offered = offered
        self.size: int | None = sum(map(len, offered.lines))
        self.position = 0
        self.exchanged = False

    def check_disk_space(self) -> None:
        """Does nothing: it is not on the disk."""

    def member_names(self) -> list[str]:
        return []

    def records(self, highest_offset: int) -> Iterator[list[Record]]:
        records = [wire.record(line) for line in self._offered.lines]
        for start in range(0, len(records), _LINES_A_BATCH):
            batch = records[start : start + _LINES_A_BATCH]
            if any(record.offset > highest_offset for record in batch):
                raise SnapshotRefused(f"a line lies above offset {highest_offset}")
            yield batch
            self.position += sum(len(record.line) for record in batch)
            if self.exchanged:
                raise SnapshotChanged("it is another file now")
        if self._offered.damaged or not records:
            raise SnapshotRefused("the snapshot's end is damaged, or there is nothing in it")

    def as_refused(self, reason: str) -> RefusedSnapshot:
        return RefusedSnapshot(link=self._link, etag=None, size=self.size, reason=reason)

    def close(self) -> None:
        """Does nothing: no more is coming in."""

    def discard(self) -> None:
        """Does nothing: it is not on the disk."""
