"""Owns what is heard of a render beside its loudness: true peak, and brightness as A-weighted centroid."""

import math

import numpy as np
import numpy.typing as npt

from services.composer.engine.level import Meter
from services.composer.engine.padsynth import Stereo
from services.composer.engine.plan import SAMPLE_RATE

_FRAME = 8192  # samples of one look at the spectrum; one a second is enough for what changes over minutes
_LOUDEST = 24  # samples of each channel of a block around which a higher peak is sought
_REACH = 16  # samples to either side that interpolate between two


class Monitor:
    """Loudness, true peak and brightness of a stream of blocks."""

    def __init__(self) -> None:
        self._meter = Meter()
        self._true_peak = 0.0
        self._weighted = self._power = 0.0

    def add(self, block: Stereo) -> None:
        self._meter.add(block)
        self._true_peak = max(self._true_peak, _true_peak(block))
        whole = block.shape[1] // SAMPLE_RATE
        if block.shape[1] >= _FRAME:
            starts = range(0, max(1, whole) * SAMPLE_RATE, SAMPLE_RATE)
            frames = np.stack([block[:, start : start + _FRAME].mean(axis=0) for start in starts])
            spectrum = np.abs(np.fft.rfft(frames * np.hanning(_FRAME).astype(np.float32), axis=1)) ** 2
            power = spectrum.sum(axis=0) * _A_POWER
            self._weighted += float((power * _HERTZ).sum())
            self._power += float(power.sum())

    @property
    def lufs(self) -> float:
        return self._meter.lufs

    @property
    def peak_dbtp(self) -> float:
        """True peak as ITU-R BS.1770-4 has it, four times oversampled."""
        return 20 * math.log10(max(self._true_peak, self._meter.peak, 1e-6))

    @property
    def centroid_hz(self) -> float:
        """A-weighted spectral centroid; 0 for silence and for less than a frame."""
        return self._weighted / self._power if self._power > 0 else 0.0


def _a_power(hertz: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """IEC 61672 A curve of power, unnormalised."""
    square = hertz**2
    middle = np.sqrt((square + 107.7**2) * (square + 737.9**2))
    curve: npt.NDArray[np.floating] = (square**2 / ((square + 20.6**2) * middle * (square + 12194**2))) ** 2
    return curve


_HERTZ = np.fft.rfftfreq(_FRAME, 1 / SAMPLE_RATE)
_A_POWER = _a_power(_HERTZ)


def _between() -> npt.NDArray[np.float32]:
    """Weights that read the signal at quarters of a sample to either side of a window's middle."""
    offsets = np.array((-0.75, -0.5, -0.25, 0.25, 0.5, 0.75))[:, np.newaxis] - np.arange(-_REACH, _REACH + 1)
    weights: npt.NDArray[np.floating] = np.sinc(offsets) * np.cos(np.pi / 2 * offsets / (_REACH + 1)) ** 2
    return weights.astype(np.float32)


_BETWEEN = _between()


def _true_peak(block: Stereo) -> float:
    """The highest value between samples, sought around the loudest ones: a peak has a loud neighbour."""
    inside = np.abs(block[:, _REACH:-_REACH])
    if inside.shape[1] <= _LOUDEST:
        return 0.0
    highest = 0.0
    for channel, levels in zip(block, inside, strict=True):
        middles = np.argpartition(levels, -_LOUDEST)[-_LOUDEST:]
        windows = channel[middles[:, np.newaxis] + np.arange(2 * _REACH + 1)]
        highest = max(highest, float(np.abs(windows @ _BETWEEN.T).max()))
    return highest
