"""Real time."""

import time
from datetime import UTC, datetime


class SystemClock:
    """The `Clock` of every run outside the tests."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
