"""SQLite only: a file that is read alone, with nothing beside it, while another program works on it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ctisync.core.model import Consumer
from ctisync.errors import StoreUnavailable
from ctisync.ports import Store
from ctisync.stores.sqlite import connection
from ctisync.stores.sqlite.connection import PAGE_SIZE
from ctisync.stores.sqlite.file import read_mode
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from tests.contract import passes
from tests.support.records import long_record, made_up

CONSUMER = Consumer()

Meanwhile = Callable[[Callable[[], object]], None]


@pytest.fixture
def store(path: Path) -> Store:
    """A reader that leaves no file of SQLite beside the file, which a pass has filled."""
    passes.initialise(SqliteStore(path, SystemClock()), CONSUMER, made_up(3), 10)
    return SqliteStore(path, SystemClock(), read_only=True)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Something happens once, right after a reader has chosen how SQLite opens the file."""

    def plan(event: Callable[[], object]) -> None:
        events = [event]

        def then(path: Path, *, read_only: bool) -> str:
            mode = read_mode(path, read_only=read_only)
            while events:
                events.pop()()
            return mode

        monkeypatch.setattr(connection, "read_mode", then)

    return plan


def test_a_pass_that_writes_while_the_mode_is_chosen_does_not_go_unnoticed(
    store: Store, path: Path, meanwhile: Meanwhile
) -> None:
    meanwhile(lambda: passes.initialise(SqliteStore(path, SystemClock()), CONSUMER, made_up(5), 20))
    with pytest.raises(StoreUnavailable, match="a pass started and wrote to"):
        store.summary(CONSUMER)


def test_a_file_that_goes_away_while_it_is_opened_is_not_an_empty_store(
    store: Store, path: Path, meanwhile: Meanwhile
) -> None:
    """Its records would be as good as deleted for an export."""
    meanwhile(lambda: path.rename(path.with_name("moved.db")))
    with pytest.raises(StoreUnavailable, match="was replaced or removed while ctisync opened it"):
        store.summary(CONSUMER)


def test_a_half_written_first_page_is_not_damage_if_a_pass_was_writing_it(
    store: Store, path: Path, meanwhile: Meanwhile
) -> None:
    """The hint for damage is to set the file aside. The header says how many pages there are to be."""

    def write_half() -> None:
        before = path.read_bytes()
        passes.initialise(
            SqliteStore(path, SystemClock(), compression="none"), CONSUMER, [long_record("CVE-1", 1)], 20
        )
        path.write_bytes(path.read_bytes()[:PAGE_SIZE] + before[PAGE_SIZE:])

    meanwhile(write_half)
    with pytest.raises(StoreUnavailable, match="a pass started and wrote to"):
        store.summary(CONSUMER)
    with pytest.raises(StoreUnavailable, match="is damaged"):  # as a killed pass without its log leaves it
        store.summary(CONSUMER)


def test_a_half_written_first_page_is_read_from_the_log(
    store: Store, path: Path, meanwhile: Meanwhile
) -> None:
    """While a pass moves its log into the file, or after it was killed there."""

    def write_half() -> None:
        before, log = path.read_bytes(), path.with_name(f"{path.name}-wal")
        with SqliteStore(path, SystemClock(), compression="none").writer(CONSUMER) as writer:
            passes.load(writer, CONSUMER, [long_record("CVE-1", 1)], 20)
            written = log.read_bytes()
        path.write_bytes(path.read_bytes()[:PAGE_SIZE] + before[PAGE_SIZE:])
        log.write_bytes(written)

    meanwhile(write_half)
    assert store.summary(CONSUMER).records == 1
