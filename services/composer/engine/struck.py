"""Owns the waves of struck and breathed notes, each in two forms a quarter turn apart.

Segments take turns with the forms: in a join both files play the same notes, and a sine and a cosine under equal-power
fades add up to one steady note, where two equal waves would swell by 3 dB.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from services.composer.engine.padsynth import frequency
from services.composer.engine.plan import SAMPLE_RATE

Mono: TypeAlias = npt.NDArray[np.float32]
Analytic: TypeAlias = npt.NDArray[np.complexfloating]
Real: TypeAlias = npt.NDArray[np.floating]

Partial: TypeAlias = tuple[float, float, float]  # Hz, level, decay per second

STRUCK_BYTES = 40_000_000  # bound of the notes kept; one is 0.7–1.1 MB
TOP_HZ = 9000.0  # felt and bells keep nothing above
SOFT_TOP_HZ = 3000.0  # handpan and bowl neither
END_SECONDS = 0.05  # the end of a wave meets silence: a cut decay would click
_PERIOD = 512  # samples; a ringing wave is a coarse and a fine geometric series multiplied


@dataclass(frozen=True, slots=True)
class Tone:
    """A pitched note: partials that ring under one envelope; their levels are shares of full scale."""

    seconds: float
    partials: Callable[[int], Sequence[Partial]]
    envelope: Callable[[Real], Real]
    breath: float = 0.0  # level of a band of noise around the octave

    def wave(self, pitch: int, turn: int) -> Mono:
        count = round(self.seconds * SAMPLE_RATE)
        ringing = _ringing(count, self.partials(pitch))
        form = ringing.imag if turn == 0 else ringing.real
        if self.breath:
            base = self.partials(pitch)[0][0]
            form = form + self.breath * _noise(count, 2 * base, 0.6 * base, [pitch, 77, turn])
        return _ended(form * self.envelope(np.arange(count) / SAMPLE_RATE))


class WaveCache:
    """The most recently used struck notes of this process."""

    def __init__(self, limit_bytes: int = STRUCK_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._waves: OrderedDict[tuple[str, int, int], Mono] = OrderedDict()

    def wave(self, recipe: str, pitch: int, turn: int) -> Mono:
        """The recipe's wave for this pitch; shared, not to be changed."""
        key = (recipe, pitch, turn)
        if key not in self._waves:
            wave = TONES[recipe].wave(pitch, turn) if recipe in TONES else BEATS[recipe](turn)
            self._waves[key] = wave
            self._bytes += wave.nbytes
            while self._bytes > self._limit_bytes:
                self._bytes -= self._waves.popitem(last=False)[1].nbytes
        self._waves.move_to_end(key)
        return self._waves[key]


