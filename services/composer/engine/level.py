"""Owns level: the meter (ITU-R BS.1770-4), what LAME takes away, and the soft ceiling of the peaks."""

import math

import numpy as np
import numpy.typing as npt
from scipy import signal

from services.composer.engine.padsynth import Stereo
from services.composer.engine.plan import SAMPLE_RATE

LAME_LOSS_DB = {128: 0.44, 192: 0.27}  # what LAME takes away at a bit rate, §2.2
TOLERANCE_LU = 0.5

# K weighting at 44.1 kHz: the shelf and the high-pass of BS.1770, bilinear from its analogue prototypes
_STEP_SAMPLES = SAMPLE_RATE // 10
_STEPS_PER_WINDOW = 4  # 400 ms windows every 100 ms
_KNEE, _CEILING = 0.66, 0.80  # of full scale; leaves 0.4 dB for intersample peaks and 0.5 dB for the coder
_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0


def encoder_gain(kilobits: int) -> float:
    return float(10 ** (LAME_LOSS_DB.get(kilobits, 0.0) / 20))


def k_weighting() -> npt.NDArray[np.float64]:
    """Second-order sections of both stages (coefficients as in the published derivation of BS.1770 for any rate)."""
    sections = []
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
        sections.append(zeros + poles)
    return np.array(sections)


class Meter:
    """Integrated loudness and sample peak of a stream of blocks."""

    def __init__(self) -> None:
        self._sections = k_weighting()
        self._state = np.zeros((len(self._sections), 2, 2))
        self._energies: list[npt.NDArray[np.float64]] = []
        self._rest = np.zeros(0)
        self.peak = 0.0

    def add(self, block: Stereo) -> None:
        self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))
        weighted, self._state = signal.sosfilt(self._sections, block, axis=1, zi=self._state)
        energy = np.concatenate((self._rest, (weighted**2).sum(axis=0)))
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


def gated_lufs(windows: npt.NDArray[np.float64]) -> float:
    """Loudness of a row of powers (both channels summed), gated at −70 LUFS and 10 LU below the mean."""
    loud = windows[windows > _power(_ABSOLUTE_GATE_LUFS)]
    if not len(loud):
        return -math.inf
    loud = loud[loud > _power(_lufs(float(loud.mean())) + _RELATIVE_GATE_LU)]
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


def _power(lufs: float) -> float:
    return float(10 ** ((lufs + 0.691) / 10))
