"""Owns the claims about the measured tempo: right within 1 BPM on real music of composer's, or not told."""

import numpy as np
import pytest

from services.archiver.sound.beat import Beginnings, Floats, tempi
from services.composer.engine.render import Instrument
from tests.unit.composer.journeys import short_plan

CENTRES = (7.5, 22.5, 37.5, 52.5)
BPM = 77.2  # of a state of arousal 0.3 in these plans: 70 + 24 · 0.3


@pytest.fixture(scope="module")
def music() -> Floats:
    """A minute of composer's felt keys over pads, with its soft pulse; the mid channel."""
    plan = short_plan(60, arousal=0.3)
    blocks = Instrument().blocks(plan)
    sound: Floats = np.concatenate([block.mean(axis=0) for block in blocks])[: 60 * 44_100]
    return sound


def begun(sound: Floats, block: int = 441_000) -> tuple[Floats, float]:
    heard = Beginnings(44_100)
    for start in range(0, len(sound), block):
        heard.add(sound[start : start + block])
    return heard.found(), heard.per_second


@pytest.mark.parametrize("off", [0.88, 1.0, 1.12])
def test_the_tempo_is_the_musics_even_where_the_plans_is_off_by_an_eighth(music: Floats, off: float) -> None:
    found, per_second = begun(music)
    told = tempi(found, per_second, near_bpm=BPM * off, centres=CENTRES)
    assert [bpm for bpm in told if bpm is not None] == pytest.approx([BPM] * 4, abs=1.0)


def test_beginnings_without_a_beat_have_no_tempo(music: Floats) -> None:
    found, per_second = begun(music)
    for seed in range(5):
        shuffled = np.random.default_rng(seed).permutation(found)
        assert tempi(shuffled, per_second, near_bpm=BPM, centres=CENTRES) == [None] * 4
    assert tempi(found * 0, per_second, near_bpm=BPM, centres=CENTRES) == [None] * 4
    assert tempi(found[:2000], per_second, near_bpm=BPM, centres=(7.5,)) == [None]  # 20 s are too short to tell


def test_the_size_of_the_blocks_does_not_show(music: Floats) -> None:
    whole, _ = begun(music[: 12 * 44_100], block=12 * 44_100)
    pieces, _ = begun(music[: 12 * 44_100], block=8 * 1000)
    assert np.allclose(whole, pieces, atol=1e-3)
