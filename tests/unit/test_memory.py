"""What a pass sets about memory, and that it does without where the C library knows no such setting."""

import ctypes
from types import SimpleNamespace

import pytest

from ctisync import memory


def test_all_threads_share_one_arena(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda *setting: asked.append(setting))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    memory.use_one_arena()
    assert asked == [(-8, 1)]


def _refused(_: object) -> None:
    raise OSError("no such library")


@pytest.mark.parametrize("library", [lambda _: SimpleNamespace(), _refused], ids=["another", "none"])
def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch, library: object) -> None:
    monkeypatch.setattr(ctypes, "CDLL", library)
    memory.use_one_arena()
