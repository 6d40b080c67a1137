"""A feed, its mirror, a copy of it on another host, and a reader there: each command in its own process."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Ctisync
from tests.mirror.parts import Mirror
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.records import comparable

CONSUMER = "vd_1.0.0/vd_4.8.0"


class Far:
    """`near` mirrors the feed to `folder`, and `far` follows a copy of that; `direct` follows the feed."""

    def __init__(self, home: Path, feed: FeedSimulator) -> None:
        self.feed = feed
        self.folder = home / "mirror"
        self.copy = home / "stick"
        self.near, self.far, self.direct = (self._host(home / name) for name in ("near", "far", "direct"))
        for host in (self.near, self.direct):
            host.environ["CTISYNC_CTI__URL"] = feed.url
        self.far.environ["CTISYNC_CTI__URL"] = self.copy.as_uri()
        self.near.environ["CTISYNC_MIRROR__SNAPSHOT_AGE"] = "0"
        self._relay: Ctisync | None = None
        self._home = home

    @staticmethod
    def _host(home: Path) -> Ctisync:
        home.mkdir()
        return Ctisync(home)

    @property
    def place(self) -> Path:
        """The files of the consumer, in the copy."""
        return self.copy / CONSUMER

    def mirror(self, *options: str) -> Any:
        return self.near.run("mirror", str(self.folder), *options)

    def relay_by(self, url: str) -> None:
        """From now on, the copy is a mirror of the mirror at `url`."""
        self._relay = self._host(self._home / "relay")
        self._relay.environ |= {"CTISYNC_CTI__URL": url, "CTISYNC_ON_FEED_RESET": "init"}

    def carry(self) -> None:
        """Copy the folder, without what is not served."""
        if self._relay is not None:
            assert (ended := self._relay.run("mirror", str(self.copy))).returncode == 0, ended.stderr
            return
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.folder, self.copy, ignore=shutil.ignore_patterns(".ctisync"))

    def manifest(self) -> dict[str, Any]:
        home = self.folder / CONSUMER
        head = json.loads((home / "head.json").read_bytes())
        manifest: dict[str, Any] = json.loads((home / head["manifest"]["name"]).read_bytes())
        return manifest

    def in_step(self, code: int = 0) -> None:
        """The mirror and both readers go on, which end with this code; they then have the same records."""
        assert (ended := self.mirror()).returncode == 0, ended.stderr
        self.carry()
        exports = []
        for host in (self.far, self.direct):
            ended = host.run("sync")
            assert ended.returncode == code, ended.stderr
            exports.append([comparable(line) for line in host.run("export").stdout.encode().splitlines()])
        assert exports[0] == exports[1]


@pytest.fixture
def mirror(whole: Mirror, tmp_path: Path) -> Mirror:
    """A copy of the one that the tests of a file share, which a test may damage."""
    return whole.cloned(tmp_path)


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Far]:
    with FeedSimulator() as feed:
        populate(feed.history, 30)
        feed.publish_snapshot()
        churn(feed.history, 40)
        yield Far(tmp_path, feed)
