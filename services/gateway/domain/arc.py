"""Owns how the planned and the measured course of a run are laid on one timeline, and how well they agree."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Numbers = Mapping[str, Any]

STEP_SECONDS: Final = 15
FADE_SECONDS: Final = 12.0  # at the run's end the music goes, whatever the plan's loudness says
LEAST_PAIRS: Final = 4  # of fewer points no correlation is told
LOUDNESS_SECONDS: Final = 60  # a plan moves by 1 LU in all, and single chords by half of it (audio-and-player.md §5.9)


@dataclass(frozen=True, slots=True)
class Planned:
    """What was meant for the 15 s from `t` on; `brightness` is the planner's 0…1."""

    t: float
    bpm: float
    brightness: float
    lufs: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What the stored file plays in the 15 s from `t` on, in seconds of the run; no `bpm` where none is certain."""

    t: float
    segment_index: int
    bpm: float | None
    centroid_hz: float
    lufs: float


def planned_points(plan: Numbers) -> list[Planned]:
    """The curve that create kept beside the plan; empty for a run that was planned before there was one."""
    curve = plan.get("curve")
    if not isinstance(curve, Mapping):
        return []
    rows = zip(curve["bpm"], curve["brightness"], curve["lufs"], strict=True)
    return [Planned(place * curve["step_seconds"], *row) for place, row in enumerate(rows)]


def measured_points(segments: Sequence[Numbers]) -> list[Measured]:
    """The curves of what is stored, one behind the other; what lies under the next segment's head is left out."""
    points: list[Measured] = []
    start = 0.0
    for segment in segments:
        seconds = float(segment["plan"].get("seconds") or 0)
        points += _of_segment(segment, start, seconds)
        start += seconds
    return points


def _of_segment(segment: Numbers, start: float, seconds: float) -> Iterator[Measured]:
    if segment["status"] != "complete":
        return
    for point in segment["metadata"].get("curve") or ():
        begin = float(point["from_seconds"])
        if begin + STEP_SECONDS / 2 < seconds or not seconds:
            index = segment["segment_index"]
            yield Measured(start + begin, index, point.get("bpm"), point["centroid_hz"], point["lufs"])


def correlations(planned: Sequence[Planned], measured: Sequence[Measured], total: float) -> dict[str, float | None]:
    """Pearson's r of tempo, brightness and loudness; `None` where too little was measured or nothing was to change."""
    heard = [point for point in measured if point.t + STEP_SECONDS <= total - FADE_SECONDS]
    return {
        "tempo": _correlation([(_at(planned, one.t, "bpm"), one.bpm) for one in heard]),
        "brightness": _correlation([(_at(planned, one.t, "brightness"), one.centroid_hz) for one in heard]),
        "loudness": _correlation(_minutes([(one.t, _at(planned, one.t, "lufs"), one.lufs) for one in heard])),
    }


def _minutes(points: Sequence[tuple[float, float | None, float]]) -> list[tuple[float | None, float | None]]:
    """Planned and measured means of each minute."""
    minutes: dict[int, list[tuple[float, float]]] = {}
    for t, meant, played in points:
        if meant is not None:
            minutes.setdefault(int((t + STEP_SECONDS / 2) // LOUDNESS_SECONDS), []).append((meant, played))
    means = (tuple(statistics.fmean(values) for values in zip(*pairs, strict=True)) for pairs in minutes.values())
    return [(meant, played) for meant, played in means]


def _at(planned: Sequence[Planned], t: float, name: str) -> float | None:
    """The planned value of the 15 s from `t` on: segments begin between two points of the plan."""
    if not planned:
        return None
    place = min(max(t / STEP_SECONDS, 0.0), len(planned) - 1.0)
    before = int(place)
    after = min(before + 1, len(planned) - 1)
    low, high = float(getattr(planned[before], name)), float(getattr(planned[after], name))
    return low + (high - low) * (place - before)


def _correlation(pairs: Sequence[tuple[float | None, float | None]]) -> float | None:
    known = [(one, other) for one, other in pairs if one is not None and other is not None]
    if len(known) < LEAST_PAIRS:
        return None
    try:
        return round(statistics.correlation(*zip(*known, strict=True)), 3)
    except statistics.StatisticsError:  # a constant has no correlation
        return None
