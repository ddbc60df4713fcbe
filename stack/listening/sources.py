"""Owns where a report's subject comes from: any audio file, or a run of a stack with what the archiver kept of it."""

import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from libs.common.objects import FolderObjects, ObjectError, ObjectMissing, ObjectStore, open_objects
from libs.common.settings import ObjectSettings
from services.archiver.domain.failures import Code, GiveUp
from services.archiver.domain.gate import BlockList, Mode, Stage, judge
from services.archiver.sound.measure import Take, inspect
from services.gateway.domain import arc
from stack.audio_file import ffmpeg, run_ffmpeg
from stack.errors import StackError
from stack.folder import DataFolder
from stack.listening.spectrum import Spectrum, spectrum_of
from stack.listening.subject import Piece, Record, Subject, clock
from stack.operator_commands import open_stack_database

_RUN: Final = "SELECT id, preset_key, status, plan FROM parcours_runs WHERE id = $1"
_SEGMENTS: Final = """
SELECT segment_index, title, status, plan, storage_path, metadata
FROM parcours_segments WHERE run_id = $1 ORDER BY segment_index
"""


async def subject_of(target: str, folder: DataFolder, *, bpm: float | None) -> Subject:
    """Hear a file, else a run by its id; raises StackError that says which of the two was expected."""
    path = Path(target).expanduser()
    if path.exists():
        return await _file(path, bpm)
    try:
        run_id = UUID(target)
    except ValueError:
        raise StackError(
            f"there is no file {target}, and it is no run's id: name an audio file, or a run of `parcours runs`"
        ) from None
    return await _run(run_id, folder)


async def _file(path: Path, bpm: float | None) -> Subject:
    if not path.is_file():
        raise StackError(f"{path} is no file: name an audio file, or a run of `parcours runs`")
    try:
        take = await inspect(Path(ffmpeg()), path, keep_seconds=None, near_bpm=bpm)
    except GiveUp as failure:
        raise StackError(_refusal(path, failure)) from None
    except OSError as error:
        raise StackError(f"{path} cannot be read: {error.strerror}") from None
    measures = take.measures
    piece = Piece(
        path.name,
        measures.seconds,
        "file",
        measures.lufs,
        measures.peak_dbtp,
        measures.range_lu,
        _rows(path, take),
        spectrum=await spectrum_of(path),
    )
    measured = [
        arc.Measured(point["from_seconds"], 0, point["bpm"], point["centroid_hz"], point["lufs"])
        for point in measures.curve
    ]
    return Subject(path.name, [piece], [*_technical(take), *await _labels(path)], measured=measured)


def _refusal(path: Path, failure: GiveUp) -> str:
    if failure.code is Code.NOT_AUDIO:
        return f"{path} is no audio by its contents: expected MP3, WAV, FLAC, Ogg or M4A, found something else"
    return f"{path} does not decode ({failure.found}): it is cut short or broken"


def _rows(path: Path, take: Take) -> list[Record]:
    """Every row of the gate that needs no plan, each once; nothing is refused here."""
    hashed = hashlib.sha256(path.read_bytes()).digest()
    blocked = BlockList.with_ours(()).names(hashed, take.measures.acoustic_hash)
    findings = dict(take.measures.findings) | {"blocked": float(blocked)}
    rows: dict[tuple[str, str, float], Record] = {}
    stages: tuple[Stage, ...] = ("raw", "mastered")
    for stage in stages:
        for verdict in _judged(stage, findings):
            rows.setdefault((verdict["check"], verdict["finding"], verdict["limit"]), verdict)
    return list(rows.values())


def _judged(stage: Stage, findings: Mapping[str, float]) -> list[Record]:
    """As the mode `record` does; a block-listed file is told like any other row."""
    listed = findings["blocked"] > 0
    rows = [verdict.record() for verdict in judge(stage, dict(findings) | {"blocked": 0.0}, Mode.RECORD)]
    return [row | {"passed": False, "value": 1.0} if listed and row["finding"] == "blocked" else row for row in rows]


