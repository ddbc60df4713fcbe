"""Owns decoding a file once to know it: exact length, level, peak, and its RMS second by second."""

import asyncio
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from libs.common import mp3
from services.archiver.domain.containers import HEAD_BYTES, Container, declared_bytes, sniff
from services.archiver.domain.failures import Code, GiveUp
from services.archiver.domain.form import Measures
from services.archiver.sound import ffmpeg

DECLARED_SHARE: Final = 0.995  # of what the file says it holds must decode (§4)
WHOLE_FRAMES_SECONDS: Final = 0.5  # the demuxer reads ahead; the last frame of a growing file is not whole
SILENCE_DB: Final = -120.0
_AU_HEADER: Final = struct.Struct(">4sIIIII")  # magic, offset, bytes, encoding, rate, channels

_SUMMARY: Final = {
    "lufs": re.compile(r"^\s*I:\s+(-?[\d.]+|-inf) LUFS"),
    "range_lu": re.compile(r"^\s*LRA:\s+(-?[\d.]+) LU"),
    "peak_dbtp": re.compile(r"^\s*Peak:\s+(-?[\d.]+|-inf) dBFS"),
}


@dataclass(frozen=True, slots=True)
class Take:
    """A file that is audio: where it is, what it is, how it sounds; `layout` of MP3s only.

    `number` counts the attempt's takes from 1, as the provider named them.
    """

    path: Path
    container: Container
    measures: Measures
    layout: mp3.Layout | None
    number: int = 1


async def inspect(program: Path, path: Path, *, keep_seconds: float | None) -> Take:
    """Recognise and decode a file; level and peak are of its first `keep_seconds`.

    Raises `GiveUp` with `NOT_AUDIO` or `DECODE_FAILED`.
    """
    container = sniff(await asyncio.to_thread(_head, path))
    if container is None:
        raise GiveUp(Code.NOT_AUDIO)
    layout = await asyncio.to_thread(_scan, path) if container is Container.MP3 else None
    await asyncio.to_thread(_refuse_truncated, path, container, layout)
    return Take(path, container, await measure(program, path, container, keep_seconds=keep_seconds), layout)


async def measure(program: Path, path: Path, container: Container, *, keep_seconds: float | None) -> Measures:
    """Decode a file of a known container to its end; raises `GiveUp(DECODE_FAILED)`."""
    counter = _Counter()
    trim = f"atrim=end={keep_seconds:.6f}," if keep_seconds is not None else ""
    graph = f"[0:a:0]asplit[a][b];[a]{trim}ebur128=peak=true:framelog=verbose[m]"
    outputs = ["-map", "[m]", "-f", "null", "-", "-map", "[b]", "-c:a", "pcm_s16be", "-f", "au", "pipe:1"]
    log = await ffmpeg.run(
        program, [*ffmpeg.source(path, container), "-filter_complex", graph, *outputs], consume=counter.consume
    )
    if log.errors or counter.samples == 0:
        raise GiveUp(Code.DECODE_FAILED, f"{log.errors} error lines, {counter.samples} samples")
    return Measures(
        samples=counter.samples,
        sample_rate=counter.rate,
        channels=counter.channels,
        lufs=_read(log.lines, "lufs"),
        peak_dbtp=_read(log.lines, "peak_dbtp"),
        range_lu=_read(log.lines, "range_lu"),
        levels_db=tuple(counter.levels_db),
    )


async def begins_to_play(program: Path, path: Path, seconds: float) -> bool:
    """Whether the first `seconds` of an MP3 that may still grow decode; raises `GiveUp` when it is no MP3."""
    layout = await asyncio.to_thread(_scan, path)
    if layout.frames * layout.first.samples < (seconds + WHOLE_FRAMES_SECONDS) * layout.first.sample_rate:
        return False
    source = ffmpeg.source(path, Container.MP3, seconds=seconds)
    log = await ffmpeg.run(program, [*source, "-map", "0:a:0", "-f", "null", "-"])
    return log.errors == 0


@dataclass(slots=True)
class _Counter:
    """Reads PCM as it comes, a second at a time: two bytes a sample and channel are in memory, no more."""

    rate: int = 0
    channels: int = 0
    samples: int = 0
    levels_db: list[float] = field(default_factory=list)

    async def consume(self, stream: asyncio.StreamReader) -> None:
        try:
            header = await stream.readexactly(_AU_HEADER.size)
            _magic, offset, _size, _encoding, self.rate, self.channels = _AU_HEADER.unpack(header)
            await stream.readexactly(offset - _AU_HEADER.size)
        except asyncio.IncompleteReadError:
            return  # nothing decoded; the exit code says why
        second = self.rate * self.channels * 2
        while block := await _read_up_to(stream, second):
            self.samples += len(block) // (2 * self.channels)
            if len(block) == second or not self.levels_db:
                self.levels_db.append(_level_db(block))


async def _read_up_to(stream: asyncio.StreamReader, size: int) -> bytes:
    try:
        return await stream.readexactly(size)
    except asyncio.IncompleteReadError as error:
        return error.partial


def _level_db(block: bytes) -> float:
    values = np.frombuffer(block[: len(block) // 2 * 2], dtype=">i2").astype(np.float32) / 32768
    power = float(np.mean(np.square(values)))
    return max(SILENCE_DB, 10 * float(np.log10(power))) if power > 0 else SILENCE_DB


def _read(lines: Iterable[str], name: str) -> float:
    found = [match[1] for line in lines if (match := _SUMMARY[name].match(line))]
    if not found:
        raise GiveUp(Code.DECODE_FAILED, f"no {name}")
    return max(SILENCE_DB, float(found[-1]))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _scan(path: Path) -> mp3.Layout:
    try:
        return mp3.scan(path)
    except mp3.NotMp3Error as error:
        raise GiveUp(Code.NOT_AUDIO) from error


def _refuse_truncated(path: Path, container: Container, layout: mp3.Layout | None) -> None:
    size = path.stat().st_size
    declared: int | None = None
    found = 0
    if layout is not None and layout.gaps is not None:
        declared, found = layout.gaps.declared_frames, layout.frames
    elif container is Container.WAV:
        declared, found = declared_bytes(_head(path)), size
    if declared is not None and found < DECLARED_SHARE * declared:
        raise GiveUp(Code.DECODE_FAILED, f"{found} of {declared} declared")
