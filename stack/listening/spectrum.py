"""Owns how a file is decoded for the eye: level and spectrum of its seconds, never the whole of its samples."""

import asyncio
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stack.audio_file import ffmpeg

RATE: Final = 22_050  # of what is looked at: music of ours has little above 9 kHz
FRAME: Final = 4096
COLUMNS_PER_SECOND: Final = 4
EDGES: Final = np.geomspace(40.0, 10_000.0, 161)  # bands of a twentieth of an octave
BLOCK: Final = RATE * 10 * 8  # bytes of 10 s of stereo
FLOOR_DB: Final = -120.0

Exact = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Spectrum:
    """Decibels: `levels` of each quarter of a second, `bands` (rows, low to high) of the same columns."""

    levels: Exact
    bands: Exact

    def until(self, seconds: float) -> "Spectrum":
        """Its beginning."""
        columns = round(seconds * COLUMNS_PER_SECOND)
        return Spectrum(self.levels[:columns], self.bands[:, :columns])


async def spectrum_of(path: Path) -> Spectrum:
    """Decode a file; what cannot be decoded looks silent (the report says why)."""
    process = await asyncio.create_subprocess_exec(
        *(ffmpeg(), "-nostdin", "-v", "quiet", "-i", str(path), "-map", "0:a:0", "-ac", "2", "-ar", str(RATE)),
        *("-f", "f32le", "pipe:1"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    stream = process.stdout
    if stream is None:
        raise RuntimeError("expected a pipe from the process, found none")
    rest = np.zeros((FRAME // 2, 2), np.float32)
    columns: list[tuple[Exact, Exact]] = []
    try:
        while True:
            try:
                block = await stream.readexactly(BLOCK)
            except asyncio.IncompleteReadError as error:
                block = error.partial[: len(error.partial) // 8 * 8] + bytes(8 * FRAME)
            sound = np.concatenate((rest, np.frombuffer(block, "<f4").reshape(-1, 2)))
            levels, bands, rest = await asyncio.to_thread(_columns, sound)
            columns.append((levels, bands))
            if len(block) < BLOCK or stream.at_eof():
                break
    finally:
        if process.returncode is None and not stream.at_eof():
            process.kill()
        await process.wait()
    return Spectrum(np.concatenate([one for one, _ in columns]), np.concatenate([one for _, one in columns], axis=1))


def _columns(sound: NDArray[np.float32]) -> tuple[Exact, Exact, NDArray[np.float32]]:
    """What whole columns there are, and the samples that are left for the next."""
    hop = RATE // COLUMNS_PER_SECOND
    count = max(0, (len(sound) - FRAME) // hop + 1)
    sides = [_frames(side, hop, count) for side in sound.T]
    frames = (sides[0] + sides[1]) / 2
    power = np.abs(np.fft.rfft(frames * np.hanning(FRAME), axis=1)) ** 2
    places = np.round(EDGES * FRAME / RATE).astype(int)
    bands = np.stack([power[:, low : max(high, low + 1)].mean(axis=1) for low, high in pairwise(places)])
    levels = np.mean([(side.astype(float) ** 2).mean(axis=1) for side in sides], axis=0)
    return _decibels(levels), _decibels(bands / (FRAME / 4) ** 2), sound[count * hop :]


def _frames(side: NDArray[np.float32], hop: int, count: int) -> NDArray[np.float32]:
    if not count:
        return np.empty((0, FRAME), np.float32)
    return np.lib.stride_tricks.sliding_window_view(side, FRAME)[::hop][:count]


def _decibels(power: Exact) -> Exact:
    return np.asarray(np.maximum(10 * np.log10(np.maximum(power, 1e-30)), FLOOR_DB))
