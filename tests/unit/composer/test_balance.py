"""Loudness is known and kept before a sample exists: it follows the plan's curve over a whole journey."""

import numpy as np
import numpy.typing as npt
import pytest

from services.composer.engine.balance import balance
from services.composer.engine.plan import SegmentPlan
from services.composer.engine.score import compose
from tests.unit.composer.features import journey_of
from tests.unit.composer.journeys import plan_a

WINDOW_SECONDS = 30

Curve = npt.NDArray[np.float64]


def curves(journey: list[SegmentPlan]) -> tuple[Curve, Curve]:
    """Forecast loudness and planned arousal of each 30 s."""
    loud, planned = [], []
    for plan in journey:
        balanced = balance(plan, compose(plan))
        seconds = int(plan.span.seconds)
        loud.append(balanced.powers[:seconds] * balanced.gain(plan) ** 2)
        planned.append([plan.path.at(plan.span.start_seconds + second + 0.5).arousal for second in range(seconds)])
    power, arousal = np.concatenate(loud), np.concatenate(planned)
    whole = len(power) // WINDOW_SECONDS * WINDOW_SECONDS
    return (
        10 * np.log10(power[:whole].reshape(-1, WINDOW_SECONDS).mean(axis=1)),
        arousal[:whole].reshape(-1, WINDOW_SECONDS).mean(axis=1),
    )


def test_loudness_falls_along_example_a_as_planned() -> None:
    loudness, arousal = curves([plan_a(index) for index in range(6)])
    assert np.corrcoef(loudness, arousal)[0, 1] >= 0.9
    assert 0.5 <= loudness[:3].mean() - loudness[-3:].mean() <= 1.8


def test_loudness_and_events_rise_along_example_c() -> None:
    journey = journey_of("apathie-demotivation", given="numb-0.7")
    loudness, arousal = curves([journey[0], journey[-1]])
    assert np.corrcoef(loudness, arousal)[0, 1] >= 0.9
    first, last = (events_a_second(plan) for plan in (journey[0], journey[-1]))
    assert last > first


def events_a_second(plan: SegmentPlan) -> float:
    struck = [note for note in compose(plan).notes if note.part in {"keys", "bell"}]
    return sum(0 <= note.start < plan.span.seconds for note in struck) / plan.span.seconds


@pytest.mark.parametrize("index", [0, 5])
def test_the_gain_meets_the_plans_loudness(index: int) -> None:
    plan = plan_a(index)
    balanced = balance(plan, compose(plan))
    assert balanced.lufs + 20 * np.log10(balanced.gain(plan)) == pytest.approx(plan.target_lufs)
