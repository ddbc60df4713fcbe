"""Owns what a player draws and where it may change over, out of what was heard: waveform peaks and quiet moments."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.archiver.sound.hearing import HOPS_PER_SECOND, Heard

POINTS: Final = 600  # of a segment's waveform (audio-and-player.md §9)
FULL: Final = 100  # a point's value at full scale: a percent is a tenth of what a screen shows
QUIET_EVERY_SECONDS: Final = 10.0  # one in each; at most 18 s lie between two
QUIET_SECONDS: Final = 2.0  # as long as the change between different takes (§6.3)
HEAD_SECONDS: Final = 3.0  # a head may be faded in
TAIL_SECONDS: Final = 8.0  # the player changes over no nearer to the end (§7.2)

Floats = NDArray[np.floating[Any]]


def peaks_of(heard: Heard) -> tuple[int, ...]:
    """The loudest sample of each six-hundredth of what is kept, in percent of full scale; fewer for a short file."""
    loudest = _kept(heard.loudest, heard)
    points = min(POINTS, len(loudest))
    if not points:
        return ()
    starts = np.arange(points) * len(loudest) // points
    return tuple(int(value) for value in np.rint(FULL * np.minimum(np.maximum.reduceat(loudest, starts), 1.0)))


def quiet_points_of(heard: Heard) -> tuple[int, ...]:
    """The middle of the quietest two seconds of every ten, in ms."""
    power = _kept(heard.power, heard)
    length, stride = (round(seconds * HOPS_PER_SECOND) for seconds in (QUIET_SECONDS, QUIET_EVERY_SECONDS))
    first, last = round(HEAD_SECONDS * HOPS_PER_SECOND), len(power) - round(TAIL_SECONDS * HOPS_PER_SECOND)
    total = np.cumsum(np.concatenate(([0.0], power)))
    levels = total[length:] - total[:-length] if len(power) >= length else np.empty(0)
    middles = [
        start + int(levels[start : start + stride - length + 1].argmin()) + length // 2
        for start in range(first, last - stride + 1, stride)
    ]
    return tuple(middle * 1000 // HOPS_PER_SECOND for middle in middles)


def _kept(blocks: list[NDArray[np.float32]], heard: Heard) -> Floats:
    """What was heard every 10 ms of the part that the plan keeps; 10 ms at its end may be left out."""
    every = np.concatenate(blocks).astype(np.float64) if blocks else np.empty(0)
    return every[: heard.kept // heard.hop]
