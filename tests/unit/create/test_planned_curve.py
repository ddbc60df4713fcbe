"""The planned curve: example A's own numbers, one value for every 15 s, in agreement with every segment's targets."""

from statistics import mean

import pytest

from services.create.domain import emotion
from services.create.domain.planned_curve import STEP_SECONDS, planned_curve
from services.create.domain.planner import PlanRequest, make_plan
from services.create.domain.presets import catalogue


def test_example_a_is_told_every_15_seconds() -> None:
    plan = make_plan(PlanRequest("panique-anxiete", 7, emotion.parse("fear-0.8"), 8), key=b"k")
    curve = planned_curve(plan)
    assert [len(curve[name]) for name in ("bpm", "brightness", "lufs")] == [80, 80, 80]
    # domain.md §4.7, A: the middle of segment 4 is at 600 s, of segment 6 at 1080 s
    assert [(round(curve["bpm"][at]), round(curve["brightness"][at], 2)) for at in (4, 40, 72)] == [
        (90, 0.54),
        (78, 0.38),
        (64, 0.25),
    ]
    assert (curve["lufs"][4], curve["lufs"][72]) == pytest.approx((-15.5, -16.4), abs=0.05)


@pytest.mark.parametrize("preset", [each.key for each in catalogue().presets])
@pytest.mark.parametrize(("state", "suds"), [("fear-0.8", 9), ("sadness-0.8", 2), (None, None)])
def test_the_curve_agrees_with_every_segments_loudness(preset: str, state: str | None, suds: int | None) -> None:
    plan = make_plan(PlanRequest(preset, 7, emotion.parse(state) if state else None, suds), key=b"k")
    curve = planned_curve(plan)
    assert len(curve["lufs"]) == -(-plan.total_seconds // STEP_SECONDS)
    for segment in plan.segments:
        inside = range(segment.start_seconds // STEP_SECONDS, (segment.start_seconds + segment.seconds) // STEP_SECONDS)
        assert mean(curve["lufs"][place] for place in inside) == pytest.approx(segment.loudness_lufs, abs=0.2)
        assert all(plan.tempo.min_bpm <= curve["bpm"][place] <= plan.tempo.max_bpm for place in inside)
