"""Owns whether a preview and a final are one performance, and by how much one is late (audio-and-player.md §6.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

WINDOW_SECONDS: Final = 12.0
WINDOWS: Final = 3  # at the beginning, in the middle and at the end of what both play
LEAST_SECONDS: Final = 5.0  # of a window; a preview is shown from 5 s on
MARGIN_SECONDS: Final = 0.25  # at both ends, where coders and softened edges differ
COMPARED_SECONDS: Final = 120.0  # of a long preview: what follows is the same stream, and costs as much again
LAG_SECONDS: Final = 2.0  # looked for, either way
LEAST_PEAK: Final = 0.90  # same take .997–1.0, other seed .16–.28
SAMPLE_RATE: Final = 44100  # Hz that lags are counted at
LAGS_APART_SAMPLES: Final = 2.0
APART_MS: Final = 10_000  # composer names a point wherever no note begins, which may be minutes apart


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of the preview that is looked for in the final."""

    from_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Match:
    """Where a window was found. `lag_samples`: its place in the preview minus its place in the final."""

    window: Window
    lag_samples: float
    peak: float

    def record(self) -> dict[str, float]:
        return {
            "from_seconds": round(self.window.from_seconds, 3),
            "seconds": round(self.window.seconds, 3),
            "lag_ms": _milliseconds(self.lag_samples),
            "peak": round(self.peak, 4),
        }


@dataclass(frozen=True, slots=True)
class Alignment:
    """What a player needs to go from a preview to its final; `offset_ms` is `None` unless they are the same take.

    `matches` say how certain that is: how many windows of what length were compared, and how alike they were.
    """

    preview_path: str | None = None
    matches: tuple[Match, ...] = ()
    gain_db: float | None = None

    @property
    def same_take(self) -> bool:
        lags = [match.lag_samples for match in self.matches]
        alike = bool(lags) and all(match.peak >= LEAST_PEAK for match in self.matches)
        return alike and max(lags) - min(lags) <= LAGS_APART_SAMPLES

    @property
    def offset_ms(self) -> float | None:
        if not self.same_take:
            return None
        return _milliseconds(sum(match.lag_samples for match in self.matches) / len(self.matches))

    def over_a_bed(self, gain_db: float) -> Self:
        """The same, of a file in which the music plays with this gain: a narrated one."""
        return self if self.gain_db is None else replace(self, gain_db=self.gain_db + gain_db)

    def record(self) -> dict[str, Any]:
        """What is kept with the segment."""
        return {
            "preview_offset_ms": self.offset_ms,
            "same_take": self.same_take,
            "preview_gain_db": None if self.gain_db is None else round(self.gain_db, 2),
            "preview_compared": {"path": self.preview_path, "windows": [match.record() for match in self.matches]},
        }


def plan_windows(seconds: float) -> tuple[Window, ...]:
    """Where to look in the first `seconds` of a preview; fewer places, then a shorter one, for a short preview."""
    usable = seconds - 2 * MARGIN_SECONDS
    if usable < LEAST_SECONDS:
        return ()
    length = min(WINDOW_SECONDS, usable)
    count = min(WINDOWS, int(usable // length))
    step = (usable - length) / max(1, count - 1)
    return tuple(Window(MARGIN_SECONDS + place * step, length) for place in range(count))


def only_of_what_is_shown(measures: Mapping[str, Any], shown: str | None) -> dict[str, Any]:
    """Measures as they hold for the preview that is shown: those of another one say nothing of it."""
    compared = (measures.get("preview_compared") or {}).get("path")
    if shown is not None and shown == compared:
        return dict(measures)
    return dict(measures) | Alignment().record()


def quiet_points(named: Sequence[int], measured: Sequence[int], end_ms: float) -> list[int]:
    """Where a player may change over: what composer names of its own music, and quiet moments far from all of those."""
    own = [point for point in named if point < end_ms]
    return sorted([*own, *(point for point in measured if all(abs(point - other) >= APART_MS for other in own))])


def first_part_seconds(parts: Sequence[Mapping[str, Any]], join_seconds: float) -> float:
    """How far a file plays its first part alone: what a preview is compared with (§2.4)."""
    first = float(parts[0]["to_seconds"]) - float(parts[0].get("from_seconds", 0.0))
    return first - join_seconds if len(parts) > 1 else first


def _milliseconds(samples: float) -> float:
    return round(1000 * samples / SAMPLE_RATE, 3) + 0.0  # no -0.0
