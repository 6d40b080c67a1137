"""How a pass uses memory: one arena for all threads."""

from contextlib import suppress
from typing import Final

_ARENA_MAX: Final = -8
"""M_ARENA_MAX of glibc's mallopt(3)."""


def use_one_arena() -> None:
    """Call it before threads are started.

    glibc gives each thread memory of its own, and keeps what a thread has freed for that thread: bodies of
    several MB, which each thread has in turn, would be held once for each.
    """
    import ctypes

    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)
