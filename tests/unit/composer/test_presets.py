"""Twenty presets, twenty pieces: with one seed and one timbre any two are told apart, by numbers of their scores."""

from itertools import combinations

import pytest

from services.create.domain.presets import catalogue
from tests.unit.composer.features import BY_SEVERAL, FAR_ENOUGH, Features, distance, features_of, journey_of


@pytest.fixture(scope="module")
def pieces() -> dict[str, Features]:
    return {preset.key: features_of(journey_of(preset.key, style="piano")) for preset in catalogue().presets}


def test_any_two_presets_lie_several_just_heard_steps_apart(pieces: dict[str, Features]) -> None:
    distances = {(one, other): distance(pieces[one].steps_to(pieces[other])) for one, other in combinations(pieces, 2)}
    nearest = min(distances, key=lambda pair: distances[pair])
    assert len(pieces) == 20
    assert distances[nearest] >= FAR_ENOUGH, nearest


def test_any_two_presets_differ_in_several_ways(pieces: dict[str, Features]) -> None:
    for one, other in combinations(pieces, 2):
        apart = pieces[one].steps_to(pieces[other])
        assert sum(steps >= 1 for steps in apart.values()) >= BY_SEVERAL, (one, other, apart)
