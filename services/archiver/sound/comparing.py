"""Owns comparing a preview with its final: both decoded once, stretches of them kept, levels of the part in common."""

import asyncio
from pathlib import Path
from typing import Final

from libs.common import mp3
from services.archiver.domain.alignment import COMPARED_SECONDS, LAG_SECONDS, Match, Window, plan_windows
from services.archiver.domain.containers import Container
from services.archiver.domain.failures import Code, GiveUp
from services.archiver.sound import ffmpeg
from services.archiver.sound.matching import SEARCH_RATE, Excerpts, find
from services.archiver.sound.measure import LARGE_BLOCKS, read_summary

BLOCK_BYTES: Final = 1 << 18  # 6 s of one channel
SILENT_LUFS: Final = -70.0  # the meter's word for silence
# What a preview of one channel plays is heard on both sides; `aformat` would take 3 dB from it.
BOTH_SIDES: Final = "aformat=sample_fmts=fltp:channel_layouts=stereo|mono,pan=stereo|c0=c0|c1=c{right}"


async def compare(
    program: Path, preview: Path, final: Path, *, seconds: float
) -> tuple[tuple[Match, ...], float | None]:
    """Look for the preview in the first `seconds` of the final; also the gain that brings it to the final's level.

    No match where there is too little sound to tell; no gain where one of them is silent. Raises `GiveUp` for a
    preview that is no MP3 or does not decode.
    """
    layout = await asyncio.to_thread(_scan, preview)
    common = min(seconds, layout.frames * layout.first.samples / layout.first.sample_rate, COMPARED_SECONDS)
    windows = plan_windows(common)
    looked_for = [(window.from_seconds, window.seconds) for window in windows]
    played, shown = await _hear(program, preview, layout.first.channels, common, looked_for)
    stored, kept = await _hear(program, final, 2, common, [_around(window) for window in windows])
    gain = None if min(played, stored) <= SILENT_LUFS else stored - played
    return await asyncio.to_thread(_matches, windows, shown, kept), gain


async def _hear(
    program: Path, path: Path, channels: int, seconds: float, stretches: list[tuple[float, float]]
) -> tuple[float, Excerpts]:
    """Integrated loudness of the first `seconds`, and stretches as one channel."""
    excerpts = Excerpts(stretches)
    sides = BOTH_SIDES.format(right=channels - 1)
    meter = f"[a]atrim=end={seconds:.6f},{sides},ebur128=framelog=verbose[m]"
    mono = f"[b]aformat=sample_fmts=flt:channel_layouts=mono,aresample={SEARCH_RATE}[w]"
    graph = f"[0:a:0]{LARGE_BLOCKS},asplit[a][b];{meter};{mono}"
    outputs = ["-map", "[m]", "-f", "null", "-", "-map", "[w]", "-c:a", "pcm_f32le", "-f", "f32le", "pipe:1"]
    source = ffmpeg.source(path, Container.MP3, seconds=seconds + LAG_SECONDS + 1)

    async def consume(stream: asyncio.StreamReader) -> None:
        rest = b""
        while block := await stream.read(BLOCK_BYTES):
            whole = len(rest + block) // 4 * 4
            excerpts.add((rest + block)[:whole])
            rest = (rest + block)[whole:]

    log = await ffmpeg.run(program, [*source, "-filter_complex", graph, *outputs], consume=consume)
    return read_summary(log.lines, "lufs"), excerpts


def _around(window: Window) -> tuple[float, float]:
    return window.from_seconds - LAG_SECONDS, window.seconds + 2 * LAG_SECONDS


def _matches(windows: tuple[Window, ...], shown: Excerpts, kept: Excerpts) -> tuple[Match, ...]:
    found = (find(*one) for one in zip(windows, shown.sounds, kept.sounds, strict=True))
    return tuple(match for match in found if match is not None)


def _scan(path: Path) -> mp3.Layout:
    try:
        return mp3.scan(path)
    except (mp3.NotMp3Error, OSError) as error:
        raise GiveUp(Code.NOT_AUDIO) from error
