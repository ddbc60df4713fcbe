"""Owns finding a stretch of a preview in its final: normalised cross-correlation of what both coders keep (§6.1)."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.archiver.domain.alignment import LAG_SECONDS, SAMPLE_RATE, Match, Window

BAND_HZ: Final = (120.0, 4000.0)
SEARCH_RATE: Final = 11025  # Hz of what is compared: above twice the band, and a fourth of the work
STEPS: Final = 3  # between two samples at that rate; the rest a parabola tells
SILENT_DBFS: Final = -70.0  # of a window in the band; noise of coders would be found anywhere
THIN: Final = 1e-3  # of the loudest place: what lies before the file's begin is no candidate

Floats = NDArray[np.float32]


def find(window: Window, preview: Floats, final: Floats) -> Match | None:
    """Where in `final` the window is; both begin at the window, `final` two seconds before it.

    `None` when the preview is silent there; a final that is silent gives a peak of 0.
    """
    size = len(final)  # no lag that is looked at reaches around its end
    wanted, place = _in_band(preview, size), _in_band(final, size)
    sound = np.fft.irfft(wanted, size)[: len(preview)]
    energy = float(np.dot(sound, sound))
    if energy <= len(preview) * 10 ** (SILENT_DBFS / 10):
        return None
    lags = len(final) - len(preview) + 1
    products = np.fft.irfft(place * wanted.conj(), size)[:lags]
    power = np.concatenate(([0.0], np.cumsum(np.square(np.fft.irfft(place, size)), dtype=np.float64)))
    energies = power[len(preview) :] - power[:lags]
    alike = products / np.sqrt(energy * np.maximum(energies, max(THIN * float(energies.max()), 1e-12)))
    best = int(alike.argmax())
    between, peak = _between(place * wanted.conj(), size, best)
    lag = round(LAG_SECONDS * SEARCH_RATE) - between
    peak = max(float(alike[best]), float(alike[best]) * peak / max(float(products[best]), 1e-12))
    return Match(window, lag * SAMPLE_RATE / SEARCH_RATE, min(1.0, max(0.0, peak)))


def _between(bins: NDArray[np.complexfloating[Any]], size: int, at: int) -> tuple[float, float]:
    """The place around the sample `at` where the product is largest, and how large: between samples it is exact too."""
    used = np.flatnonzero(bins)
    places = at + np.linspace(-1, 1, 2 * STEPS + 1)
    turns = np.exp(np.outer(places, used * (2j * np.pi / size)))
    values = (turns @ bins[used]).real * (2 / size)
    best = int(values.argmax())
    return float(places[best]) + _vertex(values, best) / STEPS, float(values[best])


def _in_band(sound: Floats, size: int) -> NDArray[np.complexfloating[Any]]:
    bins = np.fft.rfft(sound, size)
    hertz = np.fft.rfftfreq(size, 1 / SEARCH_RATE)
    bins[(hertz < BAND_HZ[0]) | (hertz > BAND_HZ[1])] = 0
    return bins


def _vertex(values: NDArray[np.floating[Any]], at: int) -> float:
    """How far from `at` the top of the parabola through it and its neighbours is; less than a sample."""
    if not 0 < at < len(values) - 1:
        return 0.0
    before, here, after = (float(value) for value in values[at - 1 : at + 2])
    bend = before - 2 * here + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0


class Excerpts:
    """Keeps stretches of a sound that comes in blocks; what lies before its begin or behind its end is silence."""

    def __init__(self, stretches: list[tuple[float, float]]) -> None:
        """Take `(from_seconds, seconds)`; a begin may be negative."""
        self._starts = [round(begin * SEARCH_RATE) for begin, _ in stretches]
        self.sounds: list[Floats] = [np.zeros(round(length * SEARCH_RATE), np.float32) for _, length in stretches]
        self._position = 0

    def add(self, block: bytes) -> None:
        """Hear mono little-endian floats at `SEARCH_RATE`."""
        sound = np.frombuffer(block[: len(block) // 4 * 4], "<f4")
        begin, self._position = self._position, self._position + len(sound)
        for start, kept in zip(self._starts, self.sounds, strict=True):
            first, last = max(begin, start), min(self._position, start + len(kept))
            if first < last:
                kept[first - start : last - start] = sound[first - begin : last - begin]
