"""Two searches at once, of which one is killed while the other waits for it."""

import os
import random
import signal
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import pytest

from ctisync.core.conditions import Conditions
from ctisync.core.model import Consumer, Record
from ctisync.ports import Inspection
from ctisync.search.file import IndexFile
from ctisync.search.query import search
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from tests.contract import passes
from tests.support.advisories import advisory
from tests.support.log import KeptLog
from tests.two_writers.processes import FORKS, PATIENCE

CONSUMER: Final = Consumer()
RECORDS: Final = 30


def names_in(database: Path, clock: SystemClock, content: Any = None) -> list[str]:
    """All names, by the index."""
    with closing(SqliteStore(database, clock)) as store, store.inspect(CONSUMER) as inspected:
        file = IndexFile(
            database.with_suffix(".search"), content(inspected) if content else inspected, clock, KeptLog()
        )
        return sorted(file.ask(lambda index: search(index, Conditions())).names)


class Stopping:
    """A content; whoever has read its last record tells `parent`, and stops."""

    def __init__(self, content: Inspection, parent: Connection) -> None:
        self._content = content
        self._parent = parent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    def scan(self, above: int = -1) -> Iterator[Record]:
        yield from self._content.scan(above)
        self._parent.send("stopped")
        signal.pause()


def search_that_stops(database: Path, parent: Connection) -> None:
    names_in(database, SystemClock(), lambda content: Stopping(content, parent))


class KillingClock(SystemClock):
    """Kills the process when somebody waits for it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.killed = 0

    def sleep(self, seconds: float) -> None:
        os.kill(self._pid, signal.SIGKILL)
        self.killed += 1
        super().sleep(seconds)


@pytest.mark.parametrize("index", ["built", "updated"])
def test_a_search_that_waits_for_one_that_is_killed_does_its_work_and_answers(
    tmp_path: Path, index: str
) -> None:
    chance = random.Random(23)
    database = tmp_path / "ctisync.db"
    records = [advisory(chance, f"CVE-2024-{number}", number + 1) for number in range(RECORDS)]
    with closing(SqliteStore(database, SystemClock())) as store:
        passes.initialise(store, CONSUMER, records, 100)
        expected = sorted(each.name for each in records)
        if index == "updated":
            assert names_in(database, SystemClock()) == expected
            with store.writer(CONSUMER) as writer:
                passes.apply(writer, [advisory(chance, "CVE-2024-new", 101)], to=101)
            expected.append("CVE-2024-new")
    receiver, sender = FORKS.Pipe(duplex=False)
    killed = FORKS.Process(target=search_that_stops, args=(database, sender))
    killed.start()
    sender.close()
    assert receiver.poll(PATIENCE)
    assert receiver.recv() == "stopped"
    assert killed.pid is not None
    clock = KillingClock(killed.pid)

    names = names_in(database, clock)

    killed.join(PATIENCE)
    assert clock.killed > 0, "it has not waited"
    assert killed.exitcode == -signal.SIGKILL
    assert names == sorted(expected)
    assert [path.name for path in tmp_path.glob("*") if path.suffix in (".part", ".search-journal")] == []
