"""Owns beats and chords of a whole run: without audio they cost milliseconds, so every segment knows its neighbours."""

import bisect
from dataclasses import dataclass
from itertools import pairwise

from services.composer.engine.plan import MODES, Path, SegmentPlan, Span

CLOCK_STEP_SECONDS = 0.5  # the curve bends by less than 0.05 BPM in it
LONG_CHORD_BEATS = 16
SHORT_CHORD_BEATS = 8
CALM_AROUSAL = 0.1  # domain.md §4.3: below it chords last 16 beats
SEVENTH_VALENCE = -0.2  # below it the fourth note is the seventh, else the ninth
VOICING_BASES = range(52, 64)
VOICING_CENTRE = 61
BASS_LOW = 36
SUBDIVISIONS = {"6/8": 3, "12/8": 3, "3/4": 2, "4/4": 2}
BAR_BEATS = {"6/8": 2, "12/8": 4, "3/4": 3, "4/4": 4}


class BeatClock:
    """Beats since the run's start, by integrating its tempo; the same in every segment of a run."""

    def __init__(self, path: Path, horizon_seconds: float) -> None:
        steps = int(horizon_seconds / CLOCK_STEP_SECONDS) + 2
        self._times = [step * CLOCK_STEP_SECONDS for step in range(steps)]
        rates = [path.at(time).bpm / 60 for time in self._times]
        self._beats = [0.0]
        for before, after in pairwise(rates):
            self._beats.append(self._beats[-1] + (before + after) / 2 * CLOCK_STEP_SECONDS)

    def time_of(self, beat: float) -> float:
        return self._between(self._beats, self._times, beat)

    def beat_of(self, time: float) -> float:
        return self._between(self._times, self._beats, time)

    @staticmethod
    def _between(known: list[float], wanted: list[float], value: float) -> float:
        right = min(max(bisect.bisect_left(known, value), 1), len(known) - 1)
        share = (value - known[right - 1]) / (known[right] - known[right - 1])
        return wanted[right - 1] + share * (wanted[right] - wanted[right - 1])


@dataclass(frozen=True, slots=True)
class Chord:
    """One chord of the run; times are seconds of the run."""

    number: int
    start: float
    seconds: float
    mode: str
    metre: str
    pitch_classes: tuple[int, ...]  # root first
    voicing: tuple[int, ...]
    bass: int


def scale(tonic: int, mode: str) -> tuple[int, ...]:
    return tuple((tonic + step) % 12 for step in MODES[mode])


def chord_tones(tonic: int, mode: str, degree: int, valence: float) -> tuple[int, ...]:
    notes = scale(tonic, mode)
    extra = 6 if valence < SEVENTH_VALENCE else 1
    return tuple(notes[(degree - 1 + step) % 7] for step in (0, 2, 4, extra))


def closed_voicing(pitch_classes: tuple[int, ...], base: int) -> tuple[int, ...]:
    return tuple(sorted(base + (pitch_class - base) % 12 for pitch_class in pitch_classes))


def lead(pitch_classes: tuple[int, ...], previous: tuple[int, ...] | None) -> tuple[int, ...]:
    """The cheapest closed voicing: shortest way from the previous one, near the middle of the keyboard."""

    def cost(voicing: tuple[int, ...]) -> float:
        off_centre = abs(sum(voicing) / len(voicing) - VOICING_CENTRE)
        if previous is None:
            return off_centre
        return sum(min(abs(note - old) for old in previous) for note in voicing) + 0.15 * off_centre

    return min((closed_voicing(pitch_classes, base) for base in VOICING_BASES), key=cost)


def span_at(spans: tuple[Span, ...], run_seconds: float) -> Span:
    """The segment a time of the run belongs to; the last one has no end."""
    return next((span for span in spans if run_seconds < span.start_seconds + span.seconds), spans[-1])


def run_clock(plan: SegmentPlan, until_seconds: float) -> BeatClock:
    return BeatClock(plan.path, until_seconds + 40)


def run_chords(plan: SegmentPlan, clock: BeatClock, until_seconds: float) -> list[Chord]:
    """All chords from the run's start that begin before a time of the run, as every other segment computes them.

    A chord that straddles a segment's end keeps its mode, so the 5 s tail of one segment and the head of the next are
    the same chord on the same beats. What sounds in a run's last fade is its tonic: it ends at home.
    """
    chords: list[Chord] = []
    beat = 0.0
    while (start := clock.time_of(beat)) < until_seconds:
        moment = plan.path.at(start)
        span = span_at(plan.spans, start + 0.01)
        length = LONG_CHORD_BEATS if moment.arousal < CALM_AROUSAL else SHORT_CHORD_BEATS
        seconds = clock.time_of(beat + length) - start
        home = start + seconds > plan.fade_begins
        degree = 1 if home else span.degrees[len(chords) % len(span.degrees)]
        tones = chord_tones(plan.tonic, span.mode, degree, moment.valence)
        chords.append(
            Chord(
                number=len(chords),
                start=start,
                seconds=seconds,
                mode=span.mode,
                metre=span.metre,
                pitch_classes=tones,
                voicing=lead(tones, chords[-1].voicing if chords else None),
                bass=BASS_LOW + (tones[0] - BASS_LOW) % 12,
            ),
        )
        beat += length
    return chords
