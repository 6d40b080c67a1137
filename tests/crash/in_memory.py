"""Passes in this process, on the in-memory store and straight on a feed's replies: thousands in seconds."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, NoReturn
from urllib.parse import urlsplit

from ctisync.core import json_text, wire
from ctisync.core.model import Change, Consumer, ConsumerInfo, Json, OffsetRange, Record, Snapshot
from ctisync.core.state import ConsumerState, RefusedSnapshot
from ctisync.core.steps import Policy
from ctisync.core.watches import Watch
from ctisync.errors import CtisyncError, HookFailed
from ctisync.feed.client import Prefetch
from ctisync.feed.snapshot import records as archive
from ctisync.ports import SnapshotFile
from tests.crash.stories import Story
from tests.support import faults_ports
from tests.support.clock import FakeClock
from tests.support.faults import Effect, Effects, Fault, How, Killed, When
from tests.support.feed_server import Kind, Request
from tests.support.feed_simulator import FeedSimulator
from tests.support.log import KeptLog
from tests.support.memory_feed import at_once
from tests.support.memory_store import Kept, MemoryStorage, MemoryStore
from tests.support.one_pass import parts_of, passed

KILLED = -9
LATER = 7200.0


class Ended(NamedTuple):
    code: int
    effects: tuple[Effect, ...]


class InMemoryPasses:
    """One story: `begin` anew, `run` a pass, look at what is `kept`, which `commands` were accepted and what
    `downloads` there were,
    and which ids were `delivered` to the hook of a watch, call by call."""

    def __init__(self, story: Story, feed: FeedSimulator, watches: Sequence[Watch] = ()) -> None:
        self.story = story
        self.consumer = Consumer(feed.context, feed.consumer)
        self.commands: list[int] = []
        self.downloads: list[str] = []
        self.watches: Sequence[Watch] = watches
        self.delivered: list[list[str]] = []
        self.hook_works = True
        self._simulator = feed
        self._storage = MemoryStorage()
        self._passes = 0
        if story.before is not None:
            story.before(feed)
            assert self.run().code == 0
        self.last_offset = story.then(feed)
        self._start = self._storage.get(self.consumer)

    def begin(self) -> None:
        self._storage = MemoryStorage()
        self._storage.put(self.consumer, self._start)
        self.commands.clear()
        self.downloads.clear()
        self.delivered.clear()
        self._passes = 1

    def run(self, fault: Fault | None = None) -> Ended:
        effects = Effects(fault, die=lambda: None)
        self._passes += 1
        clock = FakeClock()
        clock.advance(seconds=self._passes * LATER)
        store = MemoryStore(faults_ports.MortalStorage(self._storage, effects))
        try:
            passed(
                parts_of(
                    self.consumer,
                    feed=faults_ports.feed_with(_DirectFeed(self._simulator, self.downloads), effects),
                    store=faults_ports.store_with(store, effects),
                    commands=faults_ports.commands_with(self, effects),
                    clock=clock,
                    log=KeptLog(),
                    policy=Policy(),
                    watches=self.watches,
                    run_match_hook=partial(self._hook, effects),
                )
            )
        except CtisyncError as error:
            return Ended(error.exit_code, tuple(effects.recorded))
        except Killed:
            return Ended(KILLED, tuple(effects.recorded))
        return Ended(0, tuple(effects.recorded))

    def send_update(self, index: str, offset: int) -> None:
        """`ports.CommandManager`: whatever comes is accepted."""
        self.commands.append(offset)

    def _hook(self, effects: Effects, _watch: str, notices: bytes, _meanwhile: Callable[[], None]) -> bool:
        """A hook that keeps the ids of what it gets."""
        ids = [item["id"] for item in json.loads(notices)["records"]]
        try:
            effects.around(Effect("hook", "match"), lambda: self.delivered.append(ids), _failed)
        except HookFailed:
            return False
        return self.hook_works

    @property
    def state(self) -> ConsumerState:
        return self.kept.state

    @property
    def kept(self) -> Kept:
        return self._storage.get(self.consumer)

    def lines(self) -> list[bytes] | None:
        if self.kept.content is None:
            return None
        return list(MemoryStore(self._storage).export(self.consumer))


def _failed(_how: How, _when: When) -> NoReturn:
    raise HookFailed("as ordered")


class _DirectFeed:
    """`ports.PassFeed` on what the simulated server would answer, without a network and without a disk."""

    def __init__(self, simulator: FeedSimulator, downloads: list[str]) -> None:
        self._simulator = simulator
        self._downloads = downloads
        self._ahead = Prefetch(self._fetch_changes, at_once)

    def consumer_info(self) -> ConsumerInfo:
        return wire.consumer_info(self._ask("info", self._simulator.consumer_path))

    def changes(self, offsets: OffsetRange) -> list[Change]:
        return self._ahead.changes(offsets)

    def prefetch(self, offsets: OffsetRange) -> None:
        self._ahead.start(offsets)

    def _fetch_changes(self, offsets: OffsetRange) -> list[Change]:
        query = {"from_offset": str(offsets.after), "to_offset": str(offsets.to)}
        reply = self._ask("changes", self._simulator.consumer_path + "/changes", query)
        return [wire.change(item) for item in reply["data"]]

    def fetch_snapshot(
        self, snapshot: Snapshot, refused: RefusedSnapshot | None, keep_alive: Callable[[], None]
    ) -> SnapshotFile:
        self._downloads.append(snapshot.link)
        keep_alive()
        return _DirectFile(self._simulator.files[urlsplit(snapshot.link).path].body)

    open_snapshot = fetch_snapshot

    def tidy(self) -> None:
        """Nothing lies anywhere."""

    def _ask(self, kind: Kind, path: str, query: dict[str, str] | None = None) -> Json:
        return json_text.decode(self._simulator.reply_to(Request(kind, "GET", path, query or {}, {})).body)


class _DirectFile:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self.size: int | None = len(body)
        self.position = 0

    def check_disk_space(self) -> None:
        """Nothing lies anywhere."""

    def member_names(self) -> list[str]:
        return []

    def records(self, highest_offset: int) -> Iterator[list[Record]]:
        for batch in archive.records(io.BytesIO(self._body), highest_offset):
            half = len(batch) // 2
            yield batch[:half]
            yield batch[half:]

    def as_refused(self, reason: str) -> RefusedSnapshot:
        return RefusedSnapshot("link", None, self.size, reason)

    def close(self) -> None:
        """It is whole."""

    def discard(self) -> None:
        """Nothing lies anywhere."""
