"""How a pass uses memory: one arena for all threads, and few searches for cycles."""

import gc
from contextlib import suppress
from typing import Final

_ARENA_MAX: Final = -8
"""M_ARENA_MAX of glibc's mallopt(3)."""

_CONTAINERS: Final = 20_000
"""New containers before Python looks for cycles; the default is some hundreds. The changes of a range and its
records have some hundred thousand containers and no cycle."""


def set_up_for_a_pass() -> None:
    """Call it before threads are started.

    glibc gives each thread memory of its own, and keeps what a thread has freed for that thread: bodies of
    several MB, which each thread has in turn, would be held once for each.
    """
    gc.set_threshold(_CONTAINERS, *gc.get_threshold()[1:])
    import ctypes

    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)
