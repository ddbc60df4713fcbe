"""Four timbre sets that a listener tells apart: by onset, brightness, inharmonic energy and slow movement."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest

from services.composer.engine.notes import Note
from services.composer.engine.padsynth import LoopCache, frequency
from services.composer.engine.plan import SAMPLE_RATE
from services.composer.engine.struck import BEATS, TONES, WaveCache
from services.composer.engine.timbres import SETS, voice_of
from services.composer.engine.voices import VoiceBank

PITCH = 74
TWICE, LONGER, BRIGHTER = 2.0, 1.3, 1.12  # ratios of onsets, decays and centroids that are heard
ROUGHER, MORE_SWELL = 0.01, 0.04  # differences of shares

Samples = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Numbers:
    """What tells one timbre set from another."""

    onset_seconds: float  # of the keys
    ring_seconds: float  # until they have lost 20 dB
    keys_hz: float  # centroid of the keys
    pads_hz: float  # centroid of the pads
    rough: float  # inharmonic share of keys and second voice
    swell: float  # of the pads' level, relative

    def differences(self, other: "Numbers") -> int:
        pairs = (
            (self.onset_seconds, other.onset_seconds, TWICE),
            (self.ring_seconds, other.ring_seconds, LONGER),
            (self.keys_hz, other.keys_hz, BRIGHTER),
            (self.pads_hz, other.pads_hz, BRIGHTER),
        )
        heard = sum(max(one / two, two / one) >= least for one, two, least in pairs)
        return heard + (abs(self.rough - other.rough) >= ROUGHER) + (abs(self.swell - other.swell) >= MORE_SWELL)


@pytest.fixture(scope="module")
def numbers() -> dict[str, Numbers]:
    loops, waves = LoopCache(), WaveCache()
    return {timbre: describe(VoiceBank(loops, waves, timbre), timbre) for timbre in SETS}


def describe(bank: VoiceBank, timbre: str) -> Numbers:
    pad, keys, bell = (
        bank.play(note(part, pitch, seconds), 0, 0).samples.mean(axis=0)
        for part, pitch, seconds in (("pad", 60, 25.0), ("keys", PITCH, 5.0), ("bell", PITCH, 5.0))
    )
    middle = pad[5 * SAMPLE_RATE : 20 * SAMPLE_RATE]
    levels = np.sqrt((middle.reshape(-1, SAMPLE_RATE) ** 2).mean(axis=1))
    rough = inharmonic(keys, timbre, "keys") + inharmonic(bell, timbre, "bell")
    return Numbers(
        onset(keys), ring(keys), centroid(keys), centroid(middle), rough, float(levels.std() / levels.mean())
    )


def note(part: str, pitch: int, seconds: float) -> Note:
    return Note(0.0, seconds, pitch, 0.6, part, 0.0, 0.3, 0.4, 0.3)  # type: ignore[arg-type]  # a part's name


def onset(wave: Samples) -> float:
    """Seconds until 90 % of the highest 10-ms level."""
    hop = SAMPLE_RATE // 100
    levels = np.sqrt((wave[: len(wave) // hop * hop].reshape(-1, hop) ** 2).mean(axis=1))
    return float((np.argmax(levels >= 0.9 * levels.max()) + 1) / 100)


def ring(wave: Samples) -> float:
    """Seconds from the highest 50-ms level to the last one within 20 dB of it."""
    hop = SAMPLE_RATE // 20
    levels = (wave[: len(wave) // hop * hop].reshape(-1, hop) ** 2).mean(axis=1)
    return float((np.flatnonzero(levels >= levels.max() / 100)[-1] - np.argmax(levels) + 1) / 20)


def centroid(wave: Samples) -> float:
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
    hertz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    return float((power * hertz).sum() / power.sum())


def inharmonic(wave: Samples, timbre: str, part: str) -> float:
    """Share of energy that is more than 3 % away from a multiple of the fundamental."""
    voice = voice_of(timbre, part)
    base = frequency(PITCH + voice.shift - (0 if voice.recipe in {"felt", "bell", "bowed"} else 12))
    power = np.abs(np.fft.rfft(wave)) ** 2
    ratio = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE) / base
    outside = np.abs(ratio - np.round(ratio)) > 0.03 * np.maximum(np.round(ratio), 1)
    return float(power[outside].sum() / power.sum())


def test_any_two_timbres_differ_in_two_numbers_at_least(numbers: dict[str, Numbers]) -> None:
    for one, other in combinations(SETS, 2):
        assert numbers[one].differences(numbers[other]) >= 2, numbers


def test_nothing_starts_faster_than_ten_milliseconds() -> None:
    waves = WaveCache()
    for recipe in (*TONES, *BEATS):
        assert onset(waves.wave(recipe, PITCH, 0)) >= 0.01


@pytest.mark.parametrize("recipe", [*TONES, "pulse"])
def test_both_forms_of_a_wave_add_up_to_a_steady_note_in_a_join(recipe: str) -> None:
    waves = WaveCache()
    sine, cosine = waves.wave(recipe, PITCH, 0), waves.wave(recipe, PITCH, 1)
    alone = float((sine**2).sum())
    assert float((cosine**2).sum()) == pytest.approx(alone, rel=0.2)
    assert float(((0.7071 * sine + 0.7071 * cosine) ** 2).sum()) == pytest.approx(alone, rel=0.2)
