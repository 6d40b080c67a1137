"""What a pass sets about memory, and that it does without where the C library knows no such setting."""

import ctypes
import gc
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from ctisync import memory


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_all_threads_share_one_arena_and_decoded_json_is_not_searched_for_cycles_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda *setting: asked.append(setting))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    before = gc.get_threshold()
    memory.set_up_for_a_pass()
    assert asked == [(-8, 1)]
    assert gc.get_threshold() == (20_000, *before[1:])


def _refused(_: object) -> None:
    raise OSError("no such library")


@pytest.mark.parametrize("library", [lambda _: SimpleNamespace(), _refused], ids=["another", "none"])
def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch, library: object) -> None:
    monkeypatch.setattr(ctypes, "CDLL", library)
    memory.set_up_for_a_pass()
