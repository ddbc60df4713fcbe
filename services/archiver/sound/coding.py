"""Owns writing a segment's file: frames kept or coded anew, our Info frame in front of them, the label before it."""

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from libs.common import mp3
from services.archiver.domain.containers import Container
from services.archiver.domain.failures import Code, GiveUp
from services.archiver.domain.form import (
    EXACT_SAMPLES,
    KILOBITS,
    LEVEL_TOLERANCE_LU,
    MAX_GAIN_DB,
    PEAK_BEFORE_DBTP,
    PEAK_CODED_DBTP,
    SAMPLE_RATE,
    Measures,
    Recipe,
    Wanted,
    may_stay_coded,
    plan_form,
)
from services.archiver.domain.joins import JOIN_SECONDS
from services.archiver.sound import ffmpeg
from services.archiver.sound.findings import Where
from services.archiver.sound.measure import Take, measure, read_summary

PEAK_METER: Final = "ebur128=peak=true:framelog=verbose"
CORRECTIONS: Final = 2  # a limiter's true peak is known afterwards only; each is a coding more
CEILING_STEP_DB: Final = 0.1  # further below than the excess: the meter rounds to as much

Parts = list[dict[str, Any]]
Label = Callable[[Sequence[Mapping[str, Any]]], bytes]
"""The bytes in front of a file made of these parts."""


@dataclass(frozen=True, slots=True)
class Formed:
    """A finished file, what it measures, and how it was made; `coded` is false when the frames are the provider's.

    `peak_before_dbtp` is the true peak before coding; `None` where nothing of ours was done to the sound.
    """

    path: Path
    measures: Measures
    parts: Parts
    coded: bool
    peak_before_dbtp: float | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where to write, and the label that stands in front."""

    path: Path
    tag: bytes


def unlabelled(_parts: Sequence[Mapping[str, Any]]) -> bytes:
    """Say nothing of a file."""
    return b""


async def bring_to_form(
    program: Path,
    takes: Sequence[Take],
    wanted: Wanted,
    folder: Path,
    label: Label = unlabelled,
    *,
    rest: Take | None = None,
) -> Formed:
    """Write the file of a segment, exactly as long as wanted; raises `GiveUp` when ffmpeg cannot.

    `rest` continues the first take where it ends too early.
    """
    target = folder / "final.mp3"
    first = takes[0]
    if first.layout is not None and stays_coded(first, wanted):
        parts = _whole(first, wanted.seconds)
        await asyncio.to_thread(cut_frames, first.path, first.layout, wanted.samples, target, label(parts))
        measures = replace(first.measures, samples=wanted.samples)
        return Formed(target, measures, parts, coded=False)
    recipe = plan_form([take.measures for take in takes], wanted, rest.measures if rest else None)
    sources = [*takes, rest] if rest else takes
    parts = [_record(sources[part.source], part.seconds) for part in recipe.parts]
    labelled = Target(target, label(parts))
    measures, before = await _code(program, sources, recipe, labelled, wanted.bpm)
    for _ in range(CORRECTIONS):
        better = _correct(recipe, measures, before, wanted)
        if better is None:
            break
        recipe = better
        measures, before = await _code(program, sources, recipe, labelled, wanted.bpm)
    if abs(measures.samples - wanted.samples) > EXACT_SAMPLES:
        raise GiveUp(Code.DURATION_OFF, f"{measures.samples} samples for {wanted.samples}")
    return Formed(target, measures, parts, coded=True, peak_before_dbtp=before)


def _correct(recipe: Recipe, measures: Measures, before: float, wanted: Wanted) -> Recipe | None:
    """The recipe to try once more, knowing what the first one made; `None` when that is good."""
    excess = max(before - PEAK_BEFORE_DBTP, measures.peak_dbtp - PEAK_CODED_DBTP)
    if recipe.limited:
        ceiling = recipe.ceiling_dbtp - excess - CEILING_STEP_DB
        return replace(recipe, ceiling_dbtp=ceiling) if excess > 0 else None
    off = wanted.lufs - measures.lufs
    if not LEVEL_TOLERANCE_LU < abs(off) <= MAX_GAIN_DB:
        return None
    # a long fade took some
    return replace(recipe, parts=tuple(replace(part, gain_db=part.gain_db + off) for part in recipe.parts))


async def keep_as_received(program: Path, take: Take, folder: Path, label: Label = unlabelled) -> Formed:
    """The frames as they came, coded anew only if it is no MP3 (the mode `record`); our label for theirs."""
    target = folder / "final.mp3"
    parts = _whole(take, take.measures.seconds)
    if take.layout is not None:
        await asyncio.to_thread(_relabel, take.path, label(parts), target)
        return Formed(target, take.measures, parts, coded=False)
    samples = round(take.measures.seconds * SAMPLE_RATE)
    graph = f"[0:a:0]{_common()},atrim=end_sample={samples},apad=whole_len={samples}[out]"
    await _encode(program, ffmpeg.source(take.path, take.container), graph, samples, Target(target, label(parts)))
    measures = await measure(program, target, Container.MP3, keep_seconds=None)
    return Formed(target, measures, parts, coded=True)


def stays_coded(take: Take, wanted: Wanted) -> bool:
    """Whether the take's own frames can be the file: constant bit rate, clean, long and level enough."""
    layout = take.layout
    if layout is None or not layout.constant or not layout.clean_end or layout.first.kilobits < KILOBITS:
        return False
    enough = layout.frames * layout.first.samples >= wanted.samples + _delay(layout)
    return enough and may_stay_coded(take.measures, wanted)


