"""The guess that is shown before anything sounds."""

import pytest

from services.create.domain.estimate import Estimate, Strategy, estimate


def test_the_composer_sounds_in_seconds_and_is_ready_in_two_minutes() -> None:
    assert estimate(["composer"], 6, "ahead") == Estimate(first_sound_seconds=5, ready_seconds=120)
    assert estimate([], 6, "ahead") == estimate(["composer"], 6, "ahead")


@pytest.mark.parametrize(("strategy", "ready"), [("all", 150), ("ahead", 325), ("sequential", 900)])
def test_a_provider_that_works_in_parallel_is_ready_by_strategy(strategy: Strategy, ready: int) -> None:
    assert estimate(["suno", "composer"], 6, strategy) == Estimate(first_sound_seconds=35, ready_seconds=ready)


def test_an_unknown_provider_gets_a_cautious_guess() -> None:
    assert estimate(["somebody"], 5, "all") == Estimate(first_sound_seconds=60, ready_seconds=120)
