"""Owns the room and the shore: convolution reverb with a carried tail, and the sea wash."""

import functools

import numpy as np

from services.composer.engine.level import fast_length
from services.composer.engine.padsynth import TURNS, Stereo, in_time
from services.composer.engine.plan import SAMPLE_RATE

REVERB_SECONDS = 4.5
WET = 0.5
BANDS = ((60, 300, 3.6), (300, 1200, 3.2), (1200, 3500, 2.3), (3500, 9000, 1.2))  # Hz, Hz, decay time in s
SEA_SAMPLES = 40 * SAMPLE_RATE
SEA_LEVEL = 0.010
SWELL_SAMPLES = 10 * SAMPLE_RATE  # 0.1 Hz: six swells a minute, the pace of slow breathing


@functools.cache
def response() -> Stereo:
    """The room: noise in four bands that fade at their own pace; fixed seed, unit energy per channel."""
    count = round(REVERB_SECONDS * SAMPLE_RATE)
    time = np.arange(count) / SAMPLE_RATE
    random = np.random.default_rng(4_500)
    room = np.zeros((2, count))
    hertz = np.maximum(np.fft.rfftfreq(count, 1 / SAMPLE_RATE), 1.0)
    for low, high, decay in BANDS:
        band = 1 / np.sqrt(1 + ((hertz**2 - low * high) / (hertz * (high - low))) ** 4)  # Butterworth, 2nd order
        noise = np.fft.rfft(random.standard_normal((2, count)), axis=1) * band
        room += np.fft.irfft(noise, count, axis=1) * np.exp(-6.9 * time / decay)
    room *= np.clip(time / 0.020, 0, 1)  # onset 20 ms
    end = round(0.5 * SAMPLE_RATE)
    room[:, -end:] *= np.cos(np.arange(end) / end * np.pi / 2) ** 2
    room /= np.sqrt((room**2).sum(axis=1, keepdims=True))
    return room.astype(np.float32)


class Reverb:
    """Overlap-add over blocks of one size; the block grid is part of the sound's bits, so it never varies."""

    def __init__(self, block: int) -> None:
        self._block = block
        self._size = fast_length(block + response().shape[1] - 1)
        self._room = np.fft.rfft(response(), self._size, axis=1)
        self._tail = np.zeros((2, self._size - block), np.float32)

    def process(self, dry: Stereo) -> Stereo:
        """The wet block of a dry one; what rings on is kept for the next call."""
        full = in_time(np.fft.rfft(dry, self._size, axis=1) * self._room, self._size)
        count = self._tail.shape[1]
        overlap = min(count, self._block)
        full[:, :overlap] += self._tail[:, :overlap]
        wet = full[:, : self._block].copy()
        rest = full[:, self._block :]
        if count > self._block:
            rest[:, : count - self._block] += self._tail[:, self._block :]
        self._tail = rest.copy()
        wet *= np.float32(WET)
        return wet


@functools.cache
def shore() -> Stereo:
    """40 s of periodic noise, amplitude 1/f^0.9 above 30 Hz, dull above 2.5 kHz; channels independent."""
    hertz = np.fft.rfftfreq(SEA_SAMPLES, 1 / SAMPLE_RATE).astype(np.float32)
    heard = slice(np.searchsorted(hertz, 30), np.searchsorted(hertz, 12_000))
    level = hertz[heard] ** -0.9 * np.exp(-hertz[heard] / 2500)
    bins = np.zeros((2, len(hertz)), np.complex64)
    random = np.random.default_rng(40)
    bins[:, heard] = level * TURNS[random.integers(0, len(TURNS), (2, len(level)), dtype=np.uint16)]
    noise = in_time(bins, SEA_SAMPLES)
    noise /= noise.std()
    return noise


def sea(run_sample: int, shift: int, count: int) -> Stereo:
    """Sea at a place of the run.

    Swells follow the run, so they meet at joins. The noise is shifted per segment, since two identical noises would
    add up to 3 dB more inside a join.
    """
    places = np.arange(run_sample, run_sample + count)
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * (places % SWELL_SAMPLES) / SWELL_SAMPLES - np.pi / 2)
    noise = np.take(shore(), (places + shift) % SEA_SAMPLES, axis=1)
    noise *= (SEA_LEVEL * swell**1.5).astype(np.float32)
    return noise
