"""Owns the narrated mix: voice over ducked music and an effect, with the numbers of audio-and-player.md §3."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.archiver.domain.containers import Container
from services.archiver.domain.form import FADE_LAST_SECONDS, KILOBITS, LAME_LOSS_DB, SAMPLE_RATE
from services.archiver.domain.narration import Place
from services.archiver.sound import ffmpeg
from services.archiver.sound.coding import Target, put_info_in_front
from services.archiver.sound.effects import raw_source
from services.archiver.sound.loudness import HOP, Hops, Powers, gated_lufs, lufs, weighting
from services.archiver.sound.measure import measure
from services.archiver.sound.speech import VOICE_LUFS

MUSIC_VOLUME: Final = 0.6
MUSIC_BED_GAIN_DB: Final = -4.4  # the same in decibels: what the player gives a preview without voice
EFFECT_VOLUME: Final = 0.5
DUCK: Final = "ratio=3:attack=80:release=1200:knee=6"
THRESHOLD: Final = 0.05
LOWER: Final = 0.8  # by a fifth, while the voice does not stand out
LOWERINGS: Final = 3
LEAST_MARGIN_LU: Final = 9.0
LIMIT: Final = "alimiter=limit=0.84:level=disabled:latency=1"  # latency: else the mix lags its music by 5 ms
BACK_SECONDS: Final = 2.0  # behind a line the music has come back; before that it counts neither way
BEFORE_SECONDS: Final = 0.2

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Stems:
    """What is mixed: the mastered music, exactly `samples` long, an endless effect, and the voice where there is one.

    `last` music fades out inside its file, and the effect with it. The tags are labels in front of the file, without
    and with a voice in it.
    """

    music: Path
    effect: Path
    samples: int
    last: bool
    voice: Path | None = None
    places: Sequence[Place] = ()
    tag: bytes = b""
    voice_tag: bytes = b""


@dataclass(frozen=True, slots=True)
class Mix:
    """A finished mix; `findings` are what the gate's rows of the stage `mix` judge."""

    path: Path
    threshold: float | None
    findings: dict[str, float]


async def mix(program: Path, stems: Stems, folder: Path) -> Mix:
    """Mix and code; the threshold is lowered until the voice stands 9 LU above the ducked music, thrice at most.

    Raises `GiveUp` when ffmpeg cannot.
    """
    target = Target(folder / "narrated.mp3", stems.voice_tag if stems.voice else stems.tag)
    threshold = THRESHOLD
    for lowered in range(LOWERINGS + 1):
        threshold = THRESHOLD * LOWER**lowered
        findings = await _mix(program, stems, threshold, target)
        if findings.get("voice_margin_lu", LEAST_MARGIN_LU) >= LEAST_MARGIN_LU:
            break
    coded = await measure(program, target.path, Container.MP3, keep_seconds=None)
    findings |= {
        "duration_error_ms": round(1000 * abs(coded.samples - stems.samples) / SAMPLE_RATE, 3),
        "peak_dbtp": coded.peak_dbtp,
        "lufs": coded.lufs,
    }
    return Mix(target.path, threshold if stems.voice else None, findings)


def graph_of(stems: Stems, threshold: float) -> str:
    """The filter graph: `out` is coded, `tap` carries the weighted ducked music and the weighted mix."""
    form = f"aresample={SAMPLE_RATE},aformat=sample_fmts=fltp:channel_layouts=stereo"
    cut = f"atrim=end_sample={stems.samples},apad=whole_len={stems.samples}"
    seconds = stems.samples / SAMPLE_RATE
    fade = f",afade=t=out:curve=hsin:st={max(0.0, seconds - FADE_LAST_SECONDS):.6f}:d={FADE_LAST_SECONDS:g}"
    chains = [
        f"[0:a:0]{form},{cut},volume={MUSIC_VOLUME}[m]",
        f"[1:a:0]{form},atrim=end_sample={stems.samples},volume={EFFECT_VOLUME}{fade if stems.last else ''}[s]",
    ]
    if stems.voice is None:
        chains += ["[m]asplit=2[d][e]", "[d][s]amix=inputs=2:normalize=0:duration=longest,asplit=2[x][y]"]
    else:
        chains += [
            f"[2:a:0]pan=stereo|c0=c0|c1=c0,{form},volume=1.0,asplit=2[v][k]",
            f"[m][k]sidechaincompress=threshold={threshold:g}:{DUCK},asplit=2[d][e]",
            "[v][d][s]amix=inputs=3:normalize=0:duration=longest,asplit=2[x][y]",
        ]
    # What LAME takes is given back first, so that what is heard has the levels of the stems (§2.2).
    chains.append(f"[x]volume={LAME_LOSS_DB}dB,{LIMIT},{cut},{form}[out]")
    chains.append(f"[e]{weighting()}[we];[y]{weighting()}[wy];[we][wy]amerge=inputs=2[tap]")
    return ";".join(chains)


async def _mix(program: Path, stems: Stems, threshold: float, target: Target) -> dict[str, float]:
    sources = [*ffmpeg.source(stems.music, Container.MP3), *raw_source(stems.effect, 2, endless=True)]
    sources += raw_source(stems.voice, 1) if stems.voice else []
    bare = target.path.with_suffix(".frames")
    coder = ["-c:a", "libmp3lame", "-b:a", f"{KILOBITS}k", "-ar", str(SAMPLE_RATE), "-ac", "2", "-map_metadata", "-1"]
    plain = ["-write_xing", "0", "-id3v2_version", "0", "-f", "mp3", "-y", f"file:{bare}"]
    tap = ["-map", "[tap]", "-c:a", "pcm_f32le", "-f", "f32le", "pipe:1"]
    heard = Hops(4)
    graph = graph_of(stems, threshold)
    arguments = [*sources, "-filter_complex", graph, "-map", "[out]", *coder, *plain, *tap]
    await ffmpeg.run(program, arguments, consume=heard.read)
    await asyncio.to_thread(put_info_in_front, bare, stems.samples, target)
    rows = heard.powers()
    return _findings(rows[:, :2].sum(axis=1), rows[:, 2:].sum(axis=1), stems.places)


def _findings(music: Powers, mixed: Powers, places: Sequence[Place]) -> dict[str, float]:
    """Levels while a voice speaks and between; each only where there is such a time."""
    speech = _within(len(mixed), places, before=0.0, behind=0.0)
    between = ~_within(len(mixed), places, before=BEFORE_SECONDS, behind=BACK_SECONDS)
    found: dict[str, float] = {}
    if speech.any():
        found["voice_margin_lu"] = VOICE_LUFS - lufs(music[speech])
        found["speech_lufs"] = gated_lufs(mixed[speech])
    if between.any():
        found["between_lufs"] = gated_lufs(mixed[between])
    return {name: round(value, 2) for name, value in found.items()}


def _within(hops: int, places: Sequence[Place], *, before: float, behind: float) -> Mask:
    """Which 100 ms have their middle in a line, or so near to one."""
    middles = (np.arange(hops) + 0.5) * (HOP / SAMPLE_RATE)
    inside = np.zeros(hops, dtype=bool)
    for one in places:
        inside |= (middles >= one.at_seconds - before) & (middles <= one.at_seconds + one.seconds + behind)
    return inside
