"""Owns decoding sound to known loudness: ffmpeg weighs it as BS.1770 says, and what is kept are powers of 100 ms."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.archiver.domain.failures import Code, GiveUp
from services.archiver.domain.form import SAMPLE_RATE
from services.archiver.sound import ffmpeg

HOP: Final = SAMPLE_RATE // 10  # samples; the meter's blocks of 400 ms step by as much
BLOCK_HOPS: Final = 4
OFFSET_LUFS: Final = -0.691  # BS.1770
ABSOLUTE_LUFS: Final = -70.0
RELATIVE_LU: Final = 10.0

Floats = NDArray[np.float32]
Powers = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Sound:
    """Samples of shape (n, channels), and the weighted power of each 100 ms, both channels together."""

    samples: Floats
    powers: Powers


class Hops:
    """Takes interleaved floats of `channels` as they come, and keeps each channel's power of each 100 ms."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._rest = b""
        self._rows: list[Floats] = []

    async def read(self, stream: asyncio.StreamReader) -> None:
        """Hear a pipe to its end; one second is in memory, no more."""
        size = 10 * HOP * self._channels * 4
        while piece := await stream.read(size):
            self._rest += piece
            if len(self._rest) >= size:
                await asyncio.to_thread(self._hear)

    def powers(self) -> Powers:
        """One row a hop, one column a channel."""
        return np.concatenate(self._rows).astype(np.float64) if self._rows else np.empty((0, self._channels))

    def _hear(self) -> None:
        hop = HOP * self._channels * 4
        whole = len(self._rest) // hop
        sound = np.frombuffer(self._rest[: whole * hop], "<f4").reshape(whole, HOP, self._channels)
        self._rest = self._rest[whole * hop :]
        self._rows.append(np.einsum("hsc,hsc->hc", sound, sound) / np.float32(HOP))


async def decode(program: Path, source: Sequence[str], *, channels: int) -> Sound:
    """Decode a short piece into memory; raises `GiveUp(DECODE_FAILED)`, for a file that ends in the middle too."""
    layout = "mono" if channels == 1 else "stereo"
    graph = f"[0:a:0]aresample={SAMPLE_RATE},aformat=sample_fmts=fltp:channel_layouts={layout},asplit[a][b];"
    graph += f"[b]{weighting()}[w];[a][w]amerge=inputs=2[out]"
    pieces: list[bytes] = []

    async def collect(stream: asyncio.StreamReader) -> None:
        while piece := await stream.read(1 << 20):
            pieces.append(piece)

    arguments = [*source, "-filter_complex", graph, "-map", "[out]", "-c:a", "pcm_f32le", "-f", "f32le", "pipe:1"]
    log = await ffmpeg.run(program, arguments, consume=collect)
    both = np.frombuffer(b"".join(pieces), "<f4").reshape(-1, 2 * channels)
    if log.errors or not len(both):
        raise GiveUp(Code.DECODE_FAILED, f"{log.errors} error lines, {len(both)} samples")
    return Sound(both[:, :channels], powers_of(both[:, channels:]))


def powers_of(weighted: Floats) -> Powers:
    """Power of each 100 ms, of a shorter rest too."""
    whole = len(weighted) // HOP
    summed = np.square(weighted, dtype=np.float64).sum(axis=1)
    if whole == 0:
        return np.array([summed.mean()]) if len(summed) else np.empty(0)
    return np.asarray(summed[: whole * HOP].reshape(whole, HOP).mean(axis=1))


def lufs(powers: Powers) -> float:
    """Loudness without a gate; of nothing it is the meter's floor."""
    power = float(powers.mean()) if len(powers) else 0.0
    return max(ABSOLUTE_LUFS, OFFSET_LUFS + 10 * math.log10(power)) if power > 0 else ABSOLUTE_LUFS


def gated_lufs(powers: Powers) -> float:
    """Integrated loudness: blocks of 400 ms, the absolute gate, then the relative one, which leaves pauses out."""
    size = min(BLOCK_HOPS, len(powers))
    if size == 0:
        return ABSOLUTE_LUFS
    blocks = np.convolve(powers, np.full(size, 1 / size), "valid")
    blocks = blocks[blocks > 10 ** ((ABSOLUTE_LUFS - OFFSET_LUFS) / 10)]
    if not len(blocks):
        return ABSOLUTE_LUFS
    return lufs(blocks[blocks > blocks.mean() / 10 ** (RELATIVE_LU / 10)])


def weighting() -> str:
    """BS.1770's two filters at 44.1 kHz, for ffmpeg."""
    return f"{_biquad(*_shelf())},{_biquad(*_high_pass())}"


def _biquad(b: tuple[float, float, float], a: tuple[float, float, float]) -> str:
    named = [f"{name}{place}={value:.12g}" for name, row in (("b", b), ("a", a)) for place, value in enumerate(row)]
    return f"biquad={':'.join(named)}:precision=f64"


def _shelf() -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    k, q, gain = math.tan(math.pi * 1681.974450955533 / SAMPLE_RATE), 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    middle = gain**0.4996667741545416
    b = (gain + middle * k / q + k * k, 2 * (k * k - gain), gain - middle * k / q + k * k)
    return b, (1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k)


def _high_pass() -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    k, q = math.tan(math.pi * 38.13547087602444 / SAMPLE_RATE), 0.5003270373238773
    scale = 1 + k / q + k * k  # the standard's numerator stands beside a normalised denominator
    return (scale, -2 * scale, scale), (scale, 2 * (k * k - 1), 1 - k / q + k * k)
