"""What an examination tells of a SQLite file that passes cannot do with, and that it leaves it as it is."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ctisync.core.health import CheckResult
from ctisync.core.model import Consumer
from ctisync.stores.sqlite.connection import open_writable
from ctisync.stores.sqlite.schema import MIGRATIONS
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from ctisync.system.folders import diagnose_folder
from tests.contract import passes
from tests.support.records import made_up
from tests.support.schema_versions import create_with


def examined(path: Path) -> dict[str, CheckResult]:
    checks = list(SqliteStore(path, SystemClock(), patience=0.1).diagnose([Consumer()]))
    assert all(each.hint for each in checks if each.health != "ok")
    return {each.what: each for each in checks}


def altered(path: Path, statement: str) -> None:
    open_writable(path).close()
    with closing(sqlite3.connect(path)) as other:
        other.execute(statement)
        other.commit()


def cut(path: Path) -> None:
    open_writable(path).close()
    os.truncate(path, 100)


SICK: dict[str, tuple[Callable[[Path], object], str]] = {
    "another program's": (lambda path: path.write_bytes(b"nonsense" * 1000), "not an SQLite database"),
    "a folder": (lambda path: path.mkdir(), "not a file"),
    "newer": (lambda path: altered(path, "PRAGMA user_version = 99"), "schema version 99"),
    "another application": (lambda path: altered(path, "PRAGMA application_id = 1"), "another program's"),
    "cut off": (cut, "damaged|read or written"),
}


@pytest.mark.parametrize("name", SICK)
def test_a_file_that_is_no_good_has_failed_beside_a_library_that_is_well(tmp_path: Path, name: str) -> None:
    path = tmp_path / "ctisync.db"
    arrange, reasons = SICK[name]
    arrange(path)
    before = sorted(each.name for each in tmp_path.iterdir())
    checks = examined(path)

    assert (checks["sqlite"].health, checks["store"].health) == ("ok", "failed")
    assert any(words in checks["store"].text for words in reasons.split("|")), checks["store"].text
    assert sorted(each.name for each in tmp_path.iterdir()) == before


def test_a_file_that_another_program_locks_is_reported_soon(tmp_path: Path) -> None:
    path = tmp_path / "ctisync.db"
    open_writable(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        check = examined(path)["store"]
    assert (check.health, "locked by another program" in check.text) == ("failed", True)


def test_neither_a_look_nor_an_examination_leaves_sqlites_own_files_or_a_newer_version(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ctisync.db"
    create_with(path, *MIGRATIONS[:1])
    before = path.read_bytes()
    store = SqliteStore(path, SystemClock(), read_only=True)
    store.read_state(Consumer())
    list(store.diagnose([Consumer()]))

    assert {each.name for each in tmp_path.iterdir()} == {"ctisync.db", "ctisync.db.lock"}
    assert path.read_bytes() == before


def test_beside_a_writer_the_state_is_the_one_that_he_has_written_last(tmp_path: Path) -> None:
    """It is in the log only: the file itself does not hold it yet."""
    path = tmp_path / "ctisync.db"
    with SqliteStore(path, SystemClock()).writer(Consumer()) as writer:
        passes.load(writer, Consumer(), made_up(3), 10)
        assert SqliteStore(path, SystemClock(), read_only=True).read_state(Consumer()).offset == 10


def test_a_folder_is_judged_by_whether_a_pass_would_make_it(tmp_path: Path) -> None:
    assert diagnose_folder(tmp_path, is_made=False).health == "ok"
    missing = tmp_path / "a" / "b"
    assert diagnose_folder(missing, is_made=True).health == "ok"
    assert diagnose_folder(missing, is_made=False).hint == f"mkdir -p {missing.parent.parent}/a/b"
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        assert diagnose_folder(folder, is_made=True).health == "failed"


def test_a_folder_that_may_not_be_written_to_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests may run as root, to whom nothing is forbidden."""
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    check = diagnose_folder(tmp_path, is_made=True)
    assert (check.health, "cannot be written to" in check.text) == ("failed", True)
    check = diagnose_folder(tmp_path / "new", is_made=True)
    assert (check.health, "cannot be created" in check.text) == ("failed", True)


def test_a_file_that_may_be_read_and_not_written_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ctisync.db"
    open_writable(path).close()
    monkeypatch.setattr(os, "access", lambda each, mode: each != path)
    assert examined(path)["store"].health == "failed"
