"""How a pass uses memory, where the C library is glibc."""

from contextlib import suppress
from typing import Final

_ARENA_MAX: Final = -8
"""M_ARENA_MAX of mallopt(3)."""


def use_one_arena() -> None:
    """Let all threads share one arena. Call it before threads are started.

    glibc gives each thread memory of its own, and keeps what a thread has freed for that thread: bodies of
    several MB, which each thread has in turn, would be held once for each.
    """
    _glibc("mallopt", _ARENA_MAX, 1)


def give_back() -> None:
    """Return freed memory to the system, which takes about 7 ms of processor time.

    glibc keeps it otherwise. The bodies and the records of a range leave gaps that those of the next range do
    not fit into: a pass of thirty ranges took 20 MB more than one of ten.
    """
    _glibc("malloc_trim", 0)


def _glibc(function: str, *arguments: int) -> None:
    """Call a function; another C library may lack it."""
    import ctypes

    with suppress(AttributeError, OSError):
        getattr(ctypes.CDLL(None), function)(*arguments)
