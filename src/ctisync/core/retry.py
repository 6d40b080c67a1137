"""The delay before a retry. The retry budget waits; these functions compute how long."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

FIRST_DELAY: Final = 1.0
LONGEST_DELAY: Final = 60.0


def parse_retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds that a `Retry-After` header asks for; None if it is missing or invalid.

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
    """The time of an HTTP date (RFC 9110, 5.6.7); None for any other text.

    The standard library's parser raises more than ValueError: OverflowError for numbers beyond a C integer,
    and in some releases of Python IndexError for incomplete texts.
    """
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError, IndexError):
        return None
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def next_delay(attempt: int, retry_after: float | None, left: float, jitter: float) -> float | None:
    """Seconds to wait before the next try; None if the budget does not allow it.

    `attempt`: the number of the failed try, from 1. `retry_after`: seconds of the server's Retry-After.
    `left`: the rest of the budget in seconds. `jitter`: a random number in [0, 1). The server's delay is
    never shortened, because it may block a client that comes too early. It is lengthened by the jitter, so
    that many clients do not come at the same time, and to our own delay at least, because a server may
    always ask for 0 seconds.
    """
    ceiling = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(attempt - 1, 16))
    delay = ceiling * (0.5 + 0.5 * jitter)
    if retry_after is not None:
        delay = max(delay, retry_after + min(retry_after * 0.1, 5.0) * jitter)
    return delay if delay <= left else None
