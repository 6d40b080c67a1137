"""SQLite only: a file that is read alone, with nothing beside it, while another program works on it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ctisync.core.model import Consumer
from ctisync.errors import StoreUnavailable
from ctisync.ports import Store
from ctisync.stores.sqlite import connection
from ctisync.stores.sqlite.file import read_mode
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from tests.contract import passes
from tests.support.records import made_up

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
