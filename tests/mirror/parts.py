"""The publisher and a reader of a mirror in this process, with a clock that stands still."""

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from ctisync.core.model import Change, Consumer, ConsumerInfo, OffsetRange
from ctisync.core.trust import Trust
from ctisync.feed.http.budget import PassLimits
from ctisync.feed.mirror import MirrorFeed
from ctisync.feed.mirror_files import LocalFiles
from ctisync.feed.snapshot.spool import SpoolFolder
from ctisync.mirror.publish import MirrorPass, Publisher
from ctisync.settings import CtiSettings, Settings
from ctisync.settings.model import MirrorSettings
from ctisync.signatures import SigningKey
from ctisync.wiring import opened_publisher
from tests.support.clock import FakeClock
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.log import KeptLog

CONSUMER = Consumer()
ANYBODY = Trust()
MINISIGN = Path(__file__).parents[1] / "data" / "minisign"
"""What the real minisign has made; its README says how."""
PUBLIC = (MINISIGN / "plain.pub").read_text().splitlines()[1]
"""The public key of `plain.key`."""


class Mirror:
    """`publish` runs one pass over `feed`, with these settings."""

    def __init__(self, home: Path, feed: FeedSimulator) -> None:
        self.home = home
        self.root = home / "mirror"
        self.feed = feed
        self.clock = FakeClock()
        self.log = KeptLog()
        self.settings = MirrorSettings(snapshot_age=0.0)
        self.on_feed_reset = "refuse"
        self.key: SigningKey | None = None
        self.trusted: tuple[str, ...] = ()

    @property
    def place(self) -> Path:
        return self.root / str(CONSUMER)

    @contextmanager
    def opened(self) -> Iterator[Publisher]:
        with self.opened_of(self.feed.url, self.root) as publisher:
            assert isinstance(publisher, Publisher)
            publisher.key = self.key
            yield publisher

    def opened_of(self, url: str, root: Path) -> AbstractContextManager[MirrorPass]:
        """A pass over the feed at `url`, into the folder `root`."""
        settings = Settings(
            cti=CtiSettings(url=url, retry_budget=0.2, trusted_keys=self.trusted),
            mirror=self.settings,
            state_dir=self.home,
            on_feed_reset=self.on_feed_reset,  # type: ignore[arg-type]
        )
        return opened_publisher(settings, root, CONSUMER, self.clock, self.log, writes=True)

    def publish(self) -> None:
        with self.opened() as publisher:
            publisher.run()

    def copied(self) -> Path:
        """A copy of the folder, without what is not served."""
        copy = self.home / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.root, copy, ignore=shutil.ignore_patterns(".ctisync"))
        return copy

    def cloned(self, home: Path) -> "Mirror":
        """A mirror of its own, with the same files and the same key."""
        clone = Mirror(home, self.feed)
        clone.key = self.key
        shutil.copytree(self.root, clone.root)
        return clone

    def reader(self, root: Path | None = None, trust: Trust = ANYBODY) -> MirrorFeed:
        """Its time is that of the publisher's first pass."""
        return reader_of(self.home / "spool", root or self.root, trust)


@contextmanager
def published(
    home: Path, *, records: int = 5, changes: int = 1200, key: SigningKey | None = None
) -> Iterator[Mirror]:
    """A mirror of a feed with so many records in its snapshot, and changes after it."""
    with FeedSimulator() as feed:
        populate(feed.history, records)
        feed.publish_snapshot()
        churn(feed.history, changes)
        mirror = Mirror(home, feed)
        mirror.key = key
        mirror.publish()
        yield mirror


def reader_of(spool: Path, root: Path, trust: Trust = ANYBODY) -> MirrorFeed:
    """Of the mirror folder `root`."""
    spool_folder = SpoolFolder(spool / "a.lock", PassLimits(FakeClock()), KeptLog())
    return MirrorFeed(LocalFiles(root), CONSUMER, spool_folder, trust)


Content = tuple[ConsumerInfo, list[Change], bytes]


def read_all(feed: MirrorFeed) -> Content:
    """All that the mirror has."""
    info = feed.consumer_info()
    assert info.mirror is not None
    assert info.last_offset is not None
    assert info.snapshot is not None
    changes = []
    for after in range(info.mirror.floor, info.last_offset, 700):
        changes += feed.changes(OffsetRange(after, min(after + 700, info.last_offset)))
    file = feed.fetch_snapshot(info.snapshot, None, lambda: None)
    try:
        return info, changes, file.path.read_bytes()
    finally:
        file.discard()
