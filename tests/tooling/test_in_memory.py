"""The files of tests are in memory where that does no harm, and else on the disk."""

import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest

from tests.support import in_memory
from tests.support.in_memory import ROOM, folder_in_memory
from tests.support.opensearch_process import new_folder

DISK: Final = "/tmp"  # noqa: S108  # compared alone


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with a folder in memory, no choice of another one, and room."""
    monkeypatch.setattr(in_memory, "_MEMORY", tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", DISK)
    _with(monkeypatch, free=ROOM)
    return tmp_path


def _with(monkeypatch: pytest.MonkeyPatch, *, free: int = ROOM, flags: int = 0) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=flags))


def test_the_data_of_a_server_are_in_memory(memory: Path) -> None:
    assert new_folder().parent == memory


def test_nothing_fills_a_memory_with_too_little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    _with(monkeypatch, free=ROOM - 1)
    assert folder_in_memory() is None


@pytest.mark.skipif(not hasattr(os, "ST_NOEXEC"), reason="no such flag")
def test_programs_that_tests_write_are_not_where_none_can_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    _with(monkeypatch, flags=os.ST_NOEXEC)
    assert folder_in_memory() is None


def test_a_folder_that_was_chosen_is_kept_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(chosen))
    assert folder_in_memory() is None
    assert new_folder().parent == chosen


def test_a_machine_without_a_folder_in_memory_does_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(in_memory, "_MEMORY", tmp_path / "none")
    assert folder_in_memory() is None