def _ringing(count: int, partials: Sequence[Partial]) -> Analytic:
    """Sum of decaying tones; sines in the imaginary part, cosines in the real one."""
    wave: Analytic = np.zeros(-(-count // _PERIOD) * _PERIOD, np.complex128)
    for hertz, level, decay in partials:
        rate = (2j * np.pi * hertz - decay) / SAMPLE_RATE
        coarse = level * np.exp(rate * _PERIOD * np.arange(len(wave) // _PERIOD))
        wave += np.outer(coarse, np.exp(rate * np.arange(_PERIOD))).ravel()
    return wave[:count]


def _ended(wave: Real) -> Mono:
    end = round(END_SECONDS * SAMPLE_RATE)
    wave[-end:] *= np.cos(np.arange(end) / end * np.pi / 2) ** 2
    return wave.astype(np.float32)


def _noise(count: int, centre_hz: float, width_hz: float, seed: list[int]) -> Real:
    """A band of noise of unit power."""
    noise = np.random.default_rng(seed).standard_normal(count)
    bins = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    noise = np.fft.irfft(np.fft.rfft(noise) * np.exp(-(((bins - centre_hz) / width_hz) ** 2)), count)
    band: Real = noise / noise.std()
    return band


def _shares(partials: Sequence[Partial], top_hz: float) -> list[Partial]:
    """Those below a bound; levels sum to 1, so that no phase of theirs exceeds full scale."""
    kept = [partial for partial in partials if partial[0] < top_hz]
    total = sum(level for _, level, _ in kept)
    return [(hertz, level / total, decay) for hertz, level, decay in kept]


def _modal(modes: Sequence[Partial], top_hz: float, shift: int = 0) -> Callable[[int], Sequence[Partial]]:
    """Partials at fixed ratios to the pitch."""

    def partials(pitch: int) -> Sequence[Partial]:
        base = frequency(pitch + shift)
        return _shares([(base * ratio, level, decay) for ratio, level, decay in modes], top_hz)

    return partials


def _felt(pitch: int) -> Sequence[Partial]:
    """A soft hammer on strings that are a little stiff."""
    base = frequency(pitch)
    strings = [(base * n * math.sqrt(1 + 0.0004 * n**2), n**-1.7, 0.7 + 0.45 * n + base / 900) for n in range(1, 8)]
    return _shares(strings, TOP_HZ)


def _onset(seconds: float) -> Callable[[Real], Real]:
    return lambda time: 1 - np.exp(-time / seconds)


def _swell(length: float, rise: float, fall: float) -> Callable[[Real], Real]:
    """sin² in, cos² out, seconds."""

    def envelope(time: Real) -> Real:
        inside = np.minimum(time / rise, (length - time) / fall)
        swell: Real = np.sin(np.pi / 2 * np.clip(inside, 0, 1)) ** 2
        return swell

    return envelope


BELL_MODES = ((1, 1.0, 0.6), (2, 0.4, 0.9), (2.76, 0.16, 1.6), (5.4, 0.04, 3.0))
PAN_MODES = ((1, 1.0, 1.2), (2, 0.55, 1.7), (3, 0.3, 2.5), (4.9, 0.12, 3.0))
# pairs beat slowly: rubbed, not struck
BOWL_MODES = ((1, 0.5, 0.35), (1.0013, 0.5, 0.35), (2.71, 0.12, 0.6), (2.714, 0.12, 0.6), (5.1, 0.03, 1.2))
FLUTE_MODES = ((1, 1.0, 0.25), (2, 0.12, 0.25))

TONES: dict[str, Tone] = {
    "felt": Tone(5.0, _felt, _onset(0.008)),
    "bell": Tone(6.0, _modal(BELL_MODES, TOP_HZ), _onset(0.012)),
    "handpan": Tone(4.0, _modal(PAN_MODES, SOFT_TOP_HZ, -12), _onset(0.010)),
    "bowl": Tone(6.0, _modal(BOWL_MODES, SOFT_TOP_HZ, -12), _swell(6.0, 0.7, 2.0)),
    "flute": Tone(5.0, _modal(FLUTE_MODES, SOFT_TOP_HZ, -12), _swell(5.0, 0.9, 2.2), breath=0.02),
}


def _pulse(turn: int) -> Mono:
    time = np.arange(round(0.5 * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * (48 * time + 6 * (1 - np.exp(-30 * time)) + turn / 4)
    return _ended(1.25 * np.sin(phase) * np.exp(-11 * time) * (1 - np.exp(-time / 0.012)))


def _brushed(seconds: float, band_hz: tuple[float, float], rise: float, decay: float, seed: list[int]) -> Mono:
    """Noise percussion that never startles: a rise of at least 8 ms."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    noise = _noise(len(time), *band_hz, seed)
    wave = noise * np.clip(time / rise, 0, 1) * np.exp(-decay * np.clip(time - rise, 0, None))
    return _ended(wave / np.abs(wave).max())


BEATS: dict[str, Callable[[int], Mono]] = {
    "pulse": _pulse,
    "shaker": lambda turn: _brushed(0.15, (5200, 1500), 0.016, 30, [501, turn]),
    "clap": lambda turn: _brushed(0.25, (1100, 500), 0.014, 22, [502, turn]),
}
