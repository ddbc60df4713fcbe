"""The composition: harmony, tempo and melody follow the plan, and neighbours agree about their join."""

from itertools import pairwise

import pytest

from services.composer.engine.harmony import BeatClock, Chord, run_chords, run_clock, scale
from services.composer.engine.melody import five_notes
from services.composer.engine.notes import Note
from services.composer.engine.plan import MODES, SegmentPlan
from services.composer.engine.score import compose
from tests.unit.composer.journeys import plan_a, short_plan


def parts(notes: tuple[Note, ...], *names: str) -> list[Note]:
    return [note for note in notes if note.part in names]


def clock_of(plan: SegmentPlan) -> BeatClock:
    return run_clock(plan, plan.span.start_seconds + plan.file_seconds)


def chords_of(plan: SegmentPlan) -> list[Chord]:
    return run_chords(plan, clock_of(plan), plan.span.start_seconds + plan.file_seconds)


def inside(plan: SegmentPlan, notes: list[Note]) -> list[Note]:
    """Notes that begin in the file; a score has a margin around it."""
    return [note for note in notes if 0 <= note.start < plan.file_seconds]


@pytest.mark.parametrize("index", range(6))
def test_every_pad_note_belongs_to_the_mode_of_its_chord(index: int) -> None:
    plan = plan_a(index)
    chords = compose(plan).chords
    for chord in chords:
        assert {pitch % 12 for pitch in chord.voicing} <= set(scale(plan.tonic, chord.mode))
        assert chord.bass % 12 == chord.pitch_classes[0]


@pytest.mark.parametrize("mode", MODES)
def test_melody_notes_belong_to_the_chord_or_to_five_notes_of_the_mode(mode: str) -> None:
    plan = short_plan(40, mode=mode, arousal=0.8)
    score = compose(plan)
    allowed = five_notes(plan.tonic, mode) | {pc for chord in score.chords for pc in chord.pitch_classes}
    melody = parts(score.notes, "keys", "bell")
    assert len(melody) > 10
    assert {note.pitch % 12 for note in melody} <= allowed
    assert all(62 <= note.pitch <= 86 for note in melody)


def test_a_melody_note_is_never_repeated_at_once() -> None:
    melody = parts(compose(plan_a(0)).notes, "keys", "bell")
    assert all(before.pitch != after.pitch for before, after in pairwise(melody))


@pytest.mark.parametrize("index", range(4))
def test_the_pulse_keeps_the_plans_tempo_within_half_a_beat_a_minute(index: int) -> None:
    plan = plan_a(index)
    beats = [note.start for note in parts(compose(plan).notes, "pulse")]
    assert len(beats) > 50
    for before, after in pairwise(beats):
        planned = plan.path.at(plan.span.start_seconds + (before + after) / 2).bpm
        assert 60 / (after - before) == pytest.approx(planned, abs=0.5)


def test_notes_become_rarer_as_arousal_falls() -> None:
    rates = []
    for index in (0, 3, 5):
        plan = plan_a(index)
        rates.append(len(inside(plan, parts(compose(plan).notes, "keys", "bell"))) / plan.file_seconds)
    assert rates[0] > rates[1] > rates[2]


def test_neighbouring_segments_play_the_same_chords_on_the_same_beats_in_their_join() -> None:
    for index in range(5):
        before, after = plan_a(index), plan_a(index + 1)
        join = after.span.start_seconds
        tail = [chord for chord in chords_of(before) if chord.start + chord.seconds > join]
        head = chords_of(after)
        assert [chord for chord in head if chord.number <= tail[-1].number][-len(tail) :] == tail


def test_chords_move_by_short_ways() -> None:
    chords = chords_of(plan_a(5))
    for before, after in pairwise(chords):
        ways = [min(abs(note - old) for old in before.voicing) for note in after.voicing]
        assert sum(ways) <= 8
        assert max(ways) <= 4


def test_chords_last_sixteen_beats_when_calm_and_eight_when_not() -> None:
    plan = plan_a(5)
    clock = clock_of(plan)
    for chord in chords_of(plan):
        beats = round(clock.beat_of(chord.start + chord.seconds) - clock.beat_of(chord.start))
        assert beats == (16 if plan.path.at(chord.start).arousal < 0.1 else 8)


def test_two_seeds_and_two_takes_differ_and_one_seed_does_not() -> None:
    notes = compose(short_plan(seed=1)).notes
    assert compose(short_plan(seed=1)).notes == notes
    assert compose(short_plan(seed=2)).notes != notes
    assert compose(short_plan(seed=1, take=1)).notes != notes


def test_quiet_points_are_chord_boundaries_without_melody_nearby() -> None:
    plan = plan_a(5)
    score = compose(plan)
    boundaries = {round(1000 * (chord.start - plan.span.start_seconds)) for chord in score.chords}
    melody = parts(score.notes, "keys", "bell")
    assert score.quiet_points_ms
    for point in score.quiet_points_ms:
        assert point in boundaries
        assert all(abs(note.start * 1000 - point) > 400 for note in melody)


def test_a_groove_brings_soft_percussion_and_none_brings_none() -> None:
    with_groove = parts(compose(short_plan(groove=0.5)).notes, "shaker", "clap")
    assert with_groove
    assert max(note.velocity for note in with_groove) < 0.1
    assert not parts(compose(short_plan()).notes, "shaker", "clap")


@pytest.mark.parametrize("metre", ["6/8", "12/8"])
def test_compound_time_divides_the_beat_by_three(metre: str) -> None:
    plan = short_plan(60, metre=metre, arousal=0.9)
    clock = clock_of(plan)
    thirds = [clock.beat_of(note.start + 60) * 3 for note in inside(plan, parts(compose(plan).notes, "keys", "bell"))]
    assert sum(abs(place - round(place)) < 0.2 for place in thirds) > 0.9 * len(thirds)
