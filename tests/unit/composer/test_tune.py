"""The tune of a run: a motif that returns, and neighbours that play the same notes at the same level in their join."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from services.composer.engine.balance import balance
from services.composer.engine.harmony import run_chords, run_clock
from services.composer.engine.melody import Phrase, Tune
from services.composer.engine.notes import Note
from services.composer.engine.plan import SegmentPlan
from services.composer.engine.score import compose
from tests.unit.composer.journeys import plan_a, short_plan

JOIN_SECONDS = 5.0


def tune_of(plan: SegmentPlan, until: float) -> Tune:
    clock = run_clock(plan, until)
    return Tune(plan, clock, run_chords(plan, clock, until))


def test_six_in_ten_groups_replay_the_motif() -> None:
    later: list[Phrase] = []
    for seed in range(12):
        plan = replace(plan_a(5), seed=seed)
        later += list(tune_of(plan, 1200.0).phrases(1200.0))[1:]
    assert len(later) > 1000
    assert sum(phrase.replays for phrase in later) / len(later) == pytest.approx(0.6, abs=0.04)


def test_the_form_is_a_a_b_a_and_begins_with_the_motif() -> None:
    phrases = list(tune_of(short_plan(120), 300.0).phrases(300.0))
    assert [phrase.role for phrase in phrases[:5]] == ["A", "A'", "B", "A", "A"]
    assert phrases[0].replays
    assert not any(phrase.replays for phrase in phrases if phrase.role == "B")
    assert all(after.first_beat == before.first_beat + before.beats for before, after in pairwise(phrases))


def test_a_replayed_group_over_the_same_chords_is_the_same_music() -> None:
    plan = short_plan(200, arousal=0.5)
    tune = tune_of(plan, 400.0)
    clock = run_clock(plan, 400.0)
    notes = list(tune.notes(400.0))
    same = [phrase for phrase in tune.phrases(380.0) if phrase.replays and phrase.number % 4 == 0 and phrase.number]
    played = []
    for phrase in same:
        beats = [(clock.beat_of(note.time) - phrase.first_beat, note.pitch) for note in notes]
        played.append({(round(beat * 4), pitch) for beat, pitch in beats if -0.1 < beat < phrase.beats - 0.1})
    assert len(played) > 2
    for before, after in pairwise(played):
        assert len(before & after) >= 0.6 * min(len(before), len(after))  # no note follows itself, so some give way


def struck_in(plan: SegmentPlan, notes: tuple[Note, ...], begin: float, end: float) -> list[tuple[object, ...]]:
    start = plan.span.start_seconds
    return sorted(
        (note.part, round(note.start + start, 6), note.pitch, round(note.velocity, 9))
        for note in notes
        if note.chord < 0 and begin <= note.start + start < end
    )


@pytest.mark.parametrize("index", [0, 2, 4])
def test_both_files_of_a_join_play_the_same_notes(index: int) -> None:
    before, after = plan_a(index), plan_a(index + 1)
    join = after.span.start_seconds
    tail = struck_in(before, compose(before).notes, join - 3, join + JOIN_SECONDS)
    assert tail
    assert struck_in(after, compose(after).notes, join - 3, join + JOIN_SECONDS) == tail


def test_both_files_of_a_join_hold_their_chords_at_the_same_level() -> None:
    before, after = plan_a(3), plan_a(4)
    join = after.span.start_seconds

    def held(plan: SegmentPlan) -> dict[tuple[int, int], float]:
        balanced = balance(plan, compose(plan))
        gain = balanced.gain(plan)
        return {
            (note.chord, note.pitch): gain * note.velocity
            for note in balanced.notes
            if note.part == "pad" and note.start + plan.span.start_seconds < join + JOIN_SECONDS
            if note.start + plan.span.start_seconds + note.seconds > join
        }

    tail, head = held(before), held(after)
    assert tail.keys() == head.keys()
    steps = [20 * math.log10(head[key] / tail[key]) for key in tail]
    assert max(abs(step) for step in steps) < 0.5


def test_a_run_ends_at_home() -> None:
    plan = plan_a(5)
    end = plan.span.start_seconds + plan.file_seconds
    assert compose(plan).chords[-1].bass % 12 == plan.tonic
    assert max(note.start for note in compose(plan).notes) < end - plan.span.start_seconds


def test_nothing_is_struck_into_the_silence_a_run_begins_with() -> None:
    struck = [note.start for note in compose(plan_a(0)).notes if note.part in {"keys", "bell", "figure"}]
    assert min(struck) > 2.9
