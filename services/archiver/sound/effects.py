"""Owns the sounds under a narration: our own sea and rain, and any recording, as loops of one level."""

import asyncio
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.archiver.domain.containers import HEAD_BYTES, Container, sniff
from services.archiver.domain.failures import Code, GiveUp
from services.archiver.domain.form import SAMPLE_RATE
from services.archiver.domain.narration import Effect
from services.archiver.sound import ffmpeg
from services.archiver.sound.loudness import Sound, decode, gated_lufs

LOOP_SECONDS: Final = 40  # of our own; as long as the composer's sea
EFFECT_LUFS: Final = -24.0  # what a loop is brought to (audio-and-player.md §3)
RECORDING_SECONDS: Final = 60.0  # as much of a recording is looped
LEAST_SECONDS: Final = 8.0  # a shorter recording would be heard to repeat
SEAM_SECONDS: Final = 2.0  # of a recording's end lie over its beginning
SWELLS: Final = 4  # of the sea in its loop: six a minute
DROPS: Final = 2400  # of rain in its loop: sixty a second, none stands out
DROP_SAMPLES: Final = 1200  # 27 ms
SAMPLE_BYTES: Final = 8  # stereo floats
_GOLDEN: Final = 0.618034  # its multiples lie far apart, however many there are

Floats = NDArray[np.float32]


def raw_source(path: Path, channels: int, *, endless: bool = False) -> list[str]:
    """Arguments that read a file of bare floats at our rate, over and over where `endless`."""
    again = ["-stream_loop", "-1"] if endless else []
    form = ["-f", "f32le", "-ar", str(SAMPLE_RATE), "-ac", str(channels)]
    return ["-protocol_whitelist", "file,pipe,fd", *again, *form, "-i", f"file:{path}"]


async def write_own(program: Path, effect: Effect, into: Path) -> None:
    """Write our own loop, the same bytes each time on one machine."""
    _write(into, _sea() if effect == "sea" else _rain())
    sound = await decode(program, raw_source(into, 2), channels=2)
    _write(into, _levelled(sound))


async def write_recording(program: Path, path: Path, into: Path) -> None:
    """Write a recording as a loop, its end faded over its beginning; raises `GiveUp` for one that will not do."""
    container = await asyncio.to_thread(_sniff, path)
    if container is None:
        raise GiveUp(Code.NOT_AUDIO)
    sound = await decode(program, ffmpeg.source(path, container, seconds=RECORDING_SECONDS), channels=2)
    seam = round(SEAM_SECONDS * SAMPLE_RATE)
    samples = _levelled(sound)
    if len(samples) < LEAST_SECONDS * SAMPLE_RATE or not np.isfinite(samples).all():
        raise GiveUp(Code.TOO_SHORT, f"{len(samples) / SAMPLE_RATE:.1f} s")
    rise = np.sin(np.linspace(0, np.pi / 2, seam, dtype=np.float32))[:, None]
    loop = samples[:-seam].copy()
    loop[:seam] = loop[:seam] * rise + samples[-seam:] * rise[::-1]
    _write(into, loop)


def begin_elsewhere(loop: Path, index: int) -> None:
    """Let the segment of this index begin at a place of the loop of its own: each would begin with the same wave."""
    samples = np.fromfile(loop, "<f4").reshape(-1, 2)
    _write(loop, np.roll(samples, -round(index * _GOLDEN % 1 * len(samples)), axis=0))


def _levelled(sound: Sound) -> Floats:
    gain = 10 ** ((EFFECT_LUFS - gated_lufs(sound.powers)) / 20)
    return np.asarray(sound.samples * np.float32(gain))


def _sea() -> Floats:
    """Periodic noise, dull and without rumble, that swells and draws back; channels independent."""
    noise = _noise(seed=41, tilt=-0.9, low=40.0, high=2500.0)
    turn = np.arange(len(noise), dtype=np.float32) * np.float32(SWELLS / len(noise))
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * turn - np.pi / 2)
    return np.asarray(noise * (swell**1.5).astype(np.float32)[:, None])


def _rain() -> Floats:
    """Steady soft noise, and many small drops in it, each at a place of its own between the ears."""
    rain = _noise(seed=42, tilt=-0.4, low=300.0, high=7000.0)
    chance = np.random.default_rng(43)
    time = np.arange(DROP_SAMPLES, dtype=np.float32) / SAMPLE_RATE
    shape = np.sin(np.pi * np.linspace(0, 1, DROP_SAMPLES, dtype=np.float32)) ** 2 * np.exp(-time * 120)
    for _ in range(DROPS):
        start, hertz, angle = chance.integers(len(rain)), chance.uniform(900, 3200), chance.uniform(0, np.pi / 2)
        drop = shape * np.sin(2 * np.pi * np.float32(hertz) * time) * np.float32(chance.uniform(0.2, 1.0) ** 2)
        places = np.arange(start, start + DROP_SAMPLES) % len(rain)
        rain[places] += drop[:, None] * np.array([np.cos(angle), np.sin(angle)], np.float32)
    return rain


def _noise(*, seed: int, tilt: float, low: float, high: float) -> Floats:
    """Noise whose end meets its beginning: amplitude f^tilt from `low` on, dull above `high`; of unit power."""
    samples = LOOP_SECONDS * SAMPLE_RATE
    hertz = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    level = np.where(hertz > low, np.maximum(hertz, 1.0) ** tilt * np.exp(-hertz / high), 0.0)
    turns = np.exp(2j * np.pi * np.random.default_rng(seed).random((2, len(hertz))))
    noise = np.fft.irfft(level * turns, samples, axis=1).astype(np.float32)
    return np.ascontiguousarray((noise / noise.std()).T)


def _sniff(path: Path) -> Container | None:
    with path.open("rb") as file:
        return sniff(file.read(HEAD_BYTES))


def _write(path: Path, samples: Floats) -> None:
    path.write_bytes(np.ascontiguousarray(samples, "<f4").tobytes())
