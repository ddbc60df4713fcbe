"""One mastered MP3 out of rendered segments: joins, fades, level, Info frame and label, block by block (§2.3)."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from libs.common import id3
from services.composer.engine import ENGINE, ENGINE_VERSION
from services.composer.engine.encode import Mp3Stream
from services.composer.engine.level import soft_ceiling
from services.composer.engine.plan import SAMPLE_RATE
from stack.audio_file import Loudness, StreamMeter
from stack.journey import JOIN_SECONDS, TARGET_LUFS

KILOBITS, QUALITY = 192, 2
BLOCK_SAMPLES = 10 * SAMPLE_RATE
FRAME_BYTES = 8  # two 32-bit floats
FULL = 0.80  # of full scale: the engine bends its own peaks below it, a join may add two of them
LOUDNESS_LU = 1.0  # the whole is right within it
CODED_DBTP = -1.0
PEAK_MARGIN_DB = 0.1  # the meter rounds to as much
PASSES = 3  # a true peak is known after coding only
UNKNOWN_HASH = "0" * 64

Stereo = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sound:
    """A rendered segment on the disk; its last `tail` samples lie under the head of the next one."""

    path: Path
    samples: int
    tail: int
    gain_db: float


@dataclass(frozen=True)
class Shape:
    """What the whole is: its length in samples, its fades in seconds, the seed that made it."""

    samples: int
    fade_in: float
    fade_out: float  # of an excerpt; a journey's own end is in its last segment
    seed: int

    def faded(self, block: Stereo, position: int) -> Stereo:
        """sin² at the head, cos² at the end."""
        places = np.arange(position, position + block.shape[1])
        for edge, seconds in ((places, self.fade_in), (self.samples - 1 - places, self.fade_out)):
            share = edge / max(1.0, seconds * SAMPLE_RATE)
            if share.min(initial=1.0) < 1.0:
                block = block * (np.sin(np.clip(share, 0, 1) * np.pi / 2) ** 2).astype(np.float32)
        return block


@dataclass(frozen=True)
class Mastered:
    """What the finished file measures, and the hash of the samples before any gain."""

    path: Path
    loudness: Loudness
    sha256: str
    passes: int


async def master(
    sounds: Callable[[], AsyncIterator[Sound]], shape: Shape, target: Path, *, said: Callable[[int], None]
) -> Mastered:
    """Write the file, each sound as soon as it is there; `said` hears how many samples are done.

    Coded anew, with one gain for all, where level or true peak came out wrong; then from what is on the disk.
    """
    gain_db = 0.0
    for attempt in range(1, PASSES + 1):
        made = await _once(sounds(), shape, target, gain_db, said=said)
        change = correction(made.loudness)
        if change == 0.0 or attempt == PASSES:
            break
        gain_db += change
    with target.open("r+b") as file:
        file.write(_label(shape, made.sha256))
    return Mastered(target, made.loudness, made.sha256, attempt)


def correction(found: Loudness) -> float:
    """Decibels by which the whole must change; the ceiling of the peaks is worth more than the level."""
    wanted = TARGET_LUFS - found.integrated
    change = wanted if abs(wanted) > LOUDNESS_LU else 0.0
    room = CODED_DBTP - found.true_peak
    return change if change <= room and room >= 0 else min(change, room - PEAK_MARGIN_DB)


async def _once(
    sounds: AsyncIterator[Sound], shape: Shape, target: Path, gain_db: float, *, said: Callable[[int], None]
) -> Mastered:
    stream = Mp3Stream(shape.samples, kilobits=KILOBITS, quality=QUALITY)
    gain, digest, done = np.float32(10 ** (gain_db / 20)), hashlib.sha256(), 0
    meter = await StreamMeter.start()
    try:
        with target.open("wb") as file:
            file.write(_label(shape, UNKNOWN_HASH) + stream.header())
            async for block in joined(sounds):
                digest.update(np.ascontiguousarray(block.T).tobytes())
                chunk = await asyncio.to_thread(_coded, stream, shape.faded(block, done), gain)
                file.write(chunk)
                await meter.add(chunk)
                done += block.shape[1]
                said(done)
            file.write(last := stream.close())
            await meter.add(last)
        return Mastered(target, await meter.result(), digest.hexdigest(), 1)
    finally:
        await meter.stop()


def _coded(stream: Mp3Stream, block: Stereo, gain: np.float32) -> bytes:
    if np.abs(block).max(initial=0.0) > FULL:
        block = soft_ceiling(block.copy())
    return stream.add(block * gain)


async def joined(sounds: AsyncIterator[Sound]) -> AsyncIterator[Stereo]:
    """The whole in blocks (2, n) of at most ten seconds: equal-power joins where one sound lies under the next."""
    tail: Stereo = np.zeros((2, 0), np.float32)
    async for sound in sounds:
        gain = np.float32(10 ** (sound.gain_db / 20))
        with sound.path.open("rb") as file:
            crossed = tail.shape[1]
            if crossed:
                yield _crossed(tail, _read(file, crossed) * gain)
            left = sound.samples - sound.tail - crossed
            while left > 0:
                block = _read(file, min(left, BLOCK_SAMPLES)) * gain
                left -= block.shape[1]
                yield block
            tail = _read(file, sound.tail) * gain


def _crossed(before: Stereo, after: Stereo) -> Stereo:
    angle = np.arange(before.shape[1], dtype=np.float32) * np.float32(np.pi / 2 / (JOIN_SECONDS * SAMPLE_RATE))
    mixed: Stereo = before * np.cos(angle) + after * np.sin(angle)
    return mixed


def _read(file: BinaryIO, samples: int) -> Stereo:
    content = file.read(samples * FRAME_BYTES)
    if len(content) != samples * FRAME_BYTES:
        raise EOFError(f"expected {samples * FRAME_BYTES} bytes of a rendered segment, found {len(content)}")
    return np.frombuffer(content, "<f4").reshape(-1, 2).T


def _label(shape: Shape, sha256: str) -> bytes:
    """The marks of domain.md §10; as long for every hash, so that the one that is known at the end fits."""
    named = {
        "AI_GENERATED": "procedural",
        "AI_SYSTEM": f"composer {ENGINE} {ENGINE_VERSION}",
        "RECIPE_HASH": sha256,
        "SEED": str(shape.seed),
        "LICENCE": "rendered from no recording; no third party's rights",
    }
    notice = f"Music composed by a program, no AI model (composer {ENGINE} {ENGINE_VERSION})"
    return id3.tag({"TIT2": "Session"}, named=named, comment=notice, language="eng")
