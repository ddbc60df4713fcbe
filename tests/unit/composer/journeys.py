"""Owns the plans composer's tests play: example A of domain.md §4.7, and short plans of any shape."""

from typing import Any

from services.composer.engine.curves import ArcPath, Tempo
from services.composer.engine.plan import FAMILIES, SegmentPlan, Span
from services.composer.exact import ExactPlan

SECONDS = (130, 120, 230, 240, 240, 240)
MODES = ("aeolian", "aeolian", "aeolian", "dorian", "mixolydian", "mixolydian")
LOUDNESS = (-15.5, -15.5, -15.7, -16.0, -16.3, -16.4)
AROUSAL = (0.75, 0.74, 0.54, 0.06, -0.41, -0.55)


def example_a(index: int, **changes: Any) -> dict[str, Any]:
    """`x_parcours` of one segment of example A."""
    starts = [sum(SECONDS[:place]) for place in range(6)]
    numbers = {
        "version": 1,
        "plan_hash": "0" * 64,
        "seed": 7,
        "segment_index": index,
        "segment_count": 6,
        "segment_start_seconds": starts[index],
        "seconds": SECONDS[index],
        "file_seconds": SECONDS[index] + (5 if index < 5 else 0),
        "total_seconds": 1200,
        "arc": "iso",
        "phase": "deepen",
        "start": {"valence": -0.52, "arousal": 0.75},
        "trough": None,
        "target": {"valence": 0.4, "arousal": -0.55},
        "tempo": {"base_bpm": 64, "base_arousal": -0.55, "bpm_per_arousal": 24, "min_bpm": 60, "max_bpm": 90},
        "bpm": 80,
        "bpm_start": 84.95,
        "bpm_end": 72.47,
        "density_modifier": 1.0,
        "brightness_cap": None,
        "groove": 0.0,
        "tonic": "D",
        "mode": MODES[index],
        "family": "circle",
        "degrees": list(FAMILIES["circle"][MODES[index]]),
        "metre": "6/8",
        "timbre": "handpan",
        "arousal_mid": AROUSAL[index],
        "valence_mid": -0.03,
        "loudness_lufs": LOUDNESS[index],
        "timeline": [
            {
                "start_seconds": start,
                "seconds": seconds,
                "mode": mode,
                "degrees": list(FAMILIES["circle"][mode]),
                "metre": "6/8",
            }
            for start, seconds, mode in zip(starts, SECONDS, MODES, strict=True)
        ],
    }
    return numbers | changes


def plan_a(index: int, **changes: Any) -> SegmentPlan:
    return ExactPlan.model_validate(example_a(index, **changes)).plan()


def short_plan(
    seconds: float = 15,
    *,
    seed: int = 3,
    take: int = 0,
    index: int = 1,
    count: int = 3,
    arousal: float = 0.3,
    timbre: str = "felt",
    groove: float = 0.0,
    metre: str = "4/4",
    mode: str = "dorian",
) -> SegmentPlan:
    """A segment of `seconds` in a run of constant state; the last one has no tail."""
    path = ArcPath(
        total_seconds=count * seconds,
        start=(0.0, arousal),
        trough=None,
        target=(0.0, arousal),
        tempo=Tempo(70, 0.0, 24, 50, 110),
        density_modifier=1.0,
        brightness_cap=None,
        groove=groove,
    )
    spans = tuple(Span(place * seconds, seconds, mode, FAMILIES["circle"][mode], metre) for place in range(count))
    tail = 0 if index == count - 1 else 5
    return SegmentPlan(seed, index, count, take, seconds + tail, 2, timbre, -16.0, arousal, path, spans)
