"""Owns the narration of a segment: its lines said, an effect found, the mix made and judged; never a failed file."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import structlog

from services.archiver.clients.freesound import NoEffect
from services.archiver.domain import gate
from services.archiver.domain.failures import GiveUp
from services.archiver.domain.gate import Mode, Refused
from services.archiver.domain.narration import LASTING, Line, Place, Script, State, Unspoken, Why, place
from services.archiver.handlers.labelling import label_of_mix, tagging
from services.archiver.handlers.tools import Tools
from services.archiver.sound.coding import Formed
from services.archiver.sound.effects import begin_elsewhere, write_own, write_recording
from services.archiver.sound.mixing import MUSIC_BED_GAIN_DB, Mix, Stems, mix
from services.archiver.sound.speech import Spoken, read_spoken, write_stem
from services.archiver.storage import Order

SPEAK_SECONDS: Final = 60.0  # for all lines of a segment; the listener has its preview meanwhile
TRIES: Final = 3  # of one line

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Narrated:
    """What is stored of a segment: the file, the music alone where the file is a mix, and what is noted of both."""

    path: Path
    music: Path | None = None
    bed_gain_db: float = 0.0  # of the music in the file, against the music alone
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Voice:
    """The lines that were said, with their places; `why` names what is missing of them, if anything is."""

    spoken: Mapping[int, Spoken]
    places: Sequence[Place]
    why: Why | None


async def narrate(order: Order, formed: Formed, mode: Mode, *, folder: Path, tools: Tools) -> Narrated:
    """Mix what the plan wants said over a segment's mastered music; the music itself where nothing was asked for.

    Every segment of a narrated run gets the same level, with its voice or without (ADR 0013).
    """
    script = Script.from_plan(order.plan)
    if script is None:
        return Narrated(formed.path)
    if order.facts.get("dialect") == "simple":
        return _unmixed(order, formed, script, Why.KEPT_AS_RECEIVED)
    voice = await _speak(script, folder, tools)
    voice_tag, mark = label_of_mix(order, formed.parts, tools.speaker.name)
    try:
        effect, credit = await _find_effect(script, folder, tools)
        await asyncio.to_thread(begin_elsewhere, effect, order.segment_index)
        stems = Stems(formed.path, effect, formed.measures.samples, last=bool(order.plan.get("last", False)))
        stems = replace(stems, tag=tagging(order)(formed.parts), voice_tag=voice_tag)
        made, voice, rows = await _mix(stems, voice, mode, folder=folder, tools=tools)
    except GiveUp:
        return _unmixed(order, formed, script, Why.MIX_FAILED)
    state = _state(script, voice)
    if voice.why is not None:
        _tell(order, voice.why)
    narration = {
        "state": state,
        "reason": voice.why,
        "voice": tools.speaker.name if voice.places else None,
        "effect": credit,
        "lines_planned": len(script.lines),
        "spoken": [_spot(one) for one in voice.places],
        "threshold": made.threshold,
        "measures": made.findings,
        "gate": rows,
    }
    windows = [list(one.window_ms) for one in voice.places]
    notes = {"narration": narration, "narration_windows_ms": windows, "music_bed_gain_db": MUSIC_BED_GAIN_DB}
    notes |= {"music_path": order.music_key} | (mark if voice.places else {})
    return Narrated(made.path, formed.path, MUSIC_BED_GAIN_DB, notes)


async def _speak(script: Script, folder: Path, tools: Tools) -> _Voice:
    """Say the lines one after the other; a line that cannot be said is left out, and the rest goes on if it may."""
    spoken: dict[int, Spoken] = {}
    why: Why | None = None
    deadline = asyncio.get_running_loop().time() + SPEAK_SECONDS
    for number, line in enumerate(script.lines):
        try:
            async with asyncio.timeout_at(deadline):
                spoken[number] = await _say(line, script, folder / f"line-{number}", tools)
        except Unspoken as failure:
            why = why or failure.why
        except TimeoutError:
            why = why or Why.TIME
        if why in LASTING:
            break
    places = place(script, [each.seconds if (each := spoken.get(n)) else None for n in range(len(script.lines))])
    if len(places) < len(spoken):
        why = why or Why.NO_ROOM
    return _Voice(spoken, places, why)


async def _say(line: Line, script: Script, path: Path, tools: Tools) -> Spoken:
    """One line, asked for again where that may help."""
    for tries in range(1, TRIES + 1):
        try:
            await tools.speaker.speak(line.text, script.locale, path)
            return _plausible(line, await read_spoken(tools.ffmpeg, path))
        except Unspoken as failure:
            if failure.after_seconds is None or tries == TRIES:
                raise
            await asyncio.sleep(failure.after_seconds * tools.time_scale)
    raise AssertionError("the last try returns or raises")


def _plausible(line: Line, spoken: Spoken) -> Spoken:
    if not line.may_take(spoken.seconds):
        raise Unspoken(Why.AUDIO, after_seconds=0.0)  # cut off, or something else
    return spoken


async def _find_effect(script: Script, folder: Path, tools: Tools) -> tuple[Path, dict[str, Any]]:
    """Somebody's recording where that is set up and there is one, else our own sea or rain."""
    loop = folder / "effect.f32"
    reason: dict[str, Any] = {}
    if tools.recordings is not None:
        path = folder / "effect"
        try:
            credit = await tools.recordings.fetch(script.effect, path)
            await write_recording(tools.ffmpeg, path, loop)
        except NoEffect as failure:
            reason = {"reason": failure.reason}
        except GiveUp:
            reason = {"reason": "freesound_file"}
        else:
            return loop, {"kind": script.effect, "source": "freesound", **credit}
    await write_own(tools.ffmpeg, script.effect, loop)
    return loop, {"kind": script.effect, "source": "own"} | reason


