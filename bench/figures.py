"""Figures of several measurements, and the line through points."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """Of the same thing, measured several times."""

    least: float
    median: float
    most: float
    values: tuple[float, ...]

    @property
    def width(self) -> float:
        return self.most - self.least


class Line(NamedTuple):
    """By least squares: value = intercept + slope * size; `r_squared` is the share that it explains."""

    slope: float
    intercept: float
    r_squared: float


def spread(values: Sequence[float]) -> Spread:
    return Spread(min(values), statistics.median(values), max(values), tuple(values))


def line_through(points: Sequence[tuple[float, float]]) -> Line:
    """`points` are (size, value), of two sizes at least."""
    sizes, values = [size for size, _ in points], [value for _, value in points]
    slope, intercept = statistics.linear_regression(sizes, values)
    level = min(values) == max(values)
    return Line(slope, intercept, 1.0 if level else statistics.correlation(sizes, values) ** 2)
