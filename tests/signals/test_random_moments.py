"""A signal at any moment ends a pass in time and cleanly; the next pass ends as if there had been none."""

import random
import re
import signal
import time
from collections import Counter
from typing import Final

import pytest

from ctisync.errors import AFTER_STOP
from tests.signals.passes import PROMISED, Ended, OpenSearchPasses, SqlitePasses, stopped
from tests.support.figures import figure
from tests.support.interpreter import is_pythons_own_end
from tests.support.long import LONG

pytestmark = pytest.mark.timeout(3600 if LONG else 300)

SPOOL = (".part", ".json", ".new")
"""What is kept of a download, for the next pass to go on from."""

OF_READERS = ("ctisync.db-wal", "ctisync.db-shm")
"""What SQLite leaves of a connection that could only read, as `ctisync status` does; the log is empty."""


LATE: Final = re.compile(r"\S+ warning history-not-written .*Read timed out\. \(read timeout=[01]\.\d+\).*\n")
"""On a busy machine the seconds for the way out may be over when the history's turn comes, which is last."""

STORED: Final = r"the next ctisync sync continues the initialisation of \S+; --keep cancels it"
"""What an init-snapshot says when it is stored that it is asked for."""


def moments(count: int, seed: int, longest: float) -> list[tuple[float, signal.Signals]]:
    chance = random.Random(seed)
    both = (signal.SIGTERM, signal.SIGINT)
    return [(chance.uniform(0.05, longest), both[number % 2]) for number in range(count)]


def ended_rightly(
    ended: Ended, number: signal.Signals, *, has_requests: bool, complete: bool, command: str = "sync"
) -> str:
    """In which way: before there was anything to stop, with the signal's code, or when it was done."""
    assert ended.seconds <= PROMISED
    if ended.code == 128 + number:
        words = AFTER_STOP[command] if command != "init-snapshot" else f"({AFTER_STOP[command]}|{STORED})"
        message = LATE.sub("", ended.message)
        assert re.fullmatch(f"ctisync: stopped by signal {number:d}; {words}\n", message), ended.message
        return "stopped"
    if ended.code == 0:
        assert complete
        return "done before"
    assert is_pythons_own_end(ended.code, ended.message)
    assert complete or not has_requests
    return "at start or end"


@pytest.mark.parametrize("command", [("sync", "-q"), ("init-snapshot", "-q")], ids=lambda command: command[0])
def test_a_pass_on_sqlite_that_gets_a_signal_leaves_nothing_and_loses_nothing(
    sqlite: SqlitePasses, command: tuple[str, ...]
) -> None:
    if command[0] == "init-snapshot":  # over content that is live and newer
        assert sqlite.run().returncode == 0
    before = {path.name: path.read_bytes() for path in sqlite.folder.iterdir()}
    began = time.monotonic()
    assert sqlite.run(*command).returncode == 0
    longest = time.monotonic() - began
    ways, slowest = Counter[str](), 0.0

    for moment, number in moments(100 if LONG else 12, 7, longest):
        sqlite.wipe()
        for name, content in before.items():
            (sqlite.folder / name).write_bytes(content)
        sqlite.feed.requests.clear()
        sqlite.manager.commands.clear()
        running = sqlite.start(*command)
        time.sleep(moment)
        ended = stopped(running, number)

        slowest = max(slowest, ended.seconds)
        complete = len(sqlite.commands()) > 0
        has_requests = bool(sqlite.feed.requests)
        way = ended_rightly(ended, number, has_requests=has_requests, complete=complete, command=command[0])
        ways[way] += 1
        assert {name for name in sqlite.files() if not name.endswith(SPOOL)} <= {
            "ctisync.db",
            *OF_READERS,
        }, moment
        assert all(path.stat().st_size == 0 for path in sqlite.folder.glob("*-wal")), moment
        assert sqlite.is_unlocked()
        assert sqlite.half_loaded() == 0, moment
        if before:  # readers find a content throughout
            offset, lines = sqlite.content()
            assert lines == sqlite.comparable_at(offset)
        due = sqlite.is_command_due()

        again = sqlite.run()
        assert (again.returncode, again.stderr) == (0, "")
        assert sqlite.files() == {"ctisync.db"}
        assert sqlite.content() == (sqlite.last_offset, sqlite.expected)
        assert sqlite.half_loaded() == 0
        assert sqlite.commands()[-1:] == [sqlite.last_offset] or not due
    figure(f"signals, SQLite, {command[0]}: {ways.total()}, {dict(ways)}, slowest {slowest:.2f} s")


def test_a_pass_on_opensearch_that_gets_a_signal_leaves_nothing_and_loses_nothing(
    opensearch: OpenSearchPasses,
) -> None:
    began = time.monotonic()
    assert opensearch.run().returncode == 0
    longest = time.monotonic() - began
    ways, slowest = Counter[str](), 0.0

    for moment, number in moments(100 if LONG else 8, 11, longest):
        opensearch.wipe()
        opensearch.feed.requests.clear()
        opensearch.manager.commands.clear()
        running = opensearch.start()
        time.sleep(moment)
        ended = stopped(running, number)

        slowest = max(slowest, ended.seconds)
        complete = len(opensearch.commands()) > 0
        ways[
            ended_rightly(ended, number, has_requests=bool(opensearch.feed.requests), complete=complete)
        ] += 1
        assert all(name.endswith(SPOOL) for name in opensearch.files()), moment
        assert opensearch.is_unlocked()
        assert opensearch.lease() is None, moment
        swap = (opensearch.entry().get("ctisync") or {}).get("swap")
        for name, aliases in opensearch.aliases().items():
            if swap is None or swap["to"] != name:
                assert aliases == {opensearch.index}, moment

        again = opensearch.run()
        assert (again.returncode, again.stderr) == (0, "")
        assert opensearch.content() == (opensearch.last_offset, opensearch.expected)
        assert opensearch.files() == set()
        assert list(opensearch.aliases().values()) == [{opensearch.index}]
        assert opensearch.commands()[-1:] == [opensearch.last_offset]
    figure(f"signals, OpenSearch: {ways.total()}, {dict(ways)}, slowest {slowest:.2f} s")