async def _mix(
    stems: Stems, voice: _Voice, mode: Mode, *, folder: Path, tools: Tools
) -> tuple[Mix, _Voice, list[dict[str, Any]]]:
    """Mix and judge; a voice that the gate refuses is left out, and the level stays."""
    refused: list[dict[str, Any]] = []
    if voice.places:
        path = folder / "voice.f32"
        await asyncio.to_thread(write_stem, path, voice.places, voice.spoken, stems.samples)
        try:
            made = await mix(tools.ffmpeg, replace(stems, voice=path, places=voice.places), folder)
            return made, voice, [row.record() for row in gate.judge("mix", made.findings, mode)]
        except Refused as failure:
            refused = [row.record() for row in failure.verdicts]
            voice = _Voice({}, (), Why.MIX_REFUSED)
    made = await mix(tools.ffmpeg, stems, folder)
    return made, voice, refused or [row.record() for row in gate.judge("mix", made.findings, mode)]


def _state(script: Script, voice: _Voice) -> State:
    if not script.lines:
        return "silent"
    if not voice.places:
        return "missing"
    return "spoken" if len(voice.places) == len(script.lines) else "partial"


def _spot(one: Place) -> dict[str, int]:
    start, end = one.window_ms
    return {"line": one.line, "start_ms": start, "end_ms": end}


def _unmixed(order: Order, formed: Formed, script: Script, why: Why) -> Narrated:
    """The music as it is: at its own level, which is the exception that a run had better not hear."""
    _tell(order, why)
    narration = {"state": "missing", "reason": why, "lines_planned": len(script.lines), "spoken": []}
    return Narrated(formed.path, notes={"narration": narration, "narration_windows_ms": [], "music_bed_gain_db": 0.0})


def _tell(order: Order, why: Why) -> None:
    ids = {"run_id": str(order.run_id), "segment_id": str(order.segment_id)}
    _log.warning("narration_missing", reason=str(why), **ids)
