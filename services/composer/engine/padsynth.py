"""Owns PADsynth loops: seamless stereo textures of 11.9 s, one per pitch and layer (Nasca's published algorithm)."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from services.composer.engine.plan import SAMPLE_RATE

Stereo: TypeAlias = npt.NDArray[np.float32]  # shape (2, n)

LOOP_SAMPLES = 2**19
BIN_HZ = SAMPLE_RATE / LOOP_SAMPLES
TOP_HZ = 12_000.0  # no harmonic above: pads must not hiss
LOOP_SIGMA = 0.25
CACHED_LOOPS = 48  # 2.1 MB each: 101 MB, so that a worker stays below 450 MB
TURNS = np.exp(2j * np.pi * np.arange(4096) / 4096).astype(np.complex64)  # phases to draw from
_BEATING = np.array((0.3, 1.0, 0.3), np.float32)
STORED_UNIT = 2 / 32767  # loops are kept as 16 bits over ± 2 (peaks are about 1.3): noise 83 dB below them


@dataclass(frozen=True, slots=True)
class Layer:
    """One timbre of a pad; the numbers are those of audio-and-player.md §5.4."""

    number: int  # part of the phase seed
    harmonics: int
    slope: float
    damping: float  # of what lies above 500 Hz
    cents: float  # width of a harmonic
    low_cut_hz: float = 0.0  # below it × 0.15
    lines: tuple[int, ...] = ()  # only these harmonics, each a line that beats by 0.08 Hz


LAYERS = {
    "dark": Layer(0, 9, 2.1, 1.0, 38),
    "bright": Layer(1, 32, 1.05, 0.12, 38),
    "air": Layer(2, 32, 0.7, 0.03, 38, low_cut_hz=1800),
    "string": Layer(3, 32, 1.2, 0.12, 25),
    "hum": Layer(4, 5, 0.9, 0.3, 1, lines=(1, 2, 3, 5)),
}


def frequency(pitch: float) -> float:
    return float(440.0 * 2 ** ((pitch - 69) / 12))


def spectrum(pitch: int, layer: Layer) -> npt.NDArray[np.float32]:
    """Amplitude per bin: every harmonic a Gaussian band that widens upwards."""
    amplitudes = np.zeros(LOOP_SAMPLES // 2 + 1, np.float32)
    base = frequency(pitch)
    for harmonic in range(1, min(layer.harmonics, int(TOP_HZ / base)) + 1):
        hertz = base * harmonic
        if layer.lines and harmonic not in layer.lines:
            continue
        level = harmonic**-layer.slope * (1.0 if harmonic % 2 else 0.7)
        if hertz > 500:  # noqa: PLR2004 - corner of the damping, Hz
            level *= float(np.exp(-(((hertz - 500) / 2600) ** 2) * layer.damping))
        if layer.lines:
            middle = round(hertz / BIN_HZ)
            amplitudes[middle - 1 : middle + 2] += level * _BEATING
            continue
        width = (2 ** (layer.cents * (0.6 + 0.4 * harmonic**0.5) / 1200) - 1) * base * harmonic**0.75
        sigma = max(width / (2 * BIN_HZ), 1.0)
        centre = hertz / BIN_HZ
        low = max(int(centre - 5 * sigma), 1)
        high = min(int(centre + 5 * sigma) + 1, len(amplitudes) - 1)
        bins = np.arange(low, high, dtype=np.float32)
        amplitudes[low:high] += level / sigma**0.5 * np.exp(-(((bins - centre) / sigma) ** 2))
    if layer.low_cut_hz:
        amplitudes[: int(layer.low_cut_hz / BIN_HZ)] *= 0.15
    return amplitudes


def loop_bins(pitch: int, layer: Layer) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.complex64]]:
    """Which bins a loop uses, and their complex values (2, used), scaled so that the loop has σ = .25.

    Seeded by pitch and layer alone, so loops are identical in every process. Both channels share .8 of a common
    signal: independent phases would lose 3 dB in mono (§5.10).
    """
    amplitudes = spectrum(pitch, layer)
    used = np.flatnonzero(amplitudes > amplitudes.max() * 1e-6)
    random = np.random.default_rng([pitch, layer.number])
    turns = TURNS[random.integers(0, len(TURNS), (3, len(used)), dtype=np.uint16)]
    bins = amplitudes[used] * (np.float32(0.8) * turns[0] + np.float32(0.6) * turns[1:])
    variance = (np.abs(bins) ** 2).sum(axis=1, keepdims=True) * 2 / LOOP_SAMPLES**2  # Parseval, one-sided
    bins *= LOOP_SIGMA / np.sqrt(variance)  # each channel: a note must not lean to one side by chance
    return used, bins


def in_time(bins: npt.NDArray[np.complexfloating], count: int) -> Stereo:
    """Samples of a spectrum, in single precision."""
    return np.fft.irfft(bins, count, axis=1).astype(np.float32, copy=False)


def make_loop(pitch: int, layer: Layer) -> Stereo:
    """Seamless by construction."""
    used, values = loop_bins(pitch, layer)
    bins = np.zeros((2, LOOP_SAMPLES // 2 + 1), np.complex64)
    bins[:, used] = values
    return in_time(bins, LOOP_SAMPLES)


class LoopCache:
    """The most recently used loops of this process."""

    def __init__(self, capacity: int = CACHED_LOOPS) -> None:
        self._capacity = capacity
        self._loops: OrderedDict[tuple[int, str], npt.NDArray[np.int16]] = OrderedDict()

    def _loop(self, pitch: int, layer: str) -> npt.NDArray[np.int16]:
        key = (pitch, layer)
        if key not in self._loops:
            if len(self._loops) >= self._capacity:
                self._loops.popitem(last=False)
            loop = make_loop(pitch, LAYERS[layer]) * np.float32(1 / STORED_UNIT)
            self._loops[key] = np.clip(np.rint(loop, out=loop), -32768, 32767, out=loop).astype(np.int16)
        self._loops.move_to_end(key)
        return self._loops[key]

    def read(self, pitch: int, layer: str, start: int, count: int, gain: float = 1.0) -> Stereo:
        """`count` samples from `start`, wrapping; a copy that may be changed."""
        loop = self._loop(pitch, layer)
        samples = np.empty((2, count), np.float32)
        done = 0
        start %= LOOP_SAMPLES
        while done < count:
            piece = loop[:, start : start + count - done]
            np.multiply(piece, np.float32(gain * STORED_UNIT), out=samples[:, done : done + piece.shape[1]])
            done += piece.shape[1]
            start = 0
        return samples
