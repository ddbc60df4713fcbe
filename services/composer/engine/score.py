"""Owns the composition of one segment: plan in, timed notes out; pure, no audio (audio-and-player.md §5.3)."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from services.composer.engine.harmony import BeatClock, Chord, run_chords, run_clock, scale, span_at
from services.composer.engine.plan import Moment, SegmentPlan

Part = Literal["pad", "bass", "keys", "bell", "pulse", "shaker", "clap"]

PREROLL_SECONDS = (
    6.0  # later segments begin inside the music: pads stand and the reverb is filled at their first sample
)
PAD_PANS = (-0.7, -0.25, 0.25, 0.7)
MELODY_LOW, MELODY_HIGH, MELODY_CENTRE = 62, 86, 73
MELODY_START = 74
JITTER_SECONDS = 0.012
QUIET_SECONDS = 0.4  # no melody note this near to a chord boundary makes it a quiet point
QUIET_MARGIN_SECONDS = 8.0  # the player never swaps nearer to an end
SUBDIVISIONS = {"6/8": 3, "12/8": 3, "3/4": 2, "4/4": 2}
BAR_BEATS = {"6/8": 2, "12/8": 4, "3/4": 3, "4/4": 4}
GROOVE_GAIN = 10 ** (-18 / 20)


@dataclass(frozen=True, slots=True)
class Note:
    """One event; `start` counts from the file's first sample and is negative inside the pre-roll."""

    start: float
    seconds: float
    pitch: int
    velocity: float
    part: Part
    pan: float
    phase: float  # 0…1: where a loop is entered, so that equal notes never comb
    brightness: float
    arousal: float


@dataclass(frozen=True, slots=True)
class Score:
    """Notes sorted by start, and where a listener would not notice a change of take."""

    notes: tuple[Note, ...]
    chords: tuple[Chord, ...]  # in run time
    quiet_points_ms: tuple[int, ...]


def compose(plan: SegmentPlan) -> Score:
    """Compose the whole segment, whatever window of it will be rendered: a preview is a prefix of its final."""
    clock = run_clock(plan)
    offset = plan.span.start_seconds
    end = offset + plan.file_seconds
    begin = offset - (PREROLL_SECONDS if plan.index else 0.0)
    chords = [chord for chord in run_chords(plan, clock) if chord.start + chord.seconds > begin]
    phases = random.Random(plan.seed_for("offsets"))  # noqa: S311 - composition, not secrecy
    notes = [note for chord in chords for note in _sustained(plan, chord, offset, phases)]
    melody = list(_melody(plan, clock, chords, offset, end))
    notes += melody
    notes += _percussion(plan, clock, begin, offset, end)
    notes.sort(key=lambda note: (note.start, note.part, note.pitch))
    return Score(tuple(notes), tuple(chords), _quiet_points(plan, chords, melody, offset))


def _sustained(plan: SegmentPlan, chord: Chord, offset: float, phases: random.Random) -> Iterator[Note]:
    moment = plan.path.at(chord.start + chord.seconds / 2)
    start = chord.start - offset
    for pitch, pan in zip(chord.voicing, PAD_PANS, strict=True):
        velocity = 0.55 + 0.1 * phases.random()
        yield _note("pad", start, 1.12 * chord.seconds, pitch, velocity, pan=pan, moment=moment, phase=phases.random())
    yield _note("bass", start, 1.05 * chord.seconds, chord.bass, 0.6, pan=0.0, moment=moment, phase=phases.random())


def _note(
    part: Part, start: float, seconds: float, pitch: int, velocity: float, *, pan: float, moment: Moment, phase: float
) -> Note:
    return Note(start, seconds, pitch, velocity, part, pan, phase, moment.brightness, moment.arousal)


