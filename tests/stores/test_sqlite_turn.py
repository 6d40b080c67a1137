"""Writers of one SQLite file take turns, checkpoints included; and each knows which file it writes to."""

import fcntl
import multiprocessing
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from ctisync.core.model import Consumer, ConsumerInfo
from ctisync.core.pass_report import Draft
from ctisync.core.state import ConsumerState
from ctisync.errors import StoreUnavailable
from ctisync.ports import Store, Writer
from ctisync.stores.sqlite.connection import open_writable, translate_errors
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from tests.cli.conftest import Ctisync
from tests.contract import passes
from tests.contract.passes import lines
from tests.support.delay import seconds_to_the_end
from tests.support.feed_failures import Failure, Reply
from tests.support.feed_history import churn, populate
from tests.support.feed_server import Request
from tests.support.feed_simulator import FeedSimulator
from tests.support.opened import has_open
from tests.support.records import comparable, made_up, record

CONSUMER = Consumer()
OTHER = Consumer(name="vd_5.0.0", index="other")
A, B = record("CVE-1", 1), record("CVE-2", 2)


@pytest.fixture
def ctisync(tmp_path: Path) -> Ctisync:
    return Ctisync(tmp_path)


@pytest.fixture
def store(path: Path) -> Store:
    return SqliteStore(path, SystemClock(), patience=0.2)


def write(store: Store) -> None:
    passes.initialise(store, OTHER, [A], 10)


def checked(store: Store) -> None:
    store.record_check(OTHER, ConsumerState().feed_answered(ConsumerInfo(None, None), passes.NOW))


def remember(store: Store) -> None:
    draft = Draft(OTHER, "sync", pass_id="0123456789ab", began_at=passes.NOW, began=0.0)
    store.remember(draft.ended(StoreUnavailable("it was away"), now=1.0).report, 10, 0.2)


WRITES = [write, checked, remember]


