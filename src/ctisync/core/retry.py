"""When to try again: pure policy. The transport waits, this says how long."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

FIRST_DELAY: Final = 1.0
LONGEST_DELAY: Final = 60.0


def retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds that a `Retry-After` header asks for, or None when it is absent or makes no sense.

    Both forms of RFC 9110, 10.2.3: whole seconds, or an HTTP date (one that has passed means now).
    """
    if header is None:
        return None
    text = header.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    when = http_date(text)
    return None if when is None else max(0.0, (when - now).total_seconds())


def http_date(text: str) -> datetime | None:
    """The moment that an HTTP date tells (RFC 9110, 5.6.7), or None for a text that tells none.

    The standard library's parser raises more than ValueError: OverflowError for numbers beyond a C
    integer, and, by version, IndexError or TypeError for texts that stop half-way.
    """
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def next_delay(attempt: int, asked_for: float | None, left: float, jitter: float) -> float | None:
    """Seconds to wait before trying again, or None when the budget does not allow it.

    `attempt` counts from 1 (the try that has just failed), `asked_for` is the server's own wish,
    `left` what remains of the pass's budget in seconds, `jitter` a random number in [0, 1). What a
    server asks for is never shortened (a client that comes back too early is blocked), only
    lengthened: by the jitter so that a fleet does not come back in step, and to our own delay, since one
    that always asks for 0 seconds would be asked without a pause.
    """
    ceiling = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(attempt - 1, 16))
    delay = ceiling * (0.5 + 0.5 * jitter)
    if asked_for is not None:
        delay = max(delay, asked_for + min(asked_for * 0.1, 5.0) * jitter)
    return delay if delay <= left else None
