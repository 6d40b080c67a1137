"""Durations and moments as you type them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from ctisync.errors import UsageError

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def duration(text: str) -> timedelta:
    """`90`, `90s`, `15m`, `36h`, `7d` or `2w`. Raises UsageError."""
    found = re.fullmatch(r"([0-9]{1,8})([smhdw]?)", text)
    if found is None:
        raise UsageError(f"{text} is not a duration", hint="write 90s, 15m, 36h, 7d or 2w")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2] or "s"])


def moment(text: str, now: datetime, option: str) -> datetime:
    """`24h` or `7d`: that long before `now`; or a date or time by ISO 8601, in UTC unless it has an offset; a
    date alone is its begin. Raises UsageError, which names the option."""
    try:
        if re.fullmatch("[0-9]+[smhdw]", text):
            return now - duration(text)
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, UsageError):
        raise UsageError(
            f"{option}: {text} is neither a duration nor a date",
            hint="write 24h, 7d, 2026-11-24 or 2026-11-24T07:30Z",
        ) from None
