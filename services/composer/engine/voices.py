"""Owns the sound of single notes: each note of a score becomes stereo samples and a reverb share (§5.4)."""

import functools
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from services.composer.engine.padsynth import LOOP_SAMPLES, LoopCache, Stereo, frequency
from services.composer.engine.plan import SAMPLE_RATE
from services.composer.engine.score import Note

Mono: TypeAlias = npt.NDArray[np.float32]

STRUCK_BYTES = 30_000_000  # bound of the struck notes kept; one is 0.7–1.1 MB
LFO_SAMPLES = 20 * SAMPLE_RATE  # one turn of the pads' slow opening, 0.05 Hz


@dataclass(frozen=True, slots=True)
class Sound:
    """Samples of one note, already at its level, and how much of it feeds the reverb."""

    samples: Stereo
    send: float


class VoiceBank:
    """All voices of one timbre set; keeps what notes share."""

    def __init__(self, loops: LoopCache, waves: "WaveCache", timbre: str) -> None:
        self._loops = loops
        self._waves = waves
        self._timbre = timbre

    def play(self, note: Note, run_sample: int) -> Sound:
        """The whole note; `run_sample` is its place in the run, which slow movements follow across segments."""
        if note.part == "pad":
            return Sound(self._pad(note, run_sample), 1.0)
        if note.part == "bass":
            return Sound(self._bass(note), 0.15)
        recipe, gain, send = struck_recipe(self._timbre, note.part)
        if recipe == "bowed":
            return Sound(self._bowed(note, gain), send)
        return Sound(_panned(self._waves.stereo(recipe, note.pitch), note.pan, gain * note.velocity), send)

    def _pad(self, note: Note, run_sample: int) -> Stereo:
        bright = note.brightness
        count = round((note.seconds + 3.0) * SAMPLE_RATE)
        entry = round(note.phase * LOOP_SAMPLES)
        moving = self._loops.read(note.pitch, pad_layer(self._timbre), entry, count)
        moving *= np.float32(1.5 * bright)
        airy = bright * max(0.0, 0.10 + 0.12 * note.arousal)
        if airy > 0:
            air = self._loops.read(note.pitch + 12, "air", entry, count)
            air *= np.float32(airy)
            moving += air
        moving *= _opening_from(run_sample + note.pitch * LFO_SAMPLES // 12, count)
        samples = self._loops.read(note.pitch, "dark", entry, count)
        samples *= np.float32(1 - 0.35 * bright)
        samples += moving
        attack = min(4.0, 0.3 * note.seconds)
        _shape(samples, attack, 3.5)
        return _panned(samples, note.pan / 2, 0.16 * note.velocity)

    def _bass(self, note: Note) -> Stereo:
        count = round((note.seconds + 1.0) * SAMPLE_RATE)
        samples = self._loops.read(note.pitch, "dark", round(note.phase * LOOP_SAMPLES), count)
        _shape(samples, 1.2, 1.5)
        return _panned(samples, 0.0, 0.17 * note.velocity)

    def _bowed(self, note: Note, gain: float) -> Stereo:
        """A string section's single note: PADsynth with a slow bow, as long as a felt note rings."""
        samples = self._loops.read(note.pitch, "string", round(note.phase * LOOP_SAMPLES), 6 * SAMPLE_RATE)
        _shape(samples, 2.5, 3.0)
        return _panned(samples, note.pan, gain * note.velocity)


class WaveCache:
    """The most recently used struck notes of this process."""

    def __init__(self, limit_bytes: int = STRUCK_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._waves: OrderedDict[tuple[str, int], Mono] = OrderedDict()

    def stereo(self, recipe: str, pitch: int) -> Stereo:
        """A copy of the recipe's wave for this pitch, on both channels."""
        key = (recipe, pitch)
        if key not in self._waves:
            self._waves[key] = RECIPES[recipe](pitch)
            while sum(wave.nbytes for wave in self._waves.values()) > self._limit_bytes:
                self._waves.popitem(last=False)
        self._waves.move_to_end(key)
        return np.stack((self._waves[key], self._waves[key]))


@functools.cache
def _opening() -> Mono:
    """One turn of the pads' slow opening, shared by all timbre sets."""
    turn = 2 * np.pi * np.arange(LFO_SAMPLES) / LFO_SAMPLES
    opening: Mono = (0.65 + 0.35 * np.sin(turn)).astype(np.float32)
    return opening


# part or key sound -> recipe, gain, reverb send (§5.4)
STRUCK: dict[str, tuple[str, float, float]] = {
    "felt": ("felt", 0.10, 1.1),
    "handpan": ("handpan", 0.085, 1.1),
    "strings": ("bowed", 0.10, 1.1),
    "drone": ("flute", 0.05, 1.2),
    "bell": ("bell", 0.06, 1.2),
    "pulse": ("pulse", 0.18, 0.10),
    "shaker": ("shaker", 1.0, 0.3),
    "clap": ("clap", 1.0, 0.3),
}


def pad_layer(timbre: str) -> str:
    """The pads' moving layer."""
    return "string" if timbre == "strings" else "bright"


def struck_recipe(timbre: str, part: str) -> tuple[str, float, float]:
    """How a part that is no pad and no bass sounds in a timbre set."""
    return STRUCK[timbre if part == "keys" else part]


def _opening_from(start: int, count: int) -> Mono:
    start %= LFO_SAMPLES
    turns = math.ceil((start + count) / LFO_SAMPLES)
    whole = _opening() if turns == 1 else np.tile(_opening(), turns)
    return whole[start : start + count]


def _panned(samples: Stereo, pan: float, gain: float) -> Stereo:
    """Equal-power position; −1 left, 1 right."""
    angle = (pan + 1) * math.pi / 4
    samples[0] *= np.float32(gain * math.cos(angle))
    samples[1] *= np.float32(gain * math.sin(angle))
    return samples


def _shape(samples: Stereo, attack_seconds: float, release_seconds: float) -> None:
    """sin² in, cos² out, in place; both shrink to half of a note that is too short for them."""
    half = samples.shape[1] // 2
    attack = min(round(attack_seconds * SAMPLE_RATE), half)
    release = min(round(release_seconds * SAMPLE_RATE), half)
    samples[:, :attack] *= _rise(attack)
    samples[:, -release:] *= _rise(release)[::-1]


def _rise(count: int) -> Mono:
    rising: Mono = (np.sin(np.arange(count) / count * (np.pi / 2)) ** 2).astype(np.float32)
    return rising


def _seconds(length: float) -> npt.NDArray[np.float64]:
    return np.arange(round(length * SAMPLE_RATE)) / SAMPLE_RATE


def _finished(wave: npt.NDArray[np.float64]) -> Mono:
    """Peak 1, and a 50 ms end that meets silence: a cut decay would click."""
    end = round(0.05 * SAMPLE_RATE)
    wave[-end:] *= np.cos(np.arange(end) / end * np.pi / 2) ** 2
    finished: Mono = (wave / np.abs(wave).max()).astype(np.float32)
    return finished


def felt(pitch: int) -> Mono:
    base, time = frequency(pitch), _seconds(5.0)
    wave = np.zeros_like(time)
    for harmonic in range(1, 8):
        hertz = base * harmonic * math.sqrt(1 + 0.0004 * harmonic**2)
        if hertz < 9000:  # noqa: PLR2004 - Hz, felt keeps nothing above
            decay = 0.7 + 0.45 * harmonic + base / 900
            wave += harmonic**-1.7 * np.exp(-decay * time) * np.sin(2 * np.pi * hertz * time)
    return _finished(wave * (1 - np.exp(-time / 0.006)))


def bell(pitch: int) -> Mono:
    base, time = frequency(pitch), _seconds(6.0)
    wave = np.zeros_like(time)
    for ratio, level, decay in ((1, 1.0, 0.6), (2, 0.4, 0.9), (2.76, 0.16, 1.6), (5.4, 0.04, 3.0)):
        if base * ratio < 9000:  # noqa: PLR2004 - Hz
            wave += level * np.exp(-decay * time) * np.sin(2 * np.pi * base * ratio * time)
    return _finished(wave * (1 - np.exp(-time / 0.010)))


def handpan(pitch: int) -> Mono:
    """Modal partials 1:2:3 and a weak 4.9, below 3 kHz, an octave under the keys' register."""
    base, time = frequency(pitch - 12), _seconds(4.0)
    wave = np.zeros_like(time)
    for ratio, level, ring in ((1, 1.0, 2.5), (2, 0.55, 1.8), (3, 0.3, 1.2), (4.9, 0.04, 0.6)):
        if base * ratio < 3000:  # noqa: PLR2004 - Hz
            wave += level * np.exp(-time * 3 / ring) * np.sin(2 * np.pi * base * ratio * time)
    return _finished(wave * (1 - np.exp(-time / 0.008)))


def flute(pitch: int) -> Mono:
    """A low breathed tone: sine, weak octave, a band of breath around it; slow in and out."""
    base, time = frequency(pitch - 12), _seconds(5.0)
    envelope = np.sin(np.pi * np.clip(time / 5.0, 0, 1)) ** 1.5
    vibrato = 0.15 * np.sin(2 * np.pi * 4.5 * time) * np.clip(time - 1, 0, 1)
    wave = np.sin(2 * np.pi * base * time + vibrato) + 0.12 * np.sin(4 * np.pi * base * time)
    breath = np.random.default_rng([pitch, 77]).standard_normal(len(time))
    bins = np.fft.rfftfreq(len(time), 1 / SAMPLE_RATE)
    band = np.exp(-(((bins - 2 * base) / (0.6 * base)) ** 2))
    breath = np.fft.irfft(np.fft.rfft(breath) * band, len(time))
    return _finished(envelope * (wave + 0.02 * breath / breath.std()))


def pulse(_pitch: int) -> Mono:
    time = _seconds(0.5)
    phase = 2 * np.pi * (48 * time + 6 * (1 - np.exp(-30 * time)))
    return _finished(np.sin(phase) * np.exp(-11 * time) * (1 - np.exp(-time / 0.008)))


def shaker(_pitch: int) -> Mono:
    return _band_noise(0.15, (5200, 1500), rise=0.012, decay=30, seed=501)


def clap(_pitch: int) -> Mono:
    return _band_noise(0.25, (1100, 500), rise=0.009, decay=22, seed=502)


def _band_noise(seconds: float, band_hz: tuple[float, float], *, rise: float, decay: float, seed: int) -> Mono:
    """Noise percussion that never startles: a rise of at least 8 ms."""
    time = _seconds(seconds)
    noise = np.random.default_rng(seed).standard_normal(len(time))
    bins = np.fft.rfftfreq(len(time), 1 / SAMPLE_RATE)
    noise = np.fft.irfft(np.fft.rfft(noise) * np.exp(-(((bins - band_hz[0]) / band_hz[1]) ** 2)), len(time))
    return _finished(noise * np.clip(time / rise, 0, 1) * np.exp(-decay * np.clip(time - rise, 0, None)))


RECIPES: dict[str, Callable[[int], Mono]] = {
    "felt": felt,
    "bell": bell,
    "handpan": handpan,
    "flute": flute,
    "pulse": pulse,
    "shaker": shaker,
    "clap": clap,
}
