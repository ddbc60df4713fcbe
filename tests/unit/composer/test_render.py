"""The stream of samples: deterministic, a preview is a prefix, the level is known beforehand, nothing clicks."""

import hashlib
import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from services.composer.engine.level import Meter
from services.composer.engine.padsynth import LAYERS, LOOP_SAMPLES, LoopCache, make_loop
from services.composer.engine.plan import SAMPLE_RATE, SegmentPlan
from services.composer.engine.render import BLOCK_SAMPLES, Instrument
from tests.unit.composer.journeys import plan_a, short_plan

Samples = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def instrument() -> Instrument:
    return Instrument()


def samples_of(instrument: Instrument, plan: SegmentPlan) -> Samples:
    return np.concatenate(list(instrument.blocks(plan)), axis=1)


def digest(samples: Samples) -> str:
    return hashlib.sha256(samples.tobytes()).hexdigest()


def test_the_same_plan_gives_the_same_bits_in_another_instrument(instrument: Instrument) -> None:
    assert digest(samples_of(instrument, short_plan())) == digest(samples_of(Instrument(), short_plan()))


def test_two_seeds_give_different_bits_at_the_same_level(instrument: Instrument) -> None:
    levels = []
    digests = set()
    for seed in (1, 2):
        samples = samples_of(instrument, short_plan(seed=seed))
        meter = Meter()
        meter.add(samples)
        levels.append(meter.lufs)
        digests.add(digest(samples))
    assert len(digests) == 2
    assert levels[0] == pytest.approx(levels[1], abs=0.8)  # 20 s hold two chords; whole segments: ± 0.3


def test_a_window_is_a_prefix_of_the_whole(instrument: Instrument) -> None:
    whole = samples_of(instrument, short_plan())
    first = next(instrument.blocks(short_plan()))
    assert first.shape[1] < whole.shape[1]
    assert np.array_equal(first, whole[:, : first.shape[1]])


@pytest.mark.parametrize("seconds", [10, 12.5, 15.0001])
def test_a_segment_has_exactly_the_samples_asked_for(instrument: Instrument, seconds: float) -> None:
    plan = short_plan(seconds)
    assert samples_of(instrument, plan).shape == (2, round((seconds + 5) * SAMPLE_RATE))


@pytest.mark.parametrize("timbre", ["felt", "handpan", "strings", "drone"])
def test_every_timbre_is_sane(instrument: Instrument, timbre: str) -> None:
    samples = samples_of(instrument, short_plan(timbre=timbre, arousal=0.6, groove=0.3))
    meter = Meter()
    meter.add(samples)
    seconds = samples[:, : samples.shape[1] // SAMPLE_RATE * SAMPLE_RATE].reshape(2, -1, SAMPLE_RATE)
    levels = 10 * np.log10((seconds**2).mean(axis=(0, 2)))
    spectrum = np.abs(np.fft.rfft(samples.mean(axis=0))) ** 2
    hertz = np.fft.rfftfreq(samples.shape[1], 1 / SAMPLE_RATE)
    assert meter.lufs == pytest.approx(-16.0, abs=0.6)  # of 20 s
    assert meter.peak <= 0.81
    assert abs(samples.mean(axis=1)).max() < 1e-3
    assert levels.min() > np.median(levels) - 15
    assert np.diff(levels).max() < 8
    assert np.corrcoef(samples[0], samples[1]).item(1) > 0
    assert spectrum[hertz < 60].sum() / spectrum.sum() < 0.2
    assert spectrum[hertz < 100].sum() / spectrum.sum() < 0.5


def test_a_later_segment_begins_inside_the_music_and_the_first_one_does_not(instrument: Instrument) -> None:
    head = slice(0, SAMPLE_RATE // 2)
    later = samples_of(instrument, short_plan(index=1))[:, head]
    first = samples_of(instrument, short_plan(index=0))[:, head]
    assert 20 * math.log10(later.std() / first.std()) > 6


def test_only_the_last_segment_fades_out(instrument: Instrument) -> None:
    def ending(plan: SegmentPlan) -> float:
        samples = samples_of(instrument, plan)
        return float(samples[:, -SAMPLE_RATE:].std() / samples[:, : 3 * SAMPLE_RATE].std())

    assert ending(short_plan(20, index=2)) < 0.1
    assert ending(short_plan(15, index=1)) > 0.3


def test_a_continuation_joins_the_file_it_continues(instrument: Instrument) -> None:
    whole = samples_of(instrument, short_plan())
    rest = samples_of(instrument, replace(short_plan(), from_seconds=12.0))
    assert rest.shape[1] == whole.shape[1] - 12 * SAMPLE_RATE
    assert np.abs(rest - whole[:, 12 * SAMPLE_RATE :]).max() < 2e-3  # another block grid: rounding only


def test_brightness_falls_along_example_a(instrument: Instrument) -> None:
    def centroid(index: int) -> float:
        plan = plan_a(index, from_seconds=80)
        window = np.concatenate([block for _, block in zip(range(4), instrument.blocks(plan), strict=False)], axis=1)
        turn = window[:, : 20 * SAMPLE_RATE].mean(axis=0)  # one turn of the pads' slow opening
        hertz = np.fft.rfftfreq(len(turn), 1 / SAMPLE_RATE)
        power = (np.abs(np.fft.rfft(turn)) * a_weight(hertz)) ** 2
        return float((power * hertz).sum() / power.sum())

    assert centroid(0) > 1.05 * centroid(3) > 1.1 * centroid(5)


def a_weight(hertz: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """IEC 61672 A curve, unnormalised."""
    square = hertz**2
    middle = np.sqrt((square + 107.7**2) * (square + 737.9**2))
    weight: npt.NDArray[np.float64] = square**2 / ((square + 20.6**2) * middle * (square + 12194**2))
    return weight


def test_loops_are_seamless_balanced_and_mono_safe() -> None:
    for name in ("dark", "bright", "air", "string"):
        loop = make_loop(60, LAYERS[name])
        assert loop.std(axis=1) == pytest.approx([0.25, 0.25], abs=0.001)
        assert 0.5 < np.corrcoef(loop[0], loop[1]).item(1) < 0.8
        seam = abs(loop[:, 0] - loop[:, -1]).max()
        assert seam <= np.abs(np.diff(loop, axis=1)).max()


def test_the_loop_cache_is_bounded_and_wraps() -> None:
    cache = LoopCache(capacity=2)
    once = cache.read(60, "dark", 0, LOOP_SAMPLES)
    for pitch in (61, 62, 63):
        cache.read(pitch, "dark", 0, 10)
    assert len(cache._loops) == 2
    again = cache.read(60, "dark", LOOP_SAMPLES - 10, 20)
    assert np.array_equal(again[:, :10], once[:, -10:])
    assert np.array_equal(again[:, 10:], once[:, :10])


def test_the_meter_reads_the_reference_tone() -> None:
    time = np.arange(5 * SAMPLE_RATE) / SAMPLE_RATE
    tone = np.stack([np.sin(2 * np.pi * 997 * time)] * 2).astype(np.float32) * np.float32(10 ** (-23 / 20))
    meter = Meter()
    for start in range(0, tone.shape[1], BLOCK_SAMPLES // 7):
        meter.add(tone[:, start : start + BLOCK_SAMPLES // 7])
    assert meter.lufs == pytest.approx(-23.0, abs=0.1)  # EBU Tech 3341, case 1: both channels
    assert math.isinf(Meter().lufs)
