"""The stage of one pass in this process: a feed, a store and a Command Manager in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ctisync.core.model import Consumer, Record
from ctisync.core.state import ConsumerState
from ctisync.core.steps import Policy
from ctisync.feed.http.budget import PassLimits
from ctisync.ports import CommandManager
from tests.properties.model import ReceivedCommands
from tests.support import faults_ports
from tests.support.clock import FakeClock
from tests.support.faults import Effects
from tests.support.feed_history import History
from tests.support.log import Event, KeptLog
from tests.support.memory_feed import MemoryFeed, MemoryServer
from tests.support.memory_store import MemoryStorage, MemoryStore
from tests.support.one_pass import parts_of, passed

CONSUMER = Consumer()
ABOUT = {"consumer": "vd_1.0.0/vd_4.8.0"}


class AcceptedCommands(ReceivedCommands):
    """Keeps which index was named, too."""

    def __init__(self) -> None:
        super().__init__()
        self.indices: list[str] = []

    def send_update(self, index: str, offset: int) -> None:
        super().send_update(index, offset)
        self.indices.append(index)


def in_order(effects: Sequence[str], *promised: str) -> bool:
    """Whether the promised effects come in this order; others may stand between them."""
    rest = iter(effects)
    return all(each in rest for each in promised)


class Stage:
    """A feed, a store and a Command Manager; `run` is one pass, and then `effects` are the calls it made."""

    def __init__(self) -> None:
        self.server = MemoryServer(History(CONSUMER.context, first_offset=0))
        self.storage = MemoryStorage()
        self.store = MemoryStore(self.storage)
        self.commands = AcceptedCommands()
        self.clock = FakeClock()
        self.log = KeptLog()
        self.effects: list[str] = []

    def run(self, commands: bool = True, consumer: Consumer = CONSUMER, **policy: Any) -> None:
        self.log = KeptLog()
        effects = Effects()
        manager: CommandManager = faults_ports.commands_with(self.commands, effects)
        followed = Policy(**policy)
        try:
            passed(
                parts_of(
                    consumer,
                    feed=faults_ports.feed_with(MemoryFeed(self.server), effects),
                    store=faults_ports.store_with(self.store, effects),
                    commands=manager if commands else None,
                    clock=self.clock,
                    log=self.log,
                    policy=followed,
                    check_time=PassLimits(self.clock, followed.limits).check_time,
                )
            )
        finally:
            self.effects = [effect.name for effect in effects.recorded]

    @property
    def state(self) -> ConsumerState:
        return self.store.read_state(CONSUMER)

    def put(self, **changes: Any) -> None:
        """The stored state is another one, as some pass before has left it."""
        kept = self.storage.get(CONSUMER)
        state = msgspec.structs.replace(kept.state, **changes)
        self.storage.put(CONSUMER, msgspec.structs.replace(kept, state=state))

    def write(self, written: Record) -> None:
        """A record is in the content already."""
        kept = self.storage.get(CONSUMER)
        content = {**(kept.content or {}), written.name: written}
        self.storage.put(CONSUMER, msgspec.structs.replace(kept, content=content))

    @property
    def shown(self) -> list[Event]:
        """What a person reads who doesn't ask for details."""
        return [event for event in self.log.events if event.level != "debug"]

    def ended(self) -> dict[str, Any]:
        (fields,) = self.log.named("pass-ended")
        return fields


def offering() -> Stage:
    """A feed with three records in a snapshot of offset 3, and an empty store."""
    stage = Stage()
    for name in ("CVE-1", "CVE-2", "TID-1"):
        stage.server.history.create(name, {"n": 0})
    stage.server.offer_snapshot()
    return stage