def _technical(take: Take) -> list[tuple[str, str]]:
    measures, layout = take.measures, take.layout
    channels = {1: "mono", 2: "stereo"}.get(measures.channels, f"{measures.channels} channels")
    facts = [
        ("form", f"{take.container.name}, {measures.sample_rate} Hz, {channels}"),
        ("length", f"{clock(measures.seconds)} ({measures.samples} samples)"),
    ]
    if layout is None:
        return facts
    rate = f"{layout.first.kilobits} kbit/s {'constant' if layout.constant else 'variable'}"
    gaps = layout.gaps
    head = "none: players begin up to 25 ms late" if gaps is None else f"delay {gaps.delay}, padding {gaps.padding}"
    return [*facts, ("frames", f"{layout.frames}, {rate}"), ("Info header", head)]


async def _labels(path: Path) -> list[tuple[str, str]]:
    """The tags that any player shows."""
    with tempfile.TemporaryDirectory() as room:
        kept = Path(room) / "labels"
        await run_ffmpeg("-v", "error", "-i", f"file:{path}", "-map_chapters", "-1", "-f", "ffmetadata", str(kept))
        lines = kept.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = [line.partition("=") for line in lines if "=" in line and not line.startswith(";")]
    return [(name.strip(), value.strip()) for name, _, value in pairs if name != "encoder"]


async def _run(run_id: UUID, folder: DataFolder) -> Subject:
    async with open_stack_database(folder) as database, database.connection() as connection:
        run = await connection.fetchrow(_RUN, run_id)
        rows = [dict(row) for row in await connection.fetch(_SEGMENTS, run_id)]
    if run is None:
        raise StackError(f"there is no run {run_id} here: `parcours runs --data {folder.path}` lists them")
    async with _objects(folder) as objects:
        pieces = [await _piece(row, objects) for row in rows]
    planned, measured = arc.planned_points(run["plan"]), arc.measured_points(rows)
    total = sum(piece.seconds for piece in pieces)
    facts = [("preset", run["preset_key"]), ("status", run["status"]), ("length", clock(total))]
    correlation = arc.correlations(planned, measured, total)
    return Subject(f"run {run_id}", pieces, facts, planned, measured, correlation)


async def _piece(row: Mapping[str, Any], objects: ObjectStore) -> Piece:
    kept = row["metadata"] if row["status"] == "complete" else {}
    measures = kept.get("measures") or {}
    seconds = float(row["plan"].get("seconds") or measures.get("seconds") or 0)
    return Piece(
        row["title"] or "",
        seconds,
        row["status"],
        measures.get("lufs"),
        measures.get("peak_dbtp"),
        measures.get("range_lu"),
        [*(kept.get("gate") or ()), *((kept.get("narration") or {}).get("gate") or ())],
        kept.get("parts") or (),
        await _sound(row["storage_path"], seconds, objects) if kept else None,
    )


async def _sound(key: str, seconds: float, objects: ObjectStore) -> Spectrum | None:
    """What the store has under this key; nothing when it has lost it, for the rest can be told all the same."""
    with tempfile.NamedTemporaryFile(suffix=".mp3") as file:
        try:
            async for piece in objects.read(key):
                file.write(piece)
        except ObjectMissing:
            return None
        except ObjectError as error:
            raise StackError(f"the store of the stack's files does not answer: {error}") from error
        file.flush()
        return (await spectrum_of(Path(file.name))).until(seconds)


@asynccontextmanager
async def _objects(folder: DataFolder) -> AsyncIterator[ObjectStore]:
    """The store that the environment names, else the folder's own."""
    if "OBJECT_STORE" in os.environ:
        async with open_objects(ObjectSettings()) as objects:
            yield objects
    else:
        yield FolderObjects(folder.objects)
