"""The real parts of a pass: a feed over HTTP, a store, a Command Manager over HTTP."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ctisync.command_manager import CommandManagerClient
from ctisync.core.model import Consumer, Snapshot
from ctisync.core.pass_report import PassReport
from ctisync.core.state import ConsumerState
from ctisync.core.steps import Mode, Policy
from ctisync.core.watches import Watch
from ctisync.errors import CtisyncError
from ctisync.feed.client import CtiFeed
from ctisync.feed.http.budget import PassLimits
from ctisync.feed.snapshot.file import open_file, snapshot_offset
from ctisync.ports import Store
from ctisync.sync.parts import Parts
from ctisync.sync.run_pass import run_pass
from ctisync.system.locks import lock_beside
from tests.support.clock import FakeClock
from tests.support.command_manager import CommandManagerStandIn
from tests.support.feed_simulator import FeedSimulator
from tests.support.log import KeptLog
from tests.support.one_pass import good, parts_of, passed
from tests.support.records import comparable


class World:
    """The parts of one consumer. Each pass is like a new process: only the store and the disk stay.

    `delivered`: what the hooks of `watches` got.
    """

    def __init__(
        self,
        consumer: Consumer,
        make_store: Callable[[], Store],
        folder: Path,
        feed: FeedSimulator,
        manager: CommandManagerStandIn,
    ) -> None:
        self.consumer = consumer
        self.feed = feed
        self.manager = manager
        self.clock = FakeClock()
        self.spool = folder / "spool"
        self.policy = Policy()
        self.cooldown = 0.0
        self.allowed_hosts: tuple[str, ...] = ()
        self.token: str | None = None
        self.token_exchange_url: str | None = None
        self.watches: list[Watch] = []
        self.delivered: list[dict[str, Any]] = []
        self.log = KeptLog()
        self.store = make_store

    def run(self, mode: Mode = "sync") -> CtisyncError | None:
        """Run one pass; returns the error that ended it, if any."""
        return self._pass(mode, passed)

    def load(self, path: Path, packaged: int | None = None) -> CtisyncError | None:
        """`init-snapshot --from` a file, with the offset in its manifest: nothing is asked of the feed."""
        file = open_file(path, PassLimits(self.clock, self.policy.limits))
        offset, _ = snapshot_offset(file, path.name, packaged)

        def load(parts: Parts) -> PassReport:
            return good(run_pass(parts, Snapshot(str(path), offset), file))

        return self._pass("init-snapshot", load)

    def _pass(self, mode: Mode, play: Callable[[Parts], PassReport]) -> CtisyncError | None:
        self.log = KeptLog()
        store = self.store()
        feed = CtiFeed(
            base_url=self.feed.url,
            consumer=self.consumer,
            token=self.token,
            token_exchange_url=self.token_exchange_url,
            ca_file=None,
            retry_budget=30.0,
            lock=lock_beside(self.spool / "ctisync.db", self.consumer),
            log=self.log,
            cooldown=self.cooldown,
            allowed_hosts=self.allowed_hosts,
            pass_limits=PassLimits(self.clock, self.policy.limits),
        )
        try:
            play(
                parts_of(
                    self.consumer,
                    feed=feed,
                    store=store,
                    commands=self._commands(),
                    clock=self.clock,
                    log=self.log,
                    policy=msgspec.structs.replace(self.policy, mode=mode),
                    check_time=feed.check_time,
                    watches=self.watches,
                    run_match_hook=self._hook,
                )
            )
        except CtisyncError as error:
            return error
        finally:
            feed.close()
            store.close()
        return None

    def _hook(self, _watch: str, notices: bytes, _meanwhile: Callable[[], None]) -> bool:
        self.delivered.append(json.loads(notices))
        return True

    def _commands(self) -> CommandManagerClient:
        return CommandManagerClient(
            [self.manager.url],
            self.clock,
            version="5.0.0",
            target_id="vulnerability-detector",
            timeout=10.0,
        )

    @property
    def state(self) -> ConsumerState:
        return self.store().read_state(self.consumer)

    def lines(self) -> list[bytes]:
        """The lines of an export."""
        return list(self.store().export(self.consumer))

    def holds(self, offset: int | None = None) -> bool:
        """Whether the content equals that of the feed at `offset` (default: its last one), value for
        value."""
        loaded_at = self.state.snapshot_offset or 0  # since then, records are created here
        expected = [comparable(line) for line in self.feed.stored_lines(loaded_at, offset)]
        return [comparable(line) for line in self.lines()] == expected

    def commands(self) -> list[tuple[str, int]]:
        """The index and the offset of each accepted command."""
        return [(command.index, int(command.offset)) for command in self.manager.commands]

    def digest(self) -> str:
        """A hash of content, offset and accepted commands, to compare stores."""
        digest = hashlib.sha256()
        for line in self.lines():
            digest.update(line + b"\n")
        digest.update(repr((self.state.offset, [offset for _, offset in self.commands()])).encode())
        return digest.hexdigest()
