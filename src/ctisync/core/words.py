"""Numbers with their nouns, and durations, as text; durations, moments and choices as you type them."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar, cast

from ctisync.errors import UsageError

_T = TypeVar("_T", bound=str)

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`1 record`, `1,234 records`."""
    return f"{number:,} {noun_for(number, noun, plural)}"


def noun_for(number: int, noun: str, plural: str | None = None) -> str:
    return noun if number == 1 else plural or f"{noun}s"


def lasting(seconds: float) -> str:
    """A duration as text: `0.4 s`, `3 s`, `12 min`, `1.5 h`."""
    if seconds < 0.95:
        return f"{max(seconds, 0.1):.1f} s"
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7170 else f"{seconds / 3600:,.1f} h"


def duration(text: str) -> timedelta:
    """`90`, `90s`, `15m`, `36h`, `7d` or `2w`. Raises UsageError."""
    match = re.fullmatch(r"([0-9]{1,8})([smhdw]?)", text)
    if match is None:
        raise UsageError(f"{text} is not a duration", hint="write 90s, 15m, 36h, 7d or 2w")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2] or "s"])


def moment(text: str, now: datetime, option: str) -> datetime:
    """`24h` or `7d`: that long before `now`; or a date or time by ISO 8601, in UTC unless it has an offset; a
    date alone is its begin. Raises UsageError, which names the option."""
    try:
        if re.fullmatch("[0-9]+[smhdw]", text):
            return now - duration(text)
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError, UsageError):
        raise UsageError(
            f"{option}: {text} is neither a duration nor a date",
            hint="write 24h, 7d, 2026-11-24 or 2026-11-24T07:30Z",
        ) from None


def one_of(text: str, values: Sequence[_T], name: str, hint: str | None = None) -> _T:
    """The value that you typed, in any case. `name`: of the option. Raises UsageError, which names the valid
    values."""
    if text.lower() not in values:
        hint = hint or f"{name} {values[-1]}"
        raise UsageError(f"{name}: {text} is not one of {', '.join(values)}", hint=hint)
    return cast(_T, text.lower())


def bytes_as_text(number: int) -> str:
    """In B, kB or MB."""
    if number < 10_000:
        return f"{number:,} B"
    return f"{number / 1e6:,.1f} MB" if number >= 1_000_000 else f"{number / 1e3:,.0f} kB"
