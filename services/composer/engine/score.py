"""Owns the composition of one segment: plan in, timed notes out; pure, no audio (audio-and-player.md §5.3)."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from services.composer.engine.figure import figure, percussion
from services.composer.engine.harmony import Chord, run_chords, run_clock
from services.composer.engine.melody import Phrase, Tune
from services.composer.engine.notes import Note, Part
from services.composer.engine.plan import SegmentPlan

PREROLL_SECONDS = (
    6.0  # later segments begin inside the music: pads stand and the reverb is filled at their first sample
)
MARGIN_SECONDS = 40.0  # composed around a file, so that a chord in a join is levelled alike in both files
PAD_PANS = (-0.7, -0.25, 0.25, 0.7)
QUIET_SECONDS = 0.4  # no melody note this near to a chord boundary makes it a quiet point
QUIET_MARGIN_SECONDS = 8.0  # the player never swaps nearer to an end
LAST_NOTE_SECONDS = 1.0  # nothing is struck this near to a run's end


@dataclass(frozen=True, slots=True)
class Score:
    """Notes sorted by start, a margin around the file included; where a listener would not notice another take."""

    notes: tuple[Note, ...]
    chords: tuple[Chord, ...]  # in run time
    phrases: tuple[Phrase, ...]  # of the whole run up to the file's end
    quiet_points_ms: tuple[int, ...]


def compose(plan: SegmentPlan) -> Score:
    """Compose the whole segment, whatever window of it will be rendered: a preview is a prefix of its final."""
    offset = plan.span.start_seconds
    end = offset + plan.file_seconds
    begin = offset - MARGIN_SECONDS
    horizon = end - LAST_NOTE_SECONDS if plan.is_last else end + MARGIN_SECONDS
    clock = run_clock(plan, horizon)
    every = run_chords(plan, clock, horizon)
    chords = [chord for chord in every if chord.start + chord.seconds > begin]
    phases = random.Random(plan.seed_for("offsets"))  # noqa: S311 - composition, not secrecy
    notes = [note for chord in chords for note in _sustained(plan, chord, offset, phases)]
    tune = Tune(plan, clock, every)
    melody = [note for note in tune.notes(horizon) if note.time >= begin]
    rest = [*figure(plan, clock, every, begin, horizon), *percussion(plan, clock, begin, horizon)]
    notes += [note.note(offset) for note in (*melody, *rest)]
    notes.sort(key=lambda note: (note.start, note.part, note.pitch))
    quiet = _quiet_points(plan, chords, [note.time for note in melody])
    return Score(tuple(notes), tuple(chords), tuple(tune.phrases(end)), quiet)


def _sustained(plan: SegmentPlan, chord: Chord, offset: float, phases: random.Random) -> Iterator[Note]:
    """Pads and bass of a chord: their levels are the run's, their places in the loops this file's alone."""
    moment = plan.path.at(chord.start + chord.seconds / 2)
    levels = random.Random(plan.run_seed(f"levels {chord.number}"))  # noqa: S311

    def held(part: Part, share: float, pitch: int, velocity: float, pan: float) -> Note:
        seconds = share * chord.seconds
        entry = phases.random()
        state = (moment.brightness, moment.arousal)
        return Note(chord.start - offset, seconds, pitch, velocity, part, pan, entry, *state, chord.number)

    for pitch, pan in zip(chord.voicing, PAD_PANS, strict=True):
        yield held("pad", 1.12, pitch, 0.55 + 0.1 * levels.random(), pan)
    yield held("bass", 1.05, chord.bass, 0.6, 0.0)


def _quiet_points(plan: SegmentPlan, chords: list[Chord], melody: list[float]) -> tuple[int, ...]:
    offset, last = plan.span.start_seconds, plan.span.seconds - QUIET_MARGIN_SECONDS
    boundaries = [chord.start for chord in chords if 1.0 < chord.start - offset < last]
    return tuple(
        round(1000 * (time - offset))
        for time in boundaries
        if all(abs(struck - time) > QUIET_SECONDS for struck in melody)
    )
