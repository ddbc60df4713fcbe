"""Owns one cell of the proof of sound: 60 s of a preset in a style, rendered, coded, shown to the gate."""

import asyncio
import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from services.archiver.domain.failures import GiveUp
from services.archiver.domain.gate import Refused, Verdict
from services.composer.engine.encode import Mp3Stream
from services.composer.engine.harmony import SUBDIVISIONS
from services.composer.engine.plan import SegmentPlan
from services.composer.engine.render import Instrument
from services.composer.engine.score import Score, compose
from services.create.domain.plan import Plan
from services.create.domain.presets import preset
from stack.audio_file import loudness_of
from stack.composing import Wish, planned, segment_plans
from tests.unit.archiver.corpus import write_wav
from tests.unit.archiver.desk import hand_in

SECONDS = 60.0
INTENSITY = 0.7
TEMPO_REACH = 0.15  # around the planned tempo; further away lie its own multiples
FEATURES = ("bpm", "notes_a_minute", "centroid_hz", "pulses_a_minute")


@dataclass(frozen=True)
class Cell:
    """What is to be played."""

    preset: str
    style: str
    seed: int
    twice: bool  # render again and compare the hash


@dataclass
class Found:
    """What it was like; plain values, for JSON."""

    preset: str
    style: str
    sha256: str = ""
    again: str | None = None  # the hash of a second render
    lufs: float = 0.0
    planned_lufs: float = 0.0
    peak_before: float = 0.0
    peak_coded: float = 0.0
    refused: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    features: dict[str, float] = field(default_factory=dict)
    frame: list[str] = field(default_factory=list)  # mode, chords, metre
    planned_bpm: float = 0.0


@cache
def _instrument() -> Instrument:
    return Instrument()


def plan_of(cell: Cell) -> Plan:
    """The preset's own journey, asked for by its default feeling, so that its arc is its own and not a gentle one."""
    feeling = f"{preset(cell.preset).default_label}-{INTENSITY}"
    return planned(Wish(cell.preset, Path("cell.mp3"), feeling, None, cell.style, cell.seed))


def middle_of(plan: Plan) -> SegmentPlan:
    """The middle segment, 60 s long."""
    return replace(segment_plans(plan)[len(plan.segments) // 2], file_seconds=SECONDS)


def examine(cell: Cell) -> Found:
    """Everything about one cell; run in a process of its own, whose instrument stays warm."""
    plan = middle_of(plan_of(cell))
    score = compose(plan)
    sound = np.concatenate(list(_instrument().blocks(plan, score)), axis=1)
    found = Found(cell.preset, cell.style, _hash(sound), planned_lufs=plan.target_lufs)
    if cell.twice:
        found.again = _hash(np.concatenate(list(Instrument().blocks(plan)), axis=1))
    with tempfile.TemporaryDirectory(prefix="parcours-sound-") as folder:
        asyncio.run(_judge(Path(folder), plan, sound, found))
    span = plan.span
    middle = plan.path.at(span.start_seconds + SECONDS / 2)
    found.planned_bpm = round(middle.bpm, 2)
    found.frame = [span.mode, "-".join(map(str, span.degrees)), span.metre]
    found.features |= features_of(score, middle.bpm, SUBDIVISIONS[span.metre])
    return found


def _hash(sound: np.ndarray[Any, Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(sound.T, "<f4").tobytes()).hexdigest()


async def _judge(folder: Path, plan: SegmentPlan, sound: np.ndarray[Any, Any], found: Found) -> None:
    found.peak_before = (await loudness_of(write_wav(folder / "before.wav", sound))).true_peak
    stream = Mp3Stream(plan.samples, kilobits=192, quality=2)
    path = folder / "take.mp3"
    path.write_bytes(stream.header() + stream.add(sound) + stream.close())
    verdicts: Sequence[Verdict] = ()
    try:
        made = await hand_in(folder, path, file_seconds=int(SECONDS), loudness_lufs=plan.target_lufs, last=plan.is_last)
    except GiveUp as failure:
        found.refused = str(failure)
        verdicts = failure.verdicts if isinstance(failure, Refused) else ()
    else:
        measures, verdicts = made.formed.measures, made.verdicts
        found.lufs, found.peak_coded = measures.lufs, measures.peak_dbtp
        found.features["centroid_hz"] = float(np.mean([point["centroid_hz"] for point in measures.curve]))
        found.features["range_lu"] = measures.range_lu
    found.rows = [verdict.record() for verdict in verdicts]


def features_of(score: Score, bpm: float, parts: int) -> dict[str, float]:
    """What tells presets apart, out of the notes that sound in the 60 s."""
    inside = [note for note in score.notes if 0 <= note.start < SECONDS]
    struck = [note for note in inside if note.part in ("keys", "bell")]
    pulses = [note for note in inside if note.part == "pulse"]
    times = [note.start for note in (*struck, *pulses)]
    return {
        "bpm": round(tempo_of(times, bpm, parts), 2),
        "notes_a_minute": float(len(struck)),
        "pulses_a_minute": float(len(pulses)),
    }


def tempo_of(times: Sequence[float], around: float, parts: int) -> float:
    """The tempo on whose grid, `parts` to a beat, these times lie best: their strongest period near `around`."""
    if not times:
        return 0.0
    tempi = np.arange(around * (1 - TEMPO_REACH), around * (1 + TEMPO_REACH), 0.05)
    turns = np.exp(2j * np.pi * parts / 60 * np.outer(tempi, np.asarray(times) - times[0]))
    return float(tempi[np.argmax(np.abs(turns.sum(axis=1)))])