def cut_frames(source: Path, layout: mp3.Layout, samples: int, target: Path, tag: bytes = b"") -> None:
    """Copy as many whole frames as the length needs, behind a tag and an Info frame that hides the rest; blocking."""
    delay = _delay(layout)
    frames = layout.frames
    if layout.samples != samples:  # an exact file keeps all its frames
        frames = min(frames, mp3.frames_needed(samples, delay=delay))
    end = mp3.frames_end(source, layout, frames)
    size = end - layout.audio_start
    head = mp3.info_frame(layout.first, frames=frames, audio_bytes=size, samples=samples, delay=delay)
    _write(source, layout.audio_start, size, tag + head, target)


def _delay(layout: mp3.Layout) -> int:
    announced = layout.gaps.delay if layout.gaps else None
    return mp3.ENCODER_DELAY if announced is None else announced


async def _code(
    program: Path, sources: Sequence[Take], recipe: Recipe, target: Target, near_bpm: float | None
) -> tuple[Measures, float]:
    """Write a recipe; returns what the file measures and its true peak before coding."""
    files = [argument for part in recipe.parts for argument in ffmpeg.source(*_file(sources[part.source]))]
    log = await _encode(program, files, graph_of(recipe), recipe.samples, target)
    own_clicks = max(source.measures.findings.get("own_clicks", 0.0) for source in sources)
    where = Where(until_seconds=recipe.fade_from_seconds, joins=recipe.joins, own_clicks=own_clicks)
    measures = await measure(program, target.path, Container.MP3, keep_seconds=None, where=where, near_bpm=near_bpm)
    if needs_meter(recipe):
        return measures, read_summary(log.lines, "peak_dbtp")
    part = recipe.parts[0]
    return measures, sources[part.source].measures.peak_dbtp + part.gain_db


def needs_meter(recipe: Recipe) -> bool:
    """Whether the true peak before coding is more than a gain away from what is known of the take."""
    return recipe.limited or len(recipe.parts) > 1


def _file(take: Take) -> tuple[Path, Container]:
    return take.path, take.container


def graph_of(recipe: Recipe) -> str:
    """The filter graph of a recipe: each part levelled and cut, joined by equal power, limited, faded, exactly long."""
    chains = [
        f"[{place}:a:0]{_common()},volume={part.gain_db:.3f}dB:precision=float,atrim=end={part.seconds:.6f}[p{place}]"
        for place, part in enumerate(recipe.parts)
    ]
    joined = "[p0]"
    for place in range(1, len(recipe.parts)):
        chains.append(f"{joined}[p{place}]acrossfade=d={JOIN_SECONDS:g}:c1=qsin:c2=qsin[j{place}]")
        joined = f"[j{place}]"
    ceiling = 10 ** (recipe.ceiling_dbtp / 20)
    steps = [f"alimiter=limit={ceiling:.4f}:level=disabled:latency=1"] if recipe.limited else []
    if recipe.fade_from_seconds is not None and recipe.fade_seconds > 0:
        # hsin is sin² rising, so it falls as cos²
        steps.append(f"afade=t=out:curve=hsin:st={recipe.fade_from_seconds:.6f}:d={recipe.fade_seconds:.6f}")
    steps += [f"atrim=end_sample={recipe.samples}", f"apad=whole_len={recipe.samples}"]
    steps += [PEAK_METER, _common()] if needs_meter(recipe) else []
    return ";".join([*chains, f"{joined}{','.join(steps)}[out]"])


def _common() -> str:
    return f"aresample={SAMPLE_RATE},aformat=sample_fmts=fltp:channel_layouts=stereo"


async def _encode(program: Path, sources: Sequence[str], graph: str, samples: int, target: Target) -> ffmpeg.Log:
    bare = target.path.with_suffix(".frames")
    coder = ["-c:a", "libmp3lame", "-b:a", f"{KILOBITS}k", "-ar", str(SAMPLE_RATE), "-ac", "2", "-map_metadata", "-1"]
    plain = ["-write_xing", "0", "-id3v2_version", "0", "-f", "mp3", "-y", f"file:{bare}"]
    log = await ffmpeg.run(program, [*sources, "-filter_complex", graph, "-map", "[out]", *coder, *plain])
    await asyncio.to_thread(put_info_in_front, bare, samples, target)
    return log


def put_info_in_front(bare: Path, samples: int, target: Target) -> None:
    """Move coded frames behind an Info frame that says where their music begins and ends; blocking."""
    layout = mp3.scan(bare)
    head = mp3.info_frame(layout.first, frames=layout.frames, audio_bytes=layout.audio_bytes, samples=samples)
    _write(bare, layout.audio_start, layout.audio_bytes, target.tag + head, target.path)
    bare.unlink()


def _relabel(source: Path, tag: bytes, target: Path) -> None:
    begin = mp3.frames_begin(source)
    _write(source, begin, source.stat().st_size - begin, tag, target)


def _write(source: Path, start: int, size: int, head: bytes, target: Path) -> None:
    with source.open("rb") as frames, target.open("wb") as file:
        file.write(head)
        frames.seek(start)
        shutil.copyfileobj(frames, file, 1 << 16)
        file.truncate(len(head) + size)


def _whole(take: Take, seconds: float) -> Parts:
    return [_record(take, seconds)]


def _record(take: Take, seconds: float) -> dict[str, Any]:
    """One entry of the recipe that is kept with the segment (§2.4)."""
    begins = float(take.begins_at)
    return {
        "source": take.source,
        "take": take.number,
        "from_seconds": begins,
        "to_seconds": round(begins + seconds, 3),
    }
