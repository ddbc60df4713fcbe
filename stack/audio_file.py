"""Audio files by ffmpeg: one that was prepared for stand-ins, the length of a file, its loudness."""

import asyncio
import contextlib
import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import imageio_ffmpeg

from stack.errors import StackError

SAMPLE_RATE = 44_100
PREPARED_SECONDS = 361  # a second longer than the longest segment a plan can ask for

# A soft chord that swells slowly, with one of its notes nearer to the left and one nearer to the right: inside every
# bound of the quality gate. All its frequencies are whole multiples of 0.05 Hz, so that 20 s of it are reckoned.
_PERIOD_SECONDS = 20
_SHARED = "sin(2*PI*146.8*t)+0.7*sin(2*PI*293.7*t)*(1+0.3*sin(2*PI*0.05*t))"
_CHORD = (
    f"aevalsrc=exprs='0.11*({_SHARED}+0.9*sin(2*PI*220*t)+0.4*sin(2*PI*370*t))"
    f"|0.11*({_SHARED}+0.4*sin(2*PI*220*t)+0.9*sin(2*PI*370*t))'"
    f":s={SAMPLE_RATE}:d={_PERIOD_SECONDS}"
)
_REPEATED = f"aloop=loop=-1:size={SAMPLE_RATE * _PERIOD_SECONDS},atrim=end={PREPARED_SECONDS}"

_LOUDNESS = "ebur128=framelog=verbose"
_PEAK_TOO = f"{_LOUDNESS}:peak=true"  # four times the work
_TOLD = "asetnsamples=n=44100:p=0,ashowinfo"  # a line for each second instead of 38
_NOTHING = ("-f", "null", "-")
_METER = ("-af", _PEAK_TOO, *_NOTHING)


@dataclass(frozen=True)
class Loudness:
    """Of a whole file: integrated loudness in LUFS and true peak in dBTP (EBU R128)."""

    integrated: float
    true_peak: float


def ffmpeg() -> str:
    """The ffmpeg program: the one named by FFMPEG, else the wheel's."""
    return os.environ.get("FFMPEG") or imageio_ffmpeg.get_ffmpeg_exe()


async def run_ffmpeg(*arguments: str) -> str:
    """Run it to its end and return what it said; raises StackError when it failed."""
    process = await asyncio.create_subprocess_exec(
        ffmpeg(),
        "-nostdin",
        "-hide_banner",
        "-y",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _out, said = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise StackError(f"ffmpeg ended with status {process.returncode}: {said.decode(errors='replace')[-500:]}")
    return said.decode(errors="replace")


async def prepare_audio(path: Path) -> None:
    """Make the stand-in's file once: 361 s of quiet chords, MP3 192 kbit/s at about -16 LUFS."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)  # another one may be at it
        if not path.exists():
            await _prepare(path)


async def _prepare(path: Path) -> None:
    begun = path.with_suffix(f".{os.getpid()}.mp3")
    gain = -16.0 - (await _loudness_of("-f", "lavfi", "-i", _CHORD)).integrated + 0.27  # LAME's own loss at 192k
    mastered = f"{_REPEATED},volume={gain:.2f}dB"
    await run_ffmpeg("-f", "lavfi", "-i", _CHORD, "-af", mastered, "-codec:a", "libmp3lame", "-b:a", "192k", str(begun))
    begun.rename(path)


async def seconds_of(path: Path) -> float:
    """The decoded length, to the sample: a header is a hint, the decoder decides."""
    return _seconds_in(await run_ffmpeg("-i", str(path), "-map", "0:a", "-af", _TOLD, *_NOTHING))


async def seconds_and_loudness_of(path: Path) -> tuple[float, Loudness]:
    """Both, decoded once."""
    said = await run_ffmpeg("-i", str(path), "-map", "0:a", "-af", f"{_PEAK_TOO},{_TOLD}", *_NOTHING)
    return _seconds_in(said), _loudness_in(said)


async def integrated_while_written(target: Path, graph: str, *sources: str) -> float:
    """Write what `graph` makes of the sources as samples of 24 bits; its integrated loudness in LUFS."""
    metered = f"{graph};[out]{_LOUDNESS}[metered]"
    return _integrated_in(
        await run_ffmpeg(*sources, "-filter_complex", metered, "-map", "[metered]", "-c:a", "pcm_s24le", str(target))
    )


def _seconds_in(said: str) -> float:
    last = re.findall(r"pts:(\d+).*?nb_samples:(\d+)", said)[-1]
    rate = int(re.findall(r"rate:(\d+)", said)[-1])
    return (int(last[0]) + int(last[1])) / rate


async def loudness_of(path: Path, *form: str) -> Loudness:
    """Measure a file; `form` are ffmpeg's options for one that does not say what it is, such as bare samples."""
    return await _loudness_of(*form, "-i", str(path))


async def _loudness_of(*source: str) -> Loudness:
    return _loudness_in(await run_ffmpeg(*source, *_METER))


class StreamMeter:
    """Measures an MP3 while it is written: ffmpeg gets its bytes as they come, so nothing waits for it at the end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> Self:
        process = await asyncio.create_subprocess_exec(
            *(ffmpeg(), "-hide_banner", "-nostats", "-f", "mp3", "-i", "pipe:0", *_METER),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is ours to answer
        )
        return cls(process)

    async def add(self, chunk: bytes) -> None:
        """Hand on some bytes; an ffmpeg that has died is told by `result`."""
        if (pipe := self._process.stdin) is not None:
            with contextlib.suppress(ConnectionError):
                pipe.write(chunk)
                await pipe.drain()

    async def result(self) -> Loudness:
        """End the file and read what it measured; raises StackError."""
        if (pipe := self._process.stdin) is not None:
            pipe.close()
        _out, said = await self._process.communicate()
        if self._process.returncode != 0:
            raise StackError(f"ffmpeg ended with status {self._process.returncode}: {_text(said)[-500:]}")
        return _loudness_in(_text(said))

    async def stop(self) -> None:
        """End it, if it has not ended."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


def _text(said: bytes) -> str:
    return said.decode(errors="replace")


def _loudness_in(said: str) -> Loudness:
    return Loudness(_integrated_in(said), _summed_up(said, r"Peak:\s+(-?[\d.]+|-inf) dBFS"))


def _integrated_in(said: str) -> float:
    return _summed_up(said, r"I:\s+(-?[\d.]+|-inf) LUFS")


def _summed_up(said: str, pattern: str) -> float:
    _before, _, summary = said.rpartition("Summary:")
    if not (found := re.search(pattern, summary)):
        raise StackError("ffmpeg told no loudness")
    return float(found[1])
