"""What must hold between the feed's past, a store and what readers were told, whoever did what before."""

from collections.abc import Callable
from typing import Any

from ctisync.core.model import Consumer, OffsetRange, Snapshot
from ctisync.core.state import ConsumerState
from ctisync.errors import CommandNotAccepted, EmptyStore
from ctisync.ports import Store
from tests.properties.observed import Process
from tests.support.feed_history import History
from tests.support.memory_feed import MemoryServer
from tests.support.records import comparable

Json = Any


class ReceivedCommands:
    """A Command Manager that keeps the offsets of what it accepted, and refuses the next `refusals`."""

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.refusals = 0

    def send_update(self, index: str, offset: int) -> None:
        if self.refusals > 0:
            self.refusals -= 1
            raise CommandNotAccepted("told to refuse")
        self.offsets.append(offset)


class Model:
    """Where the content came from and where it stands, as seen from the writes that were done.

    `lineage`: the history whose snapshot was published last, `stands_at` the offset of the last advance.
    `mixed`: a range of another history was applied since then; a feed that started again and has grown
    past the stored offset before anybody looked cannot be told from one that went on.
    """

    def __init__(self, server: MemoryServer, commands: ReceivedCommands) -> None:
        self._server = server
        self._commands = commands
        self._prefetched_from: dict[tuple[Process, OffsetRange], History] = {}
        self._fetched_from: dict[Process, History] = {}
        self._expected: dict[tuple[History, int], list[Json]] = {}
        self._same: set[tuple[History, int, bytes]] = set()
        self.lineage: History | None = None
        self.stands_at = 0
        self.mixed = False
        self._commands_before = 0

    def saved(self, before: ConsumerState, after: ConsumerState) -> None:
        assert after.offset in (before.offset, 0), "a state alone neither advances nor goes back"
        if after.offset < before.offset:
            assert after.failed is not None, "without a failed change there is no reason to begin again"

    def published(self, process: Process, snapshot: Snapshot, before: ConsumerState) -> None:
        offered = self._server.snapshots[snapshot.link]
        assert not offered.damaged, "a damaged snapshot went live"
        assert snapshot.offset == offered.offset
        by_itself = (
            process.mode == "sync" and (before.failed, before.requested) == (None, None) and not self.mixed
        )
        if by_itself and offered.history is self.lineage:
            assert offered.offset >= self.stands_at, "the content went back by itself"
        self.lineage, self.stands_at, self.mixed = offered.history, offered.offset, False
        self._commands_before = len(self._commands.offsets)

    def prefetched(self, process: Process, offsets: OffsetRange) -> None:
        self._prefetched_from[process, offsets] = self._server.history

    def changes_fetched(self, process: Process, offsets: OffsetRange) -> None:
        self._fetched_from[process] = self._prefetched_from.pop((process, offsets), self._server.history)

    def applied(self, process: Process, after: ConsumerState) -> None:
        assert after.offset > self.stands_at
        self.stands_at = after.offset
        self.mixed = self.mixed or self._fetched_from[process] is not self.lineage
        self._commands_before = len(self._commands.offsets)

    def check_readers(self, store: Store, consumer: Consumer) -> None:
        """Promises 1 and 3: the content is the whole of one moment, from the first one on there is one."""
        try:
            lines = list(store.export(consumer))
        except EmptyStore:
            assert self.lineage is None, "readers find no content any more"
            return
        assert self.lineage is not None
        assert lines, "readers find an empty content"
        if not self.mixed:
            assert self._is(lines, self.lineage, self.stands_at), (
                f"the content is not that of {self.stands_at}"
            )

    def check_state(self, state: ConsumerState) -> None:
        """Promises 1 and 4: the offset is the content's, and readers were told of it or will be."""
        assert state.content == (self.lineage is not None)
        assert state.offset in (0, self.stands_at), "the offset claims what the content does not hold"
        if state.owed is not None:
            assert state.owed.offset == self.stands_at
        elif self.lineage is not None:
            assert self.stands_at in self._commands.offsets[self._commands_before :], "a command was missed"
        if state.phase == "blocked" and not self.mixed:
            assert state.failed is not None
            assert state.failed.offset > state.offset

    def _is(self, lines: list[bytes], history: History, offset: int) -> bool:
        key = (history, offset)
        text = b"\n".join(lines)
        if (*key, text) in self._same:
            return True
        if key not in self._expected:
            expected = history.expected_records(offset)
            self._expected[key] = [comparable(expected[name]) for name in sorted(expected, key=str.encode)]
        same = [comparable(line) for line in lines] == self._expected[key]
        if same:
            self._same.add((*key, text))
        return same


def no_moment(number: int) -> None:
    """Nothing happens."""


def at(moment: int, what: Callable[[], None]) -> Callable[[int], None]:
    """`what` happens at that moment of a process."""

    def maybe(number: int) -> None:
        if number == moment:
            what()

    return maybe