def _melody(
    plan: SegmentPlan,
    clock: BeatClock,
    chords: list[Chord],
    offset: float,
    end: float,
) -> Iterator[Note]:
    """Walk the grid of half-beats, thirds in compound time."""
    dice = random.Random(plan.seed_for("melody"))  # noqa: S311
    last = MELODY_START
    beat = math.ceil(clock.beat_of(offset))
    step = 0
    while True:
        parts = SUBDIVISIONS[span_at(plan.spans, clock.time_of(beat)).metre]
        time = clock.time_of(beat + step / parts)
        if time >= end - 1.0:
            return
        moment = plan.path.at(time)
        strong = step == 0 and beat % 2 == 0
        weight = 1.0 if strong else 0.45 if step == 0 else 0.22
        if dice.random() < moment.density * weight:
            chord = _chord_at(chords, time)
            last = _next_pitch(dice, plan.tonic, chord, last, on_chord=strong)
            velocity = (0.35 + 0.25 * dice.random()) * (0.8 + 0.3 * (moment.arousal + 1) / 2)
            part: Part = "keys" if dice.random() < 0.75 else "bell"  # noqa: PLR2004 - three of four notes are keys
            start = max(0.0, time - offset + dice.gauss(0, JITTER_SECONDS))
            pan = dice.uniform(-0.5, 0.5)
            yield _note(part, start, 5.0, last, velocity, pan=pan, moment=moment, phase=dice.random())
        step += 1
        if step == parts:
            beat, step = beat + 1, 0


def _chord_at(chords: list[Chord], time: float) -> Chord:
    return next((chord for chord in reversed(chords) if chord.start <= time + 0.001), chords[0])


def five_notes(tonic: int, mode: str) -> frozenset[int]:
    """The mode without its two most biting degrees."""
    dropped = (1, 5) if mode in {"aeolian", "dorian"} else (3, 6)
    return frozenset(note for step, note in enumerate(scale(tonic, mode)) if step not in dropped)


def _next_pitch(dice: random.Random, tonic: int, chord: Chord, last: int, *, on_chord: bool) -> int:
    allowed = frozenset(chord.pitch_classes) if on_chord else five_notes(tonic, chord.mode)
    pitches = [n for n in range(MELODY_LOW, MELODY_HIGH + 1) if n % 12 in allowed and n != last]
    weights = [math.exp(-abs(n - last) / 3) * math.exp(-(((n - MELODY_CENTRE) / 9) ** 2)) for n in pitches]
    return dice.choices(pitches, weights)[0]


def _percussion(plan: SegmentPlan, clock: BeatClock, begin: float, offset: float, end: float) -> Iterator[Note]:
    dice = random.Random(plan.seed_for("percussion"))  # noqa: S311
    beat = math.ceil(clock.beat_of(max(begin, 0.0)))
    while (time := clock.time_of(beat)) < end - 0.5:
        moment = plan.path.at(time)
        if moment.pulse > 0:
            level = moment.pulse * (1.0 if beat % 2 == 0 else 0.6)
            yield _note("pulse", time - offset, 0.5, 36, level, pan=0.0, moment=moment, phase=0.0)
        if moment.groove > 0:
            metre = span_at(plan.spans, time).metre
            level = moment.groove * GROOVE_GAIN
            off_beat = clock.time_of(beat + 0.5)
            loud = level * (0.8 + 0.2 * dice.random())
            yield _note("shaker", off_beat - offset, 0.15, 90, loud, pan=0.3, moment=moment, phase=0.0)
            if beat % BAR_BEATS[metre] % 2 == 1:
                yield _note("clap", time - offset, 0.25, 60, level, pan=-0.2, moment=moment, phase=0.0)
        beat += 1


def _quiet_points(
    plan: SegmentPlan,
    chords: list[Chord],
    melody: list[Note],
    offset: float,
) -> tuple[int, ...]:
    last = plan.span.seconds - QUIET_MARGIN_SECONDS
    boundaries = [chord.start - offset for chord in chords if 1.0 < chord.start - offset < last]
    return tuple(
        round(1000 * time) for time in boundaries if all(abs(note.start - time) > QUIET_SECONDS for note in melody)
    )
