"""Owns level: the meter (ITU-R BS.1770-4), what LAME takes away, and the soft ceiling of the peaks."""

import functools
import math

import numpy as np
import numpy.typing as npt

from services.composer.engine.padsynth import Stereo, in_time
from services.composer.engine.plan import SAMPLE_RATE

LAME_LOSS_DB = {128: 0.44, 192: 0.27}  # what LAME takes away at a bit rate, §2.2
TOLERANCE_LU = 0.5

_TAPS = 4096  # 93 ms of the weighting's response: what follows is 100 dB below
_STEP_SAMPLES = SAMPLE_RATE // 10
_STEPS_PER_WINDOW = 4  # 400 ms windows every 100 ms
_KNEE, _CEILING = 0.66, 0.80  # of full scale; leaves 0.4 dB for intersample peaks and 0.5 dB for the coder
_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0


def encoder_gain(kilobits: int) -> float:
    return float(10 ** (LAME_LOSS_DB.get(kilobits, 0.0) / 20))


def k_response(hertz: npt.NDArray[np.floating]) -> npt.NDArray[np.complexfloating]:
    """Complex response of both stages: shelf and high-pass (the published derivation of BS.1770 for any rate)."""
    back = np.exp(-2j * np.pi * hertz / SAMPLE_RATE)  # one sample later
    response: npt.NDArray[np.complexfloating] = np.ones_like(back)
    for zeros, poles in _stages():
        response *= np.polynomial.polynomial.polyval(back, zeros) / np.polynomial.polynomial.polyval(back, poles)
    return response


def _stages() -> list[tuple[list[float], list[float]]]:
    """Coefficients of each stage, present sample first."""
    stages = []
    for hertz, quality, gain_db, shelf in (
        (1681.974450955533, 0.7071752369554196, 3.999843853973347, True),
        (38.13547087602444, 0.5003270373238773, 0.0, False),
    ):
        k = math.tan(math.pi * hertz / SAMPLE_RATE)
        a0 = 1 + k / quality + k * k
        poles = [1.0, 2 * (k * k - 1) / a0, (1 - k / quality + k * k) / a0]
        if shelf:
            high = 10 ** (gain_db / 20)
            band = high**0.4996667741545416
            zeros = [
                (high + band * k / quality + k * k) / a0,
                2 * (k * k - high) / a0,
                (high - band * k / quality + k * k) / a0,
            ]
        else:
            zeros = [1.0, -2.0, 1.0]
        stages.append((zeros, poles))
    return stages


class Weighting:
    """K weighting of a stream by a finite response; importing a library of filters costs a cold start a second."""

    def __init__(self) -> None:
        self._before = np.zeros((2, _TAPS - 1), np.float32)

    def of(self, block: Stereo) -> Stereo:
        joined = np.concatenate((self._before, block), axis=1)
        self._before = joined[:, -(_TAPS - 1) :].copy()
        size = fast_length(joined.shape[1])
        spectrum = np.fft.rfft(joined, size, axis=1) * _taps_spectrum(size)
        return in_time(spectrum, size)[:, _TAPS - 1 : joined.shape[1]]


@functools.lru_cache(maxsize=4)
def _taps_spectrum(size: int) -> npt.NDArray[np.complex64]:
    hertz = np.fft.rfftfreq(16 * _TAPS, 1 / SAMPLE_RATE)
    taps = np.fft.irfft(k_response(hertz))[:_TAPS]
    return np.fft.rfft(taps, size).astype(np.complex64)


def fast_length(least: int) -> int:
    """The next length that a Fourier transform likes."""
    return min(odd << max(0, (-(-least // odd) - 1).bit_length()) for odd in (1, 3, 5, 9, 15))


class Meter:
    """Integrated loudness and sample peak of a stream of blocks."""

    def __init__(self) -> None:
        self._weighting = Weighting()
        self._energies: list[npt.NDArray[np.float64]] = []
        self._rest = np.zeros(0)
        self.peak = 0.0

    def add(self, block: Stereo) -> None:
        self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))
        energy = np.concatenate((self._rest, (self._weighting.of(block) ** 2).sum(axis=0, dtype=np.float64)))
        whole = len(energy) // _STEP_SAMPLES * _STEP_SAMPLES
        self._energies.append(energy[:whole].reshape(-1, _STEP_SAMPLES).mean(axis=1))
        self._rest = energy[whole:]

    @property
    def lufs(self) -> float:
        """Gated loudness so far; −inf for silence."""
        steps = np.concatenate(self._energies) if self._energies else np.zeros(0)
        if len(steps) < _STEPS_PER_WINDOW:
            return -math.inf
        windows = np.convolve(steps, np.full(_STEPS_PER_WINDOW, 1 / _STEPS_PER_WINDOW), "valid")
        return gated_lufs(windows)


def gated_lufs(windows: npt.NDArray[np.floating]) -> float:
    """Loudness of a row of powers (both channels summed), gated at −70 LUFS and 10 LU below the mean."""
    loud = windows[windows > power_of(_ABSOLUTE_GATE_LUFS)]
    if not len(loud):
        return -math.inf
    loud = loud[loud > power_of(_lufs(float(loud.mean())) + _RELATIVE_GATE_LU)]
    return _lufs(float(loud.mean()))


def soft_ceiling(block: Stereo) -> Stereo:
    """Bend the rare peaks above −3.6 dBFS towards −1.9 dBFS, in place; without memory, so a prefix stays a prefix."""
    loud = np.abs(block) > _KNEE
    if loud.any():
        over = (np.abs(block[loud]) - _KNEE) / (_CEILING - _KNEE)
        block[loud] = np.sign(block[loud]) * (_KNEE + (_CEILING - _KNEE) * np.tanh(over))
    return block


def _lufs(power: float) -> float:
    return -0.691 + 10 * math.log10(power)


def power_of(lufs: float) -> float:
    return float(10 ** ((lufs + 0.691) / 10))
