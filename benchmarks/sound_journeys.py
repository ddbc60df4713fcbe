"""Owns the whole journeys of the proof of sound: made as by `parcours compose`, held against their plan."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.sound_cells import tempo_of
from services.archiver.domain.containers import Container
from services.archiver.domain.gate import Mode, thresholds
from services.archiver.domain.joins import JOIN_SECONDS
from services.archiver.sound.findings import Where
from services.archiver.sound.measure import measure
from services.composer.engine.harmony import SUBDIVISIONS
from services.composer.engine.plan import FADE_OUT_SECONDS
from services.composer.engine.score import compose
from services.create.domain.plan import Plan
from services.create.domain.planned_curve import planned_curve
from stack.audio_file import ffmpeg, loudness_of
from stack.composing import Progress, Wish, make, planned, segment_plans, stretches_of

# falls (example A of the design), goes down and comes back, rises
JOURNEYS = (
    ("panique-anxiete", "fear-0.8", 8),
    ("colere-irritabilite", "anger-0.7", 6),
    ("motivation-energie", "listless-0.6", 3),
)
BARE = ("-f", "f32le", "-ar", "44100", "-ac", "2")  # what the workers write
STEP = 15.0  # s, of the archiver's curve
WINDOW = 30.0  # s, of the correlations (§5.9)
LOUD_WINDOW = 60.0
LEAST_RANGE = {"bpm": 4.0, "brightness": 0.05, "lufs": 0.3}  # a plan that hardly moves has no correlation to keep

Curve = npt.NDArray[np.float64]


@dataclass
class Journey:
    """One journey: its curves, one value each 15 s, and what became of it."""

    preset: str
    feeling: str
    path: Path
    seconds: float = 0.0
    sha256: str = ""
    again: str | None = None
    lufs: float = 0.0
    peak_before: float = 0.0
    peak_coded: float = 0.0
    levels: list[tuple[float, float]] = field(default_factory=list)  # planned and rendered, of each segment
    rows: list[dict[str, Any]] = field(default_factory=list)
    planned: dict[str, list[float]] = field(default_factory=dict)
    measured: dict[str, list[float]] = field(default_factory=dict)
    heard_bpm: list[float | None] = field(default_factory=list)  # of the sound, where the archiver is certain
    joins: list[float] = field(default_factory=list)
    extra: dict[str, float] = field(default_factory=dict)  # findings that no row judges

    def correlation(self, name: str, window: float) -> float | None:
        """Pearson's r of planned and measured in windows; `None` where the plan hardly moves."""
        return correlation(self.planned[name], self.measured[name], round(window / STEP), LEAST_RANGE[name])

    def heard_tempo(self) -> tuple[float | None, int]:
        """Pearson's r of the planned tempo and the one that is heard, and of how many points of 15 s."""
        pairs = [(one, other) for one, other in zip(self.planned["bpm"], self.heard_bpm, strict=False) if other]
        if len(pairs) < 4:
            return None, len(pairs)
        planned, heard = [one for one, _ in pairs], [other for _, other in pairs]
        return correlation(planned, heard, 1, LEAST_RANGE["bpm"]), len(pairs)

    @property
    def tempo_error(self) -> float:
        """The largest difference of composed and planned tempo in a window of 30 s."""
        pairs = zip(windows(self.planned["bpm"], 2), windows(self.measured["bpm"], 2), strict=True)
        return float(max(abs(one - other) for one, other in pairs))


def windows(values: Sequence[float], size: int) -> Curve:
    """Means of each `size` values in a row; a rest is left out."""
    whole = len(values) // size * size
    means: Curve = np.asarray(values[:whole], np.float64).reshape(-1, size).mean(axis=1)
    return means


def correlation(planned: Sequence[float], measured: Sequence[float], size: int, least: float) -> float | None:
    count = min(len(planned), len(measured))
    one, other = windows(planned[:count], size), windows(measured[:count], size)
    if len(one) < 4 or np.ptp(one) < least or np.ptp(other) == 0:
        return None
    return round(float(np.corrcoef(one, other)[0, 1]), 3)


async def travel(number: int, seed: int, folder: Path, *, twice: bool) -> Journey:
    """Make one of the three journeys and hold it against its plan."""
    key, feeling, suds = JOURNEYS[number]
    plan = planned(Wish(key, folder / "journey.mp3", feeling, suds, seed=seed))
    folder.mkdir(parents=True, exist_ok=True)
    stretches, progress = stretches_of(plan, None), Progress(float(plan.total_seconds))
    made = await make(plan, stretches, folder, progress)
    found = Journey(key, f"{feeling}, SUDS {suds}", made.path, sha256=made.sha256)
    found.lufs, found.peak_coded = made.loudness.integrated, made.loudness.true_peak
    levels = [await loudness_of(file.path, *BARE) for file in progress.files]
    found.levels = [(each.loudness_lufs, level.integrated) for each, level in zip(plan.segments, levels, strict=True)]
    found.peak_before = max(level.true_peak for level in levels)
    for file in progress.files:
        file.path.unlink()
    if twice:
        other = folder / "again"
        other.mkdir()
        found.again = (await make(plan, stretches, other, Progress(float(plan.total_seconds)))).sha256
        for path in other.iterdir():
            path.unlink()
    await _hold_against(plan, found)
    return found


async def _hold_against(plan: Plan, found: Journey) -> None:
    found.joins = [float(each.start_seconds) + JOIN_SECONDS / 2 for each in plan.segments[1:]]
    until = plan.total_seconds - FADE_OUT_SECONDS
    where = Where(until_seconds=until, joins=tuple(found.joins))
    heard = await measure(Path(ffmpeg()), found.path, Container.MP3, keep_seconds=None, where=where)
    found.seconds = heard.samples / heard.sample_rate
    findings = dict(heard.findings) | {
        "duration_error_ms": abs(found.seconds - plan.total_seconds) * 1000,
        "peak_before_dbtp": found.peak_before,
    }
    found.extra = {"join_clicks": findings.get("join_clicks", 0.0)}
    judged = (row.judge(findings, Mode.ENFORCE) for row in thresholds().rows)
    found.rows = [verdict.record() for verdict in judged if verdict is not None]
    count = int(until // STEP)
    curve = planned_curve(plan)
    found.planned = {name: list(curve[name])[:count] for name in ("bpm", "brightness", "lufs")}
    found.heard_bpm = [point.get("bpm") for point in heard.curve[:count]]
    found.measured = {
        "bpm": _tempi(plan, found.planned["bpm"]),
        "brightness": [float(point["centroid_hz"]) for point in heard.curve[:count]],
        "lufs": [float(point["lufs"]) for point in heard.curve[:count]],
    }


def _tempi(plan: Plan, wanted: Sequence[float]) -> list[float]:
    """Tempo of what was composed, in 30 s around each point; where too few notes fall, the point before stands."""
    notes = [
        (each.span.start_seconds + note.start, SUBDIVISIONS[each.span.metre])
        for each in segment_plans(plan)
        for note in compose(each).notes
        if note.part in ("keys", "bell", "pulse") and 0 <= note.start < each.span.seconds
    ]
    found: list[float] = []
    for place, bpm in enumerate(wanted):
        middle = (place + 0.5) * STEP
        near = [(time, parts) for time, parts in notes if abs(time - middle) <= WINDOW / 2]
        parts = near[len(near) // 2][1] if near else 2
        times = [time for time, of in near if of == parts]
        found.append(tempo_of(times, bpm, parts) if len(times) >= 4 else (found[-1] if found else bpm))
    return found
