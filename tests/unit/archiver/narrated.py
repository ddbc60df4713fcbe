"""Owns narrated mixes of the tests and of the benchmark: real voices of espeak-ng on music, and how the music ducks."""

import asyncio
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.archiver.domain.containers import Container
from services.archiver.domain.narration import Effect, Line, Locale, Place, Script, place
from services.archiver.sound import ffmpeg
from services.archiver.sound.effects import raw_source, write_own
from services.archiver.sound.loudness import decode, lufs
from services.archiver.sound.measure import inspect
from services.archiver.sound.mixing import Mix, Stems, graph_of, mix
from services.archiver.sound.speech import VOICE_LUFS, read_spoken, write_stem
from tests.unit.archiver.sounds import FFMPEG

TEXTS: Final = {
    "fr": (
        "Laissez entrer l’air sur quatre temps, sans forcer, puis laissez-le repartir sur six.",
        "Il s’en va comme à travers une paille.",
    ),
    "en": (
        "Breathe in for four, without forcing, and let the air go for six.",
        "It leaves as if through a straw.",
    ),
}
BACK_WITHIN_DB: Final = 2.0  # of its own level: then the music counts as having come back
STEPS_PER_SECOND: Final = 100

Exact = NDArray[np.floating]


@dataclass(frozen=True)
class Narration:
    """A mix with what went into it, and what the music does under it."""

    made: Mix
    stems: Stems
    gains_db: Exact  # of the ducked music against itself, each 10 ms

    @property
    def ducks_db(self) -> Exact:
        """While a voice speaks."""
        return np.concatenate([self.gains_db[_steps(one)] for one in self.stems.places])

    @property
    def recoveries(self) -> list[float]:
        """Seconds from each line's end until the music is back."""
        ends = [round((one.at_seconds + one.seconds) * STEPS_PER_SECOND) for one in self.stems.places]
        return [int(np.argmax(self.gains_db[end:] >= -BACK_WITHIN_DB)) / STEPS_PER_SECOND for end in ends]


def say(text: str, voice: str, into: Path) -> Path:
    assert shutil.which("espeak-ng"), "espeak-ng is missing; type: make setup-test"
    command = ["espeak-ng", "-v", voice, "-s", "130", "-b", "1", "-w", str(into), "--stdin"]
    subprocess.run(command, input=text.encode(), check=True)
    return into


async def stems_of(folder: Path, music: Path, voice: str, effect: Effect, *, count: int = 2) -> Stems:
    """The stems of mastered music that a voice speaks over."""
    locale: Locale = "fr" if voice.startswith("fr") else "en"
    texts = [TEXTS[locale][number % 2] for number in range(count)]
    spoken = [await read_spoken(FFMPEG, say(text, voice, folder / "line.wav")) for text in texts]
    samples = (await inspect(FFMPEG, music, keep_seconds=None)).measures.samples
    lines = tuple(Line(text, 8.0 + 11 * number, 4.0) for number, text in enumerate(texts))
    places = place(Script(locale, effect, samples / 44100, lines), [one.seconds for one in spoken])
    assert len(places) == len(lines)
    write_stem(folder / "voice.f32", places, dict(enumerate(spoken)), samples)
    await write_own(FFMPEG, effect, folder / "effect.f32")
    return Stems(music, folder / "effect.f32", samples, last=False, voice=folder / "voice.f32", places=places)


async def narrated(folder: Path, stems: Stems) -> Narration:
    """Mix, and hear the music under the voice."""
    made = await mix(FFMPEG, stems, folder)
    assert made.threshold is not None
    both = await _bed(stems, made.threshold)
    power = np.square(both[: len(both) // 441 * 441], dtype=np.float64).reshape(-1, 441, 4).mean(axis=1)
    ducked, own = power[:, :2].sum(axis=1), power[:, 2:].sum(axis=1)
    gains = 10 * np.log10(np.maximum(ducked, 1e-12) / np.maximum(own, 1e-12))
    return Narration(made, stems, gains)


async def bed_margin_lu(stems: Stems, threshold: float) -> float:
    """The voice above all that lies under it, the effect too: the mix with a voice that the compressor alone hears."""
    mute = [
        each.replace("[v][d][s]amix=inputs=3", "[v]anullsink;[d][s]amix=inputs=2") for each in _made(stems, threshold)
    ]
    raw = await _hear(stems, ";".join([*mute, "[x]anullsink", "[e]anullsink", "[y]acopy[tap]"]), 2)
    path = stems.effect.with_name("bed.f32")
    path.write_bytes(raw.tobytes())
    powers = (await decode(FFMPEG, raw_source(path, 2), channels=2)).powers
    speech = np.concatenate([np.arange(*(round(at * 10) for at in _span(one))) for one in stems.places])
    return VOICE_LUFS - lufs(powers[speech])


async def _bed(stems: Stems, threshold: float) -> NDArray[np.float32]:
    """The mix's own filters, tapped before and behind the compressor: four columns."""
    made = _made(stems, threshold)
    tapped = [each.replace("[m]", ",asplit=2[m][own]") if each.endswith("[m]") else each for each in made]
    graph = ";".join([*tapped, "[x]anullsink", "[y]anullsink", "[e][own]amerge=inputs=2[tap]"])
    return await _hear(stems, graph, 4)


def _made(stems: Stems, threshold: float) -> list[str]:
    """The chains of the mix up to where it is coded and metered."""
    chains = graph_of(stems, threshold).split(";")
    return chains[: next(place for place, chain in enumerate(chains) if chain.startswith("[x]"))]


async def _hear(stems: Stems, graph: str, channels: int) -> NDArray[np.float32]:
    assert stems.voice is not None
    sources = [*ffmpeg.source(stems.music, Container.MP3), *raw_source(stems.effect, 2, endless=True)]
    pieces: list[bytes] = []

    async def collect(stream: asyncio.StreamReader) -> None:
        while piece := await stream.read(1 << 20):
            pieces.append(piece)

    out = ["-map", "[tap]", "-c:a", "pcm_f32le", "-f", "f32le", "pipe:1"]
    await ffmpeg.run(FFMPEG, [*sources, *raw_source(stems.voice, 1), "-filter_complex", graph, *out], consume=collect)
    return np.frombuffer(b"".join(pieces), "<f4").reshape(-1, channels)


def _span(one: Place) -> tuple[float, float]:
    return one.at_seconds, one.at_seconds + one.seconds


def _steps(one: Place) -> slice:
    start, end = (round(at * STEPS_PER_SECOND) for at in _span(one))
    return slice(start, end)
