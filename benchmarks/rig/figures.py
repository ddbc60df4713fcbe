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


def number(value: float, digits: int) -> str:
    """For a table: a dash for what was not measured, ∞ for what never came."""
    if math.isnan(value):
        return "–"
    return "∞" if math.isinf(value) else f"{value:.{digits}f}"


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
        middle, least, most = (number(value, digits) for value in (self.median, self.least, self.most))
        return middle + unit if least == most else f"{middle}{unit} ({least}–{most})"

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
