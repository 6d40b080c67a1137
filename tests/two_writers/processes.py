"""Passes as real processes that stop themselves (SIGSTOP) at a chosen moment and go on when told to."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from ctisync.core.model import Consumer, OffsetRange, Snapshot
from ctisync.core.state import ConsumerState
from ctisync.core.steps import Policy
from ctisync.errors import CtisyncError
from ctisync.ports import Store
from ctisync.stores.opensearch import lease as leases
from ctisync.stores.opensearch import writer as opensearch_writer
from ctisync.stores.opensearch.client import OpenSearchReply
from ctisync.stores.opensearch.store import OpenSearchStore
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from ctisync.system.locks import host_lock
from tests.properties.observed import ObservedStore, Process
from tests.stores.opensearch_kit import LOCK
from tests.support.clock import FakeClock
from tests.support.faults_node import TransportInFront, alters
from tests.support.log import KeptLog
from tests.support.memory_feed import MemoryFeed, at_once
from tests.support.one_pass import parts_of, passed
from tests.support.opensearch_store import opensearch_at
from tests.two_writers import feeds

FORKS: Final = multiprocessing.get_context("forkserver")
"""Of all tests: what it loads counts only before its first process."""

FORKS.set_forkserver_preload(["tests.two_writers.processes", "ctisync.stores.opensearch.transport"])

DONE = (0, "")
"""How a good pass ends."""

PATIENCE = 120.0
"""Seconds for a process to come to its moment or its end."""


class Place(NamedTuple):
    """Where the content is kept: a node's URL or a SQLite file. `lock`: the lock file that a pass holds.
    Without one, `steals`: each pass says that it holds one and the same, so that it takes the lease over at
    once. `ttl` is the lease's, in seconds: this process then takes each lease for so long."""

    url: str
    consumer: Consumer
    steals: bool = True
    ttl: float = 900.0
    lock: Path | None = None

    @contextmanager
    def locked(self) -> Iterator[Store]:
        """As a pass opens it."""
        with ExitStack() as ends:
            lock = None if self.lock is None else ends.enter_context(host_lock(self.lock, FakeTime(), "test"))
            yield ends.enter_context(closing(self.open(lock)))

    def open(self, lock: str | None = None) -> Store:
        if not self.url.startswith("http"):
            return SqliteStore(Path(self.url), SystemClock())
        stolen = LOCK if self.steals and self.lock is None else None
        vars(leases)["LEASE_TTL"] = self.ttl
        return opensearch_at([self.url], FakeTime(), host_lock=lock or stolen)


class FakeTime(SystemClock):
    """Real time, but for waiting that takes none: a busy node is none here."""

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.05))


class Sent(NamedTuple):
    """A request that alters something, sent after the process had been stopped; whether it had an effect."""

    what: str
    accepted: bool


class Ended(NamedTuple):
    """A pass's exit code, what it said of it, and what it sent after it was stopped."""

    code: int
    message: str
    after_stop: list[Sent]


class Pass:
    """A process that runs one pass and stops at its `stops_at`-th moment, when it has that many."""

    def __init__(self, place: Place, seed: int, commands: Path, stops_at: int | None = None) -> None:
        self._from_it, its = FORKS.Pipe(duplex=False)
        self.process = FORKS.Process(target=_play, args=(place, seed, commands, stops_at, its))
        self.process.start()
        its.close()
        self._ended: Ended | None = None

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def stopped(self) -> bool:
        """Wait until it has stopped or ended; whether it has stopped."""
        if self._receive() is not None:
            return False
        deadline = time.monotonic() + PATIENCE
        while Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < deadline, "it did not stop"
            time.sleep(0.001)
        return True

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def ended(self) -> Ended:
        """How it ended; a stopped one is told to go on."""
        while self._ended is None:
            self._receive()
        self.process.join(PATIENCE)
        return self._ended

    def kill(self) -> None:
        if self.process.is_alive():
            self.process.kill()
        self.process.join()

    def _receive(self) -> Ended | None:
        if self._ended is None:
            assert self._from_it.poll(PATIENCE), "neither stopped nor ended"
            self._ended = self._from_it.recv()
        return self._ended


