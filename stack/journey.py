"""One file of a whole journey: the segments joined as the player joins them, mastered once more as a whole."""

import os
from dataclasses import dataclass
from pathlib import Path

from stack.audio_file import Loudness, integrated_while_written, run_ffmpeg, seconds_and_loudness_of

JOIN_SECONDS = 5  # each segment's tail lies under the head of the next
HEAD_FADE_SECONDS = 3
TARGET_LUFS = -16.0
LAME_LOSS_DB = 0.27  # at 192 kbit/s
LIMITER = "alimiter=limit=0.84:level=disabled:latency=1"  # -1.5 dBFS before coding; what stays below passes unchanged


@dataclass(frozen=True)
class Journey:
    """A joined file and what was measured on it."""

    path: Path
    seconds: float
    loudness: Loudness


async def join(segments: list[Path], target: Path) -> Journey:
    """Join the segments in order into `target` (MP3 192 kbit/s): 5 s equal-power joins, 3 s head fade, -16 LUFS.

    Streams from file to file: the length of the journey does not show in memory.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    joined = target.with_suffix(f".{os.getpid()}.wav")
    begun = target.with_suffix(f".{os.getpid()}.mp3")
    try:
        inputs = [argument for segment in segments for argument in ("-i", str(segment))]
        gain = TARGET_LUFS - await integrated_while_written(joined, joins(len(segments)), *inputs)
        mastering = f"volume={gain + LAME_LOSS_DB:.2f}dB,{LIMITER}"
        await run_ffmpeg("-i", str(joined), "-af", mastering, "-c:a", "libmp3lame", "-b:a", "192k", str(begun))
        begun.rename(target)
    finally:
        joined.unlink(missing_ok=True)
        begun.unlink(missing_ok=True)
    return Journey(target, *await seconds_and_loudness_of(target))


def joins(count: int) -> str:
    """The filter graph that chains `count` inputs; a single one is only faded in."""
    fade = f"afade=t=in:d={HEAD_FADE_SECONDS}:curve=hsin"
    if count == 1:
        return f"[0:a]{fade}[out]"
    steps = []
    before = "[0:a]"
    for index in range(1, count):
        after = f"[j{index}]"
        steps.append(f"{before}[{index}:a]acrossfade=d={JOIN_SECONDS}:c1=qsin:c2=qsin{after}")
        before = after
    return ";".join([*steps, f"{before}{fade}[out]"])
