"""A feed in a folder, as a mirror could be: `ctisync.ports.Feed` without HTTP, and without an edit to src.

mirror = Mirror(folder, history)
mirror.publish_snapshot()
mirror.publish_changes()
monkeypatch.setitem(FEEDS, "file", opened_folder)
Settings(cti=CtiSettings(url=mirror.url), ...)
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ctisync.core import json_text, wire
from ctisync.core.health import CheckResult, failed, ok
from ctisync.core.model import Change, Consumer, ConsumerInfo, OffsetRange, Snapshot
from ctisync.core.state import RefusedSnapshot
from ctisync.errors import CtisyncError, FeedUnreachable, UsageError
from ctisync.ports import Clock, Feed, Log, SnapshotFile
from ctisync.settings import Settings
from ctisync.wiring import opened_snapshot_file
from tests.support.feed_history import History
from tests.support.records import encode

CHANGES = "changes.ndjson"
"""A change a line, in the format of the API, ascending by offset."""


class Mirror:
    """Writes the folder."""

    def __init__(self, folder: Path, history: History) -> None:
        self.folder = folder
        self.history = history
        folder.mkdir()

    @property
    def url(self) -> str:
        return self.folder.as_uri()

    def publish_snapshot(self) -> None:
        """A snapshot of now: `OFFSET.ndjson`."""
        text = b"".join(line + b"\n" for line in self.history.expected_records().values())
        (self.folder / f"{self.history.last_offset}.ndjson").write_bytes(text)

    def publish_changes(self) -> None:
        served = self.history.served(self.history.first_offset, self.history.last_offset)
        text = b"".join(encode(each) + b"\n" for each in served)
        (self.folder / CHANGES).write_bytes(text)


class FolderFeed:
    """`open_file` opens a snapshot of the folder."""

    received = 0
    retries = 0

    def __init__(self, folder: Path, open_file: Callable[[Path], SnapshotFile]) -> None:
        self._folder = folder
        self._open_file = open_file

    def consumer_info(self) -> ConsumerInfo:
        changes = self._changes()
        latest = max((int(path.stem) for path in self._folder.glob("[0-9]*.ndjson")), default=None)
        snapshot = None if latest is None else Snapshot(f"{latest}.ndjson", latest)
        last = max([0 if latest is None else latest, *(each.offset for each in changes)])
        return ConsumerInfo(last_offset=last, snapshot=snapshot)

    def changes(self, offsets: OffsetRange) -> list[Change]:
        return [each for each in self._changes() if offsets.after < each.offset <= offsets.to]

    def prefetch(self, offsets: OffsetRange) -> None:
        """Reading the folder again is as fast."""

    def fetch_snapshot(
        self, snapshot: Snapshot, refused: RefusedSnapshot | None, keep_alive: Callable[[], None]
    ) -> SnapshotFile:
        return self._open_file(self._folder / snapshot.link)

    open_snapshot = fetch_snapshot

    def tidy(self) -> None:
        """Nothing is downloaded."""

    def check_time(self) -> None:
        """No limit."""

    def snapshot_bytes(self, snapshot: Snapshot) -> int | None:
        return (self._folder / snapshot.link).stat().st_size

    def diagnose(self) -> tuple[list[CheckResult], int | None]:
        try:
            info = self.consumer_info()
        except CtisyncError as error:
            return [failed("feed", error.message, error.hint)], None
        size = None if info.snapshot is None else self.snapshot_bytes(info.snapshot)
        return [ok("feed", f"{self._folder} has changes up to offset {info.last_offset:,}")], size

    def fetch_from(self, url: str, keep_alive: Callable[[], None]) -> SnapshotFile:
        raise UsageError("a mirror downloads nothing", hint="pass a file to --from")

    def store_stream(self, stream: BinaryIO, link: str) -> SnapshotFile:
        raise UsageError("a mirror stores nothing", hint="pass a file to --from")

    def _changes(self) -> list[Change]:
        try:
            lines = (self._folder / CHANGES).read_bytes().splitlines()
        except OSError as error:
            raise FeedUnreachable(f"{self._folder}: {error.strerror}", hint="mount it") from error
        return [wire.change(json_text.decode(line)) for line in lines]


@contextmanager
def opened_folder(settings: Settings, consumer: Consumer, clock: Clock, log: Log) -> Iterator[Feed]:
    """For `wiring.FEEDS`."""
    folder = Path(url2pathname(urlsplit(settings.cti.url).path))
    yield FolderFeed(folder, lambda path: opened_snapshot_file(path, settings, consumer, clock))
