"""The machine that figures are measured on, and whether it was idle when they were."""

import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

Json = Any

_LOOK: Final = 1.0
"""Seconds for which one watches what others do."""

_IDLE: Final = 0.15
"""So many cores' work is anybody's: the system's own, a terminal's."""


def facts() -> dict[str, Json]:
    """To stand beside figures; taken before the bench begins anything."""
    busy = busy_cores()
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "python": platform.python_version(),
        "busy_cores": round(busy, 2),
        "idle": busy < _IDLE,
    }


def is_idle() -> bool:
    return busy_cores() < _IDLE


def busy_cores() -> float:
    """How many cores' time all of this machine's processes take while this one waits."""
    busy, began = _ticks()
    time.sleep(_LOOK)
    later, ended = _ticks()
    return (later - busy) / os.sysconf("SC_CLK_TCK") / (ended - began)


def _ticks() -> tuple[int, float]:
    """Of all cores since they were started, without idle and iowait; and when that was."""
    user, nice, system, _, _, *interrupts = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    )
    return user + nice + system + sum(interrupts), time.monotonic()
