"""Owns the loudness of a score before a sample of it exists (§5.6): one gain for preview and final, no measuring pass.

Notes start at random places of their loops, so their powers add. Each note's K-weighted power, dry and wet, is known
from its spectrum; the sum over time, gated like a meter gates, is the loudness to come.
"""

import functools
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import fft, signal

from services.composer.engine import voices
from services.composer.engine.level import gated_lufs, k_weighting
from services.composer.engine.padsynth import BIN_HZ, LAYERS, LOOP_SAMPLES, loop_bins
from services.composer.engine.plan import FADE_OUT_SECONDS, SAMPLE_RATE, SegmentPlan
from services.composer.engine.score import Note, Score
from services.composer.engine.space import WET, response

Powers: TypeAlias = npt.NDArray[np.floating]

STRUCK_PROBES = (62, 70, 78, 86)


def forecast_lufs(plan: SegmentPlan, score: Score, tails: tuple[float, float] = (3.0, 1.0)) -> float:
    """Integrated loudness of the raw render, before any gain."""
    seconds = int(plan.file_seconds) + 60
    powers = np.full(seconds, 1e-9)
    times = plan.span.start_seconds + np.arange(seconds) + 0.5
    for note in score.notes:
        if note.part == "pad":
            _spread(
                powers, note.start, note.seconds + tails[0], min(4.0, 0.3 * note.seconds), _pad_power(plan, note, times)
            )
        elif note.part == "bass":
            power = _loop_power(note.pitch, "dark", 0.15, 0.0) * (0.17 * note.velocity) ** 2
            _spread(powers, note.start, note.seconds + tails[1], 1.2, power)
        else:
            _add_struck(powers, plan, note)
    powers = powers[: max(1, int(plan.file_seconds))]
    if plan.is_last:
        ahead = np.arange(len(powers)) + 0.5 - (plan.file_seconds - FADE_OUT_SECONDS)
        powers = powers * np.cos(np.clip(ahead / FADE_OUT_SECONDS, 0, 1) * np.pi / 2) ** 4
    return gated_lufs(powers)


def _pad_power(plan: SegmentPlan, note: Note, times: Powers) -> Powers:
    """One pad note over the run's time; its layers are independent noise, and the moving one opens and closes."""
    bright = note.brightness
    layer, pan = voices.pad_layer(plan.timbre), note.pan / 2
    power = (1 - 0.35 * bright) ** 2 * _loop_power(note.pitch, "dark", 1.0, pan)
    moving = (1.5 * bright) ** 2 * _loop_power(note.pitch, layer, 1.0, pan)
    airy = bright * max(0.0, 0.10 + 0.12 * note.arousal)
    moving += airy**2 * _loop_power(note.pitch + 12, "air", 1.0, pan)
    opening = 0.65 + 0.35 * np.sin(2 * np.pi * (times / 20 + note.pitch / 12))
    return (power + opening**2 * moving) * (0.16 * note.velocity) ** 2


def _loop_power(pitch: int, layer: str, send: float, pan: float) -> float:
    """Power of a loop at a place of the panorama (−1…1), both channels together."""
    left, right = _loop_powers(pitch, layer, send)
    angle = (pan + 1) * np.pi / 4
    return float(left * np.cos(angle) ** 2 + right * np.sin(angle) ** 2)


def _add_struck(powers: Powers, plan: SegmentPlan, note: Note) -> None:
    recipe, gain, send = voices.struck_recipe(plan.timbre, note.part)
    if recipe == "bowed":
        power = _loop_power(note.pitch, "string", send, note.pan) * (gain * note.velocity) ** 2
        _spread(powers, note.start, 6.0, 2.5, power)
        return
    profile = _struck_profile(recipe, send, min(STRUCK_PROBES, key=lambda probe: abs(probe - note.pitch)))
    first = max(0, int(note.start))
    count = min(len(profile), len(powers) - first)
    if count > 0:
        powers[first : first + count] += profile[:count] * (gain * note.velocity) ** 2


def _spread(powers: Powers, start: float, seconds: float, attack: float, power: float | Powers) -> None:
    """A sustained note as a trapezoid; sin⁴ edges carry 3/8 of their span's power."""
    edges = np.arange(len(powers)) + 0.5
    inside = np.clip(np.minimum((edges - start) / (attack * 0.75), (start + seconds - edges) / 2.6), 0, 1)
    powers += power * inside**2


@functools.cache
def _loop_powers(pitch: int, layer: str, send: float) -> tuple[float, float]:
    """K-weighted power of a loop's channels, with its reverb: exact, since a loop is periodic.

    The room's response is as rough as noise; on narrow bands its dips and peaks are worth ± 1 dB, so no smoothing.
    """
    used, bins = loop_bins(pitch, LAYERS[layer])
    heard = np.abs(bins) ** 2 * _k_power()[used] * np.abs(1 + send * WET * _room()[:, used]) ** 2
    left, right = (float(power) * 2 / LOOP_SAMPLES**2 for power in heard.sum(axis=1))  # one-sided bins
    return left, right


@functools.cache
def _k_power() -> Powers:
    hertz = np.minimum(np.arange(LOOP_SAMPLES // 2 + 1) * BIN_HZ, SAMPLE_RATE / 2 - 1)
    power: Powers = np.abs(signal.sosfreqz(k_weighting(), hertz, fs=SAMPLE_RATE)[1]) ** 2
    return power


@functools.cache
def _room() -> npt.NDArray[np.complex64]:
    room: npt.NDArray[np.complex64] = fft.rfft(response(), LOOP_SAMPLES, axis=1)
    return room


@functools.cache
def _struck_profile(recipe: str, send: float, pitch: int) -> Powers:
    """K-weighted power per second after the strike, at gain 1 in the centre; the wet part rings on."""
    wave = np.concatenate((voices.RECIPES[recipe](pitch).astype(np.float64), np.zeros(5 * SAMPLE_RATE)))
    room = response()[0].astype(np.float64)
    wet = signal.fftconvolve(wave, room)[: len(wave)] * send * WET
    sections = k_weighting()
    power = signal.sosfilt(sections, wave) ** 2 + signal.sosfilt(sections, wet) ** 2
    whole = len(power) // SAMPLE_RATE * SAMPLE_RATE
    profile: Powers = power[:whole].reshape(-1, SAMPLE_RATE).mean(axis=1)
    return profile
