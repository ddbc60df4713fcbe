"""Owns the beat of what is heard: where notes begin, and in which tempo they repeat, where one is certain.

Pads hide beginnings: their partials swell by themselves, several times a second. So a note counts only by how far a
partial rises over the loudest that it was in the half second before.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

DECIMATION: Final = 8  # of the samples: what is listened to lies below 1500 Hz
FRAME: Final = 512  # of what is left: 93 ms, so that neighbouring notes are two bins
BEGINNINGS_PER_SECOND: Final = 100
MELODY_HZ: Final = (250.0, 1500.0)
THUMP_HZ: Final = (30.0, 100.0)
LEAST_RISE: Final = (0.2, 0.1)  # nepers over the loudest before, of melody and of thumps
PAST_FRAMES: Final = 50
LAG_FRAMES: Final = 2  # a note rises within 20 ms
QUIETEST: Final = 1e-5  # amplitude that counts as silence

WINDOW_SECONDS: Final = 30.0  # around each point; the steepest plan moves by 2.6 BPM in it
SPAN: Final = 0.25  # of the plan's tempo, up and down: within a fourth part there is no other level of the metre
STEP_BPM: Final = 0.25
BEATS: Final = 4  # repeated after one, two, three and four
THUMP_SHARE: Final = 0.5
STEEPEST: Final = 6  # steps between neighbouring points: 6 BPM a minute, more than any plan (domain.md §4.3)
BEND_COST: Final = 0.05
NEIGHBOURS: Final = 2  # on each side, whose strength counts for a point
CERTAIN: Final = 3.0  # mean strength; shuffled beginnings, which have no tempo, reach 2.5
LEAST_POINTS: Final = 3  # in a row: a single one may be chance

Floats = NDArray[np.float32]
Exact = NDArray[np.floating[Any]]


class Beginnings:
    """Hears blocks of one file, and keeps two numbers for every 10 ms: how much began among melody and thumps."""

    def __init__(self, rate: int) -> None:
        self._rate = rate / DECIMATION
        self._hop = max(1, round(self._rate / BEGINNINGS_PER_SECOND))
        self._window = np.hanning(FRAME + 1)[:-1].astype(np.float32) * np.float32(2 / FRAME)
        self._bands = [slice(*(round(edge * FRAME / self._rate) for edge in band)) for band in (MELODY_HZ, THUMP_HZ)]
        self._sound: Floats = np.empty(0, np.float32)
        self._spectra: Floats | None = None
        self._found: list[Floats] = []

    @property
    def per_second(self) -> float:
        return self._rate / self._hop

    def add(self, mid: Floats) -> None:
        """Hear the next samples; what does not fill a frame waits for more."""
        whole = len(mid) // DECIMATION * DECIMATION
        self._sound = np.concatenate((self._sound, mid[:whole].reshape(-1, DECIMATION).mean(axis=1)))
        count = (len(self._sound) - FRAME) // self._hop + 1
        if count <= 0:
            return
        frames = np.lib.stride_tricks.sliding_window_view(self._sound, FRAME)[:: self._hop][:count]
        bins = np.abs(np.fft.rfft(frames * self._window, axis=1)[:, : self._bands[0].stop]).astype(np.float32)
        self._sound = self._sound[count * self._hop :]
        self._rise(np.log(bins + np.float32(QUIETEST)))

    def found(self) -> Floats:
        """Columns are melody and thumps, rows every 10 ms."""
        return np.concatenate(self._found) if self._found else np.empty((0, 2), np.float32)

    def _rise(self, spectra: Floats) -> None:
        before = (
            self._spectra if self._spectra is not None else np.repeat(spectra[:1], PAST_FRAMES + LAG_FRAMES, axis=0)
        )
        joined = np.concatenate((before, spectra))
        loudest = _loudest_before(joined)[len(before) - LAG_FRAMES : len(joined) - LAG_FRAMES]
        rises = spectra - loudest
        sums = [
            np.maximum(rises[:, band] - np.float32(least), 0).sum(axis=1)
            for band, least in zip(self._bands, LEAST_RISE, strict=True)
        ]
        self._found.append(np.stack(sums, axis=1))
        self._spectra = joined[-(PAST_FRAMES + LAG_FRAMES) :]


def tempi(beginnings: Floats, per_second: float, *, near_bpm: float, centres: Sequence[float]) -> list[float | None]:
    """The tempo around each of these seconds, within a fourth part of `near_bpm`; `None` where it is not certain.

    Which tempo it is, the sound alone decides: the plan's only names the level of the metre, so it may be well off.
    """
    half = WINDOW_SECONDS / 2
    seconds = len(beginnings) / per_second
    if seconds < WINDOW_SECONDS or not centres:
        return [None] * len(centres)
    candidates = np.arange(near_bpm * (1 - SPAN), near_bpm * (1 + SPAN), STEP_BPM)
    strengths = []
    for centre in centres:
        middle = min(max(centre, half), seconds - half)
        window = beginnings[round((middle - half) * per_second) : round((middle + half) * per_second)].astype(float)
        lags = 60.0 / candidates * per_second
        strengths.append(_strength(window[:, 0], lags) + THUMP_SHARE * _strength(window[:, 1], lags))
    path = _steadiest(np.array(strengths))
    along = np.array([strength[place] for strength, place in zip(strengths, path, strict=True)])
    around = [along[max(0, at - NEIGHBOURS) : at + NEIGHBOURS + 1].mean() >= CERTAIN for at in range(len(along))]
    rows = [(sure, len(list(row))) for sure, row in groupby(around)]
    certain = [sure and length >= LEAST_POINTS for sure, length in rows for _ in range(length)]
    return [round(float(candidates[place]), 2) if sure else None for place, sure in zip(path, certain, strict=True)]


def _loudest_before(spectra: Floats) -> Floats:
    """Of each bin, the largest of the last `PAST_FRAMES` frames; by doubling."""
    loudest, size = spectra.copy(), 1
    while size < PAST_FRAMES:
        more = min(size, PAST_FRAMES - size)
        loudest[more:] = np.maximum(loudest[more:], loudest[:-more].copy())
        size += more
    return loudest


def _strength(begun: Exact, lags: Exact) -> Exact:
    """How much more than any delay these repeat the window, in deviations of all delays; zero for silence."""
    taper = np.hanning(len(begun))
    tapered = (begun - begun.mean()) * taper
    repeats = _repeats(tapered)
    if repeats[0] <= 0:
        return np.zeros(len(lags))
    overlap = _repeats(taper)
    repeats = repeats / np.maximum(overlap, overlap[0] / 20) / (repeats[0] / overlap[0])
    blur = np.hanning(7)
    repeats = np.convolve(repeats, blur / blur.sum(), "same")
    places = np.arange(len(repeats))
    summed = np.sum([np.interp(beats * lags, places, repeats) for beats in range(1, BEATS + 1)], axis=0) / BEATS**0.5
    spread = float(repeats[BEGINNINGS_PER_SECOND // 2 : len(repeats) // 2].std())
    return np.asarray((summed - np.median(summed)) / (spread + 1e-9))


def _repeats(values: Exact) -> Exact:
    """Autocorrelation."""
    return np.asarray(np.fft.irfft(np.abs(np.fft.rfft(values, 2 * len(values))) ** 2)[: len(values)])


def _steadiest(strengths: Exact) -> list[int]:
    """The path of most strength that bends no more than music does (Viterbi)."""
    best, came = strengths[0], []
    moves = np.arange(-STEEPEST, STEEPEST + 1)
    for here in strengths[1:]:
        padded = np.pad(best, STEEPEST, constant_values=-np.inf)
        choices = np.stack([padded[STEEPEST + move : STEEPEST + move + len(best)] for move in moves])
        choices -= BEND_COST * np.abs(moves)[:, None]
        chosen = choices.argmax(axis=0)
        came.append(np.arange(len(best)) + moves[chosen])
        best = choices.max(axis=0) + here
    path = [int(best.argmax())]
    for step in reversed(came):
        path.append(int(step[path[-1]]))
    return path[::-1]
