"""What a soak has counted and measured, for people and as one line of JSON."""

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Json = Any


class Slope(NamedTuple):
    """Of a least-squares line, a unit an hour, and its standard error; NaN while there is too little."""

    per_hour: float
    error: float

    def __str__(self) -> str:
        return f"{self.per_hour:+.1f} ± {self.error:.1f} an hour"


def slope(points: Sequence[tuple[float, float]]) -> Slope:
    """`points` are (hours, value)."""
    hours, values = [hour for hour, _ in points], [value for _, value in points]
    if len(points) < 3 or max(hours) == min(hours):
        return Slope(math.nan, math.nan)
    line = statistics.linear_regression(hours, values)
    rest = sum((value - line.intercept - line.slope * hour) ** 2 for hour, value in points)
    spread = sum((hour - statistics.fmean(hours)) ** 2 for hour in hours)
    return Slope(line.slope, math.sqrt(rest / (len(points) - 2) / spread))


@dataclass
class Figures:
    """Of one store. `peaks` are KB of whole passes, `sizes` what must not grow; both with their hour."""

    store: str
    sized: str
    rounds: int = 0
    passes: int = 0
    signals: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    weather: Counter[str] = field(default_factory=Counter)
    initialisations: int = 0
    changes: int = 0
    compared: int = 0
    records_compared: int = 0
    divergences: int = 0
    verified: int = 0
    blocked: int = 0
    slowest_stop: float = 0.0
    peaks: list[tuple[float, float]] = field(default_factory=list)
    sizes: list[tuple[float, float]] = field(default_factory=list)

    def line(self) -> str:
        """The progress in short."""
        memory = f"{self.peaks[-1][1] / 1024:.0f} MB" if self.peaks else "-"
        size = f"{self.sizes[-1][1]:.0f}" if self.sizes else "-"
        return (
            f"{self.store}: {self.rounds} rounds, {self.passes} passes, {self.signals.total()} signals, "
            f"{self.compared} contents compared, {self.divergences} divergences, last peak {memory}, "
            f"{self.sized} {size}"
        )

    def lines(self) -> Iterator[str]:
        """All of it for people."""
        peaks = [value for _, value in self.peaks]
        sizes = [value for _, value in self.sizes]
        yield f"{self.store}: {self.rounds} rounds, {self.passes} passes, {self.verified} audits"
        yield f"  signals            {_counts(self.signals)}"
        yield f"  exit codes         {_counts(self.codes)}"
        yield f"  weather            {_counts(self.weather)}"
        yield f"  initialisations    {self.initialisations}"
        yield f"  changes applied    {self.changes}"
        yield f"  seen blocked       {self.blocked}"
        yield f"  contents compared  {self.compared} ({self.records_compared} records)"
        yield f"  divergences        {self.divergences}"
        if peaks:
            yield f"  peak memory, KB    {_spread(peaks)}"
            yield f"  {'':17}  slope {slope(self.peaks)}, of the second half {slope(_later(self.peaks))}"
            yield f"  {self.sized:17}  {_spread(sizes)}"
            yield f"  {'':17}  slope {slope(self.sizes)}, of the second half {slope(_later(self.sizes))}"
        yield f"  slowest stop       {self.slowest_stop:.2f} s after TERM or INT"

    def document(self) -> Json:
        """The same for programs."""
        return {
            "store": self.store,
            "rounds": self.rounds,
            "passes": self.passes,
            "signals": dict(self.signals),
            "exit_codes": {str(code): count for code, count in sorted(self.codes.items())},
            "weather": dict(self.weather),
            "initialisations": self.initialisations,
            "changes_applied": self.changes,
            "blocked": self.blocked,
            "contents_compared": self.compared,
            "records_compared": self.records_compared,
            "divergences": self.divergences,
            "audits": self.verified,
            "peak_kb": _measured(self.peaks),
            self.sized.replace(" ", "_").lower(): _measured(self.sizes),
            "slowest_stop_seconds": round(self.slowest_stop, 3),
        }


def _counts(counter: Counter[Any]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counter.items())) or "none"


def _spread(values: list[float]) -> str:
    middle = statistics.median(values)
    return f"{min(values):.0f} to {max(values):.0f}, median {middle:.0f} of {len(values)}"


def _later(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Without the time in which everything comes to its usual size."""
    return points[len(points) // 2 :]


def _measured(points: list[tuple[float, float]]) -> Json:
    if not points:
        return None
    values = [value for _, value in points]
    return {
        "least": min(values),
        "most": max(values),
        "median": statistics.median(values),
        "n": len(values),
        "per_hour": _rounded(slope(points)),
        "per_hour_of_the_second_half": _rounded(slope(_later(points))),
    }


def _rounded(line: Slope) -> Json:
    """Slope and standard error."""
    return [None if math.isnan(each) else round(each, 2) for each in line]
