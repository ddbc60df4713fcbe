"""Owns how measured values become figures: percentiles, median with minimum and maximum, the order of turns."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

T = TypeVar("T")


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all do not exceed (nearest rank); NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


@dataclass(frozen=True, slots=True)
class Spread:
    """Several repeats of one figure."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return self.text()

    def text(self, digits: int = 3, unit: str = "") -> str:
        """`median (least–most)`, or one number where all are the same."""
        middle = f"{self.median:.{digits}f}{unit}"
        if f"{self.least:.{digits}f}" == f"{self.most:.{digits}f}":
            return middle
        return f"{middle} ({self.least:.{digits}f}–{self.most:.{digits}f})"

    def plain(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def spread(values: Sequence[float]) -> Spread:
    """Median, minimum and maximum; NaN of nothing."""
    if not values:
        return Spread(math.nan, math.nan, math.nan)
    return Spread(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Latency:
    """The percentiles of one pass, in the unit of its values."""

    count: int
    p50: float
    p90: float
    p99: float
    most: float

    def plain(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def latency(values: Sequence[float]) -> Latency:
    return Latency(
        len(values),
        percentile(values, 50),
        percentile(values, 90),
        percentile(values, 99),
        max(values, default=math.nan),
    )


def turns(participants: Sequence[T], repeats: int) -> list[T]:
    """A B, B A, A B … : each as often as the others, none always first, so that a slow minute hits everybody."""
    order: list[T] = []
    for number in range(repeats):
        order += participants if number % 2 == 0 else list(reversed(participants))
    return order
