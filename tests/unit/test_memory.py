"""What a pass asks of the C library about memory, and that it does without where that is another one."""

import ctypes
import resource
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ctisync.system import process


def test_all_threads_share_one_arena(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda *setting: calls.append(setting))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    process.use_one_arena()
    assert calls == [(-8, 1)]


def _refused(_: object) -> None:
    raise OSError("no such library")


@pytest.mark.parametrize("library", [lambda _: SimpleNamespace(), _refused], ids=["another", "none"])
def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch, library: object) -> None:
    monkeypatch.setattr(ctypes, "CDLL", library)
    process.use_one_arena()
    process.give_back_memory()


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim") or not sys.platform.startswith("linux"),
    reason="this C library keeps its gaps, or gives them back by itself",
)
def test_what_a_range_leaves_between_records_is_freed() -> None:
    records = [b"x" * size for size in range(100_000, 100_400)]
    del records[::2]
    before = _resident()
    process.give_back_memory()
    assert before - _resident() > 10_000_000
    assert len(records) == 200


def _resident() -> int:
    """Bytes of memory that this process has."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()
