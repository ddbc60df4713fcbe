"""Owns spoken lines as sound: decoded, freed of the silence around them, levelled together, put in their places."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.archiver.domain.containers import HEAD_BYTES, Container, sniff
from services.archiver.domain.failures import GiveUp
from services.archiver.domain.form import SAMPLE_RATE
from services.archiver.domain.narration import Place, Unspoken, Why
from services.archiver.sound import ffmpeg
from services.archiver.sound.loudness import HOP, Powers, decode, gated_lufs

VOICE_LUFS: Final = -18.0  # gated on speech (audio-and-player.md §1)
LONGEST_SECONDS: Final = 60.0  # of a line: 180 characters take about 15
QUIET_DB: Final = -40.0  # against the line's loudest sample: what lies below at either end is no speech
EDGE_SAMPLES: Final = 441  # 10 ms are left at either end, and faded

Floats = NDArray[np.float32]


class Spoken:
    """One line's sound: mono, from its first to its last audible sample."""

    def __init__(self, samples: Floats, powers: Powers) -> None:
        self.samples = samples
        self.powers = powers

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE


async def read_spoken(program: Path, path: Path) -> Spoken:
    """Decode what a voice made: its length is that of its sound, whatever its header says.

    Raises `Unspoken(AUDIO)` for what is no sound, ends in the middle of a frame, or is silent.
    """
    with path.open("rb") as file:
        container = sniff(file.read(HEAD_BYTES))
    if container is None:
        raise Unspoken(Why.AUDIO, after_seconds=0.0)
    source = ffmpeg.source(path, container, seconds=LONGEST_SECONDS)
    if container is Container.WAV:  # a stream's writer could not know how long it would be
        source = ["-ignore_length", "1", *source]
    try:
        sound = await decode(program, source, channels=1)
    except GiveUp as failure:
        raise Unspoken(Why.AUDIO, after_seconds=0.0) from failure
    mono = sound.samples[:, 0]
    loud = np.flatnonzero(np.abs(mono) > np.abs(mono).max() * 10 ** (QUIET_DB / 20))
    if not len(loud):
        raise Unspoken(Why.AUDIO, after_seconds=0.0)
    begin, end = max(0, int(loud[0]) - EDGE_SAMPLES), min(len(mono), int(loud[-1]) + EDGE_SAMPLES)
    return Spoken(_faded(mono[begin:end]), sound.powers[begin // HOP : -(-end // HOP)])


def write_stem(path: Path, places: Sequence[Place], spoken: Mapping[int, Spoken], samples: int) -> None:
    """Write a segment's voice as bare mono floats, silent between the lines; blocking.

    All lines get one gain, so that together they have -18 LUFS, as one voice on both sides.
    """
    powers = np.concatenate([spoken[place.line].powers for place in places])
    gain = np.float32(10 ** ((VOICE_LUFS - gated_lufs(2 * powers)) / 20))
    with path.open("wb") as file:
        for place in places:
            file.seek(round(place.at_seconds * SAMPLE_RATE) * 4)
            file.write((spoken[place.line].samples * gain).astype("<f4").tobytes())
        file.truncate(samples * 4)


def _faded(samples: Floats) -> Floats:
    edge = min(EDGE_SAMPLES, len(samples) // 2)
    rise = np.linspace(0, 1, edge, dtype=np.float32)
    faded = samples.copy()
    faded[:edge] *= rise
    faded[len(faded) - edge :] *= rise[::-1]
    return faded