class Stops:
    """Counts the moments of a process and stops it at one of them; a `None` to the parent says so first."""

    def __init__(self, at: int | None, parent: Connection) -> None:
        self._at = at
        self._parent = parent
        self._count = 0
        self.done = False

    def moment(self, _number: int = 0) -> None:
        self._count += 1
        if self._count == self._at:
            self._parent.send(None)
            # To this very thread, which else might still go on a little while the others stop.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
            self.done = True


class StoppingTransport(TransportInFront):
    """A moment before and one after each request that alters something; keeps what is sent after the stop.

    Not kept is what the order of writes leaves unfenced, and what does no harm: an index of one's own that
    nobody will ever make live, made or dropped, and fences, put up or taken down.
    """

    def __init__(self, store: OpenSearchStore, stops: Stops) -> None:
        super().__init__(store)
        self._stops = stops
        self._made: set[str] = set()
        self.after_stop: list[Sent] = []

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        if not alters(method, target):
            return super().send(method, target, body, timeout)
        self._stops.moment()
        late = self._stops.done
        reply = super().send(method, target, body, timeout)
        if method == "PUT" and target.startswith("/ctisync-"):
            self._made.add(target[1:])
        elif late and self._is_fenced(target, body):
            self.after_stop.append(Sent(f"{method} {target.partition('?')[0]}", _had_effect(target, reply)))
        self._stops.moment()
        return reply

    def _is_fenced(self, target: str, body: bytes | None) -> bool:
        """Whether it changes content, state, alias or generations."""
        if target != "/_aliases" or body is None:
            return True
        actions = msgspec.json.decode(body)["actions"]
        dropped = {action["remove_index"]["index"] for action in actions if "remove_index" in action}
        added = [action["add"]["alias"] for action in actions if "add" in action]
        swaps = bool(added) and not added[-1].startswith("ctisync-w-")
        return swaps or not dropped <= self._made


def _had_effect(target: str, reply: OpenSearchReply) -> bool:
    if reply.status >= 300:
        return False
    if "_bulk" not in target:
        return True
    items = msgspec.json.decode(reply.body).get("items", [])
    return any(item["status"] < 300 for answered in items for item in answered.values())


class Nobody:
    """A witness who needs no telling."""

    def saved(self, before: ConsumerState, after: ConsumerState) -> None: ...

    def published(self, process: Process, snapshot: Snapshot, before: ConsumerState) -> None: ...

    def applied(self, process: Process, after: ConsumerState) -> None: ...

    def prefetched(self, process: Process, offsets: OffsetRange) -> None: ...

    def changes_fetched(self, process: Process, offsets: OffsetRange) -> None: ...


class CommandFile:
    """A Command Manager whose log is a file that all processes append to."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send_update(self, index: str, offset: int) -> None:
        with self._path.open("a") as file:
            file.write(f"{offset}\n")

    def offsets(self) -> list[int]:
        return [int(line) for line in self._path.read_text().split()] if self._path.exists() else []


def run_here(
    place: Place, seed: int, command_file: Path, wrap: Callable[[Store], Store] = lambda store: store
) -> tuple[int, str]:
    """One pass in this process; its exit code and what it says of it."""
    try:
        with place.locked() as store:
            passed(
                parts_of(
                    place.consumer,
                    feed=MemoryFeed(feeds.made_up(seed)),
                    store=wrap(store),
                    commands=CommandFile(command_file),
                    clock=FakeClock(),
                    log=KeptLog(),
                    policy=Policy(),
                )
            )
    except CtisyncError as error:
        return error.exit_code, error.message
    return 0, ""


def _play(place: Place, seed: int, commands: Path, stops_at: int | None, parent: Connection) -> None:
    vars(opensearch_writer)["start_on_thread"] = at_once  # so that the moments have one order
    stops = Stops(stops_at, parent)
    after_stop: list[Sent] = []

    def wrapped(store: Any) -> Store:
        if isinstance(store, SqliteStore):
            return ObservedStore(store, Process(Nobody(), stops.moment))
        nonlocal after_stop
        after_stop = StoppingTransport(store, stops).after_stop
        return store  # type: ignore[no-any-return]

    code, message = run_here(place, seed, commands, wrapped)
    parent.send(Ended(code, message, after_stop))
