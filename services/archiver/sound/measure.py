"""Owns decoding a file once, at float, to know it: exact length, level, peak, and what the gate asks."""

import asyncio
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from libs.common import mp3
from services.archiver.domain.containers import HEAD_BYTES, Container, declared_bytes, sniff
from services.archiver.domain.failures import Code, GiveUp
from services.archiver.domain.form import Measures, is_short_of
from services.archiver.sound import ffmpeg
from services.archiver.sound.findings import SILENCE_DB, Where, acoustic_hash, curve_of, findings_of, levels_of
from services.archiver.sound.hearing import Heard, Listener
from services.archiver.sound.outline import peaks_of, quiet_points_of

DECLARED_SHARE: Final = 0.995  # of what the file says it holds must decode (§4)
WHOLE_FRAMES_SECONDS: Final = 0.5  # the demuxer reads ahead; the last frame of a growing file is not whole
# A block of 0.7 s instead of a frame of 26 ms: each one is a write, a wake-up and a read of the pipe.
LARGE_BLOCKS: Final = "asetnsamples=n=32768:p=0"
_AU_HEADER: Final = struct.Struct(">4sIIIII")  # magic, offset, bytes, encoding, rate, channels

_SUMMARY: Final = {
    "lufs": re.compile(r"^\s*I:\s+(-?[\d.]+|-inf) LUFS"),
    "range_lu": re.compile(r"^\s*LRA:\s+(-?[\d.]+) LU"),
    "peak_dbtp": re.compile(r"^\s*Peak:\s+(-?[\d.]+|-inf) dBFS"),
}


@dataclass(frozen=True, slots=True)
class Take:
    """A file that is audio: where it is, what it is, how it sounds; `layout` of MP3s only.

    `source` made it: the attempt's provider, or composer; `number` counts its takes from 1, as it named them;
    `begins_at` is the second of the segment's file at which a continuation begins.
    """

    path: Path
    container: Container
    measures: Measures
    layout: mp3.Layout | None
    source: str = "provider"
    number: int = 1
    begins_at: int = 0


async def inspect(
    program: Path, path: Path, *, keep_seconds: float | None, near_bpm: float | None = None, clicks: bool = False
) -> Take:
    """Recognise and decode a file; level and peak are of its first `keep_seconds`, its tempo is near the plan's.

    `clicks` asks for what it does by itself, which a click at a join is held against. Raises `GiveUp` with `NOT_AUDIO`
    or `DECODE_FAILED`.
    """
    container = sniff(await asyncio.to_thread(_head, path))
    if container is None:
        raise GiveUp(Code.NOT_AUDIO)
    layout = await asyncio.to_thread(_scan, path) if container is Container.MP3 else None
    await asyncio.to_thread(_refuse_truncated, path, container, layout)
    measures = await measure(program, path, container, keep_seconds=keep_seconds, near_bpm=near_bpm, clicks=clicks)
    return Take(path, container, measures, layout)


async def measure(
    program: Path,
    path: Path,
    container: Container,
    *,
    keep_seconds: float | None,
    where: Where | None = None,
    near_bpm: float | None = None,
    clicks: bool = False,
) -> Measures:
    """Decode a file of a known container to its end; raises `GiveUp(DECODE_FAILED)`.

    `where` tells of a file of ours what is joined and faded in it; `clicks` as `inspect` does.
    """
    clicks = clicks or (where is not None and bool(where.joins))
    listener = Listener(keep_seconds, clicks=clicks, beat=near_bpm is not None)
    trim = f"atrim=end={keep_seconds:.6f}," if keep_seconds is not None else ""
    graph = f"[0:a:0]{LARGE_BLOCKS},asplit[a][b];[a]{trim}ebur128=peak=true:framelog=verbose[m]"
    outputs = ["-map", "[m]", "-f", "null", "-", "-map", "[b]", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
    log = await ffmpeg.run(
        program,
        [*ffmpeg.source(path, container), "-filter_complex", graph, *outputs],
        consume=lambda stream: _listen(stream, listener),
    )
    heard = listener.heard
    if log.errors or heard.samples == 0:
        raise GiveUp(Code.DECODE_FAILED, f"{log.errors} error lines, {heard.samples} samples")
    measures = Measures(
        samples=heard.samples,
        sample_rate=heard.rate,
        channels=heard.channels,
        lufs=read_summary(log.lines, "lufs"),
        peak_dbtp=read_summary(log.lines, "peak_dbtp"),
        range_lu=read_summary(log.lines, "range_lu"),
        levels_db=levels_of(heard),
    )
    if where is None:  # a take that is too short plays up to its own fade-out only
        short = keep_seconds is not None and is_short_of(measures, keep_seconds)
        where = Where(until_seconds=measures.played_out_seconds if short else None)
    return await asyncio.to_thread(_know, measures, heard, where, near_bpm)


async def begins_to_play(program: Path, path: Path, seconds: float) -> bool:
    """Whether the first `seconds` of an MP3 that may still grow decode; raises `GiveUp` when it is no MP3."""
    layout = await asyncio.to_thread(_scan, path)
    if layout.frames * layout.first.samples < (seconds + WHOLE_FRAMES_SECONDS) * layout.first.sample_rate:
        return False
    source = ffmpeg.source(path, Container.MP3, seconds=seconds)
    log = await ffmpeg.run(program, [*source, "-map", "0:a:0", "-f", "null", "-"])
    return log.errors == 0


async def _listen(stream: asyncio.StreamReader, listener: Listener) -> None:
    """Read PCM as it comes; one block is in memory, no more, and what is done with it is done beside the loop."""
    try:
        header = await stream.readexactly(_AU_HEADER.size)
        _magic, offset, _size, _encoding, rate, channels = _AU_HEADER.unpack(header)
        await stream.readexactly(offset - _AU_HEADER.size)
    except asyncio.IncompleteReadError:
        return  # nothing decoded; the exit code says why
    size = listener.begin(rate, channels)
    while block := await _read_up_to(stream, size):
        await asyncio.to_thread(listener.add, block)


def _know(measures: Measures, heard: Heard, where: Where, near_bpm: float | None) -> Measures:
    findings = {"lufs": measures.lufs, "peak_dbtp": measures.peak_dbtp} | findings_of(heard, where)
    return replace(
        measures,
        findings=findings,
        curve=curve_of(heard, near_bpm),
        acoustic_hash=acoustic_hash(heard),
        peaks=peaks_of(heard),
        quiet_points_ms=quiet_points_of(heard),
    )


async def _read_up_to(stream: asyncio.StreamReader, size: int) -> bytes:
    try:
        return await stream.readexactly(size)
    except asyncio.IncompleteReadError as error:
        return error.partial


def read_summary(lines: Iterable[str], name: str) -> float:
    """A number of the loudness meter's last summary; raises `GiveUp(DECODE_FAILED)` when there is none."""
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
