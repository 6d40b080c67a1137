"""A clock on which time passes only by sleeping, so that tests need not wait."""

from datetime import UTC, datetime, timedelta


class FakeClock:
    """A `Clock` that starts at a fixed time. `slept`: the seconds of each sleep."""

    def __init__(self, start: datetime = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)) -> None:
        self._start = start
        self._passed = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._passed += seconds

    def advance(self, **delta: float) -> None:
        """Let time pass without a sleep; arguments as of `timedelta`."""
        self._passed += timedelta(**delta).total_seconds()