def is_free(path: Path) -> bool:
    """Whether another one could write now."""
    file = os.open(f"{path}.lock", os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True


@pytest.mark.parametrize("call", WRITES)
def test_a_commit_and_its_checkpoint_are_over_before_another_connection_may_begin(
    store: Store, path: Path, call: Callable[[Store], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else SQLite before 3.51.3 may forget a part of the log, and the file is damaged."""
    statements: list[tuple[str, bool]] = []

    class Watched(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            done = super().execute(sql, parameters)
            if sql in ("BEGIN IMMEDIATE", "COMMIT"):  # its checkpoint is done when it returns
                statements.append((sql, is_free(path)))
            return done

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Watched))
    call(store)

    assert ("COMMIT", False) in statements
    assert [sql for sql, others_may in statements if others_may] == []
    assert is_free(path)


def hold_the_turn(path: Path, parent: Connection) -> None:
    with closing(open_writable(path)) as file, file.transaction():
        file.connection.execute("COMMIT")  # as while the log is moved: SQLite's own lock is not held
        parent.send("held")
        signal.pause()


@pytest.fixture
def holder(path: Path, store: Store) -> Iterator[Any]:
    """A process that has the turn, with a content of its consumer in the file."""
    passes.initialise(store, CONSUMER, [A, B], 10)
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe(duplex=False)
    process = context.Process(target=hold_the_turn, args=(path, its))
    process.start()
    assert ours.poll(120)
    assert ours.recv() == "held"
    yield process
    process.kill()
    process.join()


@pytest.mark.parametrize("call", WRITES)
def test_who_waits_for_a_turn_in_vain_says_so_and_readers_go_on_meanwhile(
    store: Store, path: Path, call: Callable[[Store], None], holder: Any
) -> None:
    with pytest.raises(StoreUnavailable, match=f"{path} is locked by another program") as raised:
        call(store)
    assert raised.value.hint == f"fuser -v {path}.lock"
    assert passes.contents(store, CONSUMER) == lines(A, B)

    holder.kill()
    holder.join()
    call(store)


def test_a_signal_ends_a_pass_that_waits_for_its_turn(ctisync: Ctisync, path: Path, holder: Any) -> None:
    with FeedSimulator() as feed:
        populate(feed.history, 20)
        feed.publish_snapshot()
        ctisync.environ |= {
            "CTISYNC_CTI__URL": feed.url,
            "CTISYNC_STORE__URL": f"sqlite:///{path}",
            "CTISYNC_CONSUMERS": '[{"consumer": "vd_5.0.0", "index": "other"}]',
        }
        waiting = ctisync.start("sync", "-q")
        while not has_open(waiting.pid, f"{path}.lock"):
            assert waiting.poll() is None

        waiting.terminate()
        assert seconds_to_the_end(waiting, time.monotonic()) < 5
        _, stderr = waiting.communicate()

    assert (waiting.returncode, b"stopped by signal 15" in stderr) == (143, True)


def fill(path: Path, consumer: Consumer, ready: Any) -> None:
    store = SqliteStore(path, SystemClock())
    ready.wait(120)
    passes.initialise(store, consumer, made_up(50), 100)
    with store.writer(consumer) as writer:
        for offset in range(101, 151):
            passes.apply(writer, [record("CVE-1", offset)], offset)


def test_passes_of_two_consumers_of_one_file_go_on_side_by_side(path: Path, store: Store) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(2)
    both = [context.Process(target=fill, args=(path, each, ready)) for each in (CONSUMER, OTHER)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)

    assert [process.exitcode for process in both] == [0, 0]
    assert [store.read_state(each).offset for each in (CONSUMER, OTHER)] == [150, 150]


def remove(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    """By a copy that another program has just written to, as its log says."""
    other = path.with_name("copy.db")
    connection = sqlite3.connect(other, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE copied (it)")
    for end in ("-shm", "-wal", ""):
        Path(f"{other}{end}").replace(f"{path}{end}")


LOSSES = [remove, replace]


def save(writer: Writer) -> None:
    writer.save(passes.at(0, writer.state))


def apply(writer: Writer) -> None:
    passes.apply(writer, [B], 20)


def load(writer: Writer) -> None:
    passes.load(writer, CONSUMER, [A, B], 20)


@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize("step", [save, apply, load])
def test_nothing_counts_as_stored_that_went_into_a_file_which_is_no_more_at_its_path(
    store: Store, path: Path, lose: Callable[[Path], None], step: Callable[[Writer], None]
) -> None:
    passes.initialise(store, CONSUMER, [A], 10)
    with store.writer(CONSUMER) as writer:
        lose(path)
        before = writer.state
        with pytest.raises(StoreUnavailable, match=f"{path} was replaced or removed") as raised:
            step(writer)
        assert raised.value.hint == "ctisync sync"
        assert writer.state == before


def test_a_file_put_in_its_place_is_left_as_it_is_with_its_log(store: Store, path: Path) -> None:
    passes.initialise(store, CONSUMER, [A], 10)
    with store.writer(CONSUMER) as writer:
        replace(path)
        was = {end: Path(f"{path}{end}").read_bytes() for end in ("", "-wal")}
        with pytest.raises(StoreUnavailable):
            save(writer)

    assert {end: Path(f"{path}{end}").read_bytes() for end in ("", "-wal")} == was


def test_a_file_that_is_removed_just_before_it_is_opened_is_no_lack_of_rights(path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="was replaced or removed") as raised, translate_errors(path):
        sqlite3.connect(f"file:{path}?mode=rw", uri=True)
    assert raised.value.hint == "ctisync sync"


def test_a_file_that_is_removed_just_after_it_was_opened_is_no_fault_of_the_disk(
    store: Store, path: Path
) -> None:
    passes.initialise(store, CONSUMER, [A], 10)
    with closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True)) as connection:
        path.unlink()
        with (
            pytest.raises(StoreUnavailable, match="was replaced or removed") as raised,
            translate_errors(path),
        ):
            connection.execute("BEGIN IMMEDIATE")
    assert raised.value.hint == "ctisync sync"


@pytest.mark.parametrize("lose", ["removed", "replaced"])
@pytest.mark.parametrize("kind", ["snapshot", "changes"])
def test_a_pass_whose_database_goes_away_under_it_is_7_and_the_next_one_makes_it_good(
    ctisync: Ctisync, lose: str, kind: Any
) -> None:
    """A copy of before is put there, or nothing; either way the pass must not tell of success."""
    path = ctisync.database
    with FeedSimulator() as feed:
        ctisync.environ |= {"CTISYNC_CTI__URL": feed.url, "CTISYNC_COMMAND_MANAGER__ENABLED": "false"}
        populate(feed.history, 20)
        feed.publish_snapshot()
        loaded = feed.history.last_offset
        if kind == "changes":
            assert ctisync.run("sync", "-q").returncode == 0
            churn(feed.history, 1200)

        def in_the_middle(request: Request) -> bool:
            """Of the pass: it asks for its first range before it is a writer."""
            return request.kind == kind and (kind == "snapshot" or request.range[0] > loaded)

        feed.fail(in_the_middle, as_it_is_answered(lambda: lost(path, lose)))
        ended = ctisync.run("sync", "-q")

        assert (ended.returncode, "was replaced or removed" in ended.stderr) == (7, True), ended.stderr
        assert ctisync.run("sync", "-q").returncode == 0
        exported = ctisync.run("export").stdout.encode().splitlines()
        assert [*map(comparable, exported)] == [*map(comparable, feed.expected_lines())]


def as_it_is_answered(act: Callable[[], None]) -> Failure:
    def answer(reply: Reply) -> Reply:
        act()
        return reply

    return answer


def lost(path: Path, how: str) -> None:
    if how == "replaced":
        copy = path.with_name("copy.db")
        with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(copy)) as new:
            old.backup(new)
        copy.replace(path)
    else:
        path.unlink()
