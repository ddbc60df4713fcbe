"""What a run is meant to sound like over time: tempo, brightness and loudness of every 15 s, out of its plan."""

from typing import Any, Final

from services.create.domain import trajectory
from services.create.domain.plan import Plan

STEP_SECONDS: Final = 15  # as long as the windows in which the archiver measures


def planned_curve(plan: Plan) -> dict[str, Any]:
    """One value for every 15 s that a run lasts, each of the window's middle; its keys name the units.

    `brightness` is the planner's 0…1. Loudness follows arousal as a segment's target does, but continuously, so that
    its mean over a segment is nearly that target. Derived, so no part of the plan and of its hash.
    """
    total = plan.total_seconds
    starts = range(0, total, STEP_SECONDS)
    middles = [(start + min(start + STEP_SECONDS, total)) / 2 for start in starts]
    arousals = [plan.path.at(middle / total).arousal for middle in middles]
    loudest = max(segment.arousal for segment in plan.segments)
    first = plan.segments[0]
    base = first.loudness_lufs - trajectory.loudness_offset(first.arousal, loudest)  # -16 and the run's own mean
    return {
        "step_seconds": STEP_SECONDS,
        "bpm": [round(plan.tempo.at(arousal), 2) for arousal in arousals],
        "brightness": [round(trajectory.brightness(arousal, plan.brightness_cap), 4) for arousal in arousals],
        "lufs": [round(base + trajectory.loudness_offset(arousal, loudest), 2) for arousal in arousals],
    }
