"""What a database file can still take: its disk's free bytes, and its own empty pages."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState
from ctisync.errors import StoreUnavailable
from ctisync.stores.sqlite.backend import SqliteBackend
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock


@pytest.fixture(autouse=True)
def _nearly_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))


def test_before_there_is_a_database_it_is_what_the_disk_has(tmp_path: Path) -> None:
    assert SqliteBackend(tmp_path / "ctisync.db").free_space() == 1000


def test_pages_that_earlier_contents_have_left_are_room(tmp_path: Path) -> None:
    path = tmp_path / "ctisync.db"
    with SqliteStore(path, SystemClock()).writer(Consumer()) as writer:
        writer.save(ConsumerState())
    before = SqliteBackend(path).free_space()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE old AS SELECT zeroblob(1000000) AS blob")
        connection.execute("DROP TABLE old")
        connection.commit()
    assert before < 200_000
    assert SqliteBackend(path).free_space() >= before + 900_000


def test_a_folder_that_has_gone_is_the_stores_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    with pytest.raises(StoreUnavailable, match="cannot read the free disk space"):
        SqliteBackend(tmp_path / "gone" / "ctisync.db").free_space()
