"""Owns the melody of a run: groups of four bars that replay the motif or walk freely (§5.3.5, §5.3.8).

It is composed from the run's start, whatever segment asks, so that neighbours play the same notes in their join.
"""

import bisect
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from services.composer.engine.harmony import BAR_BEATS, SUBDIVISIONS, BeatClock, Chord, scale, span_at
from services.composer.engine.motif import (
    BELL_CHANCE,
    GROUP_BARS,
    REPLAY_CHANCE,
    Place,
    Role,
    draw_motif,
    role_of,
)
from services.composer.engine.notes import Struck
from services.composer.engine.plan import Moment, SegmentPlan

MELODY_LOW, MELODY_HIGH, MELODY_CENTRE = 62, 86, 73
MELODY_START = 74
JITTER_SECONDS = 0.012
ARRIVAL_SECONDS = 3.0  # a run begins with pads alone: nothing is struck into silence


@dataclass(frozen=True, slots=True)
class Phrase:
    """A group of four bars; `replays` the motif, or walks freely."""

    number: int
    first_beat: int
    beats: int
    metre: str
    role: Role
    replays: bool


class Tune:
    """The melody of one run and take."""

    def __init__(self, plan: SegmentPlan, clock: BeatClock, chords: list[Chord]) -> None:
        self._plan = plan
        self._clock = clock
        self._chords = chords
        self._starts = [chord.start for chord in chords]
        self._motif = draw_motif(random.Random(plan.run_seed("motif")))  # noqa: S311 - composition, not secrecy
        self._last = MELODY_START

    def phrases(self, end: float) -> Iterator[Phrase]:
        """Every group that begins before `end` seconds of the run."""
        beat, number = 0, 0
        while (start := self._clock.time_of(beat)) < end:
            metre = span_at(self._plan.spans, start + 0.01).metre
            role = role_of(number)
            chance = random.Random(self._plan.run_seed(f"form {number}")).random()  # noqa: S311
            replays = role != "B" and (number == 0 or chance < REPLAY_CHANCE)
            beats = GROUP_BARS * BAR_BEATS[metre]
            yield Phrase(number, beat, beats, metre, role, replays)
            beat, number = beat + beats, number + 1

    def notes(self, end: float) -> Iterator[Struck]:
        """All notes up to `end` seconds of the run."""
        for phrase in self.phrases(end):
            for note in self._phrase(phrase):
                if note.time < end:
                    yield note

    def _phrase(self, phrase: Phrase) -> Iterator[Struck]:
        dice = random.Random(self._plan.run_seed(f"melody {phrase.number}"))  # noqa: S311
        shift = dice.random()
        varied_from = phrase.beats * 3 // 4 if phrase.role == "A'" else phrase.beats  # A′ ends in another bar
        for place in self._grid(phrase):
            time = self._time(phrase, place)
            moment = self._plan.path.at(time)
            if time < ARRIVAL_SECONDS:
                continue
            chord = self._chords[max(0, bisect.bisect_right(self._starts, time + 0.001) - 1)]
            if phrase.replays and place.beat < varied_from:
                if place.sounds(moment.density, (shift + place.beat // 8 / 2) % 1):
                    yield self._recall(place, time, chord, moment, dice)
            elif dice.random() < moment.density * place.chance:
                yield self._walk(place, time, chord, moment, dice)

    def _grid(self, phrase: Phrase) -> Iterator[Place]:
        thirds = SUBDIVISIONS[phrase.metre] == 3  # noqa: PLR2004
        return (p for p in self._motif if p.beat < phrase.beats and (thirds or p.part != 1))

    def _time(self, phrase: Phrase, place: Place) -> float:
        share = place.part / 3 if SUBDIVISIONS[phrase.metre] == 3 else place.part / 4  # noqa: PLR2004
        return self._clock.time_of(phrase.first_beat + place.beat + share)

    def _recall(self, place: Place, time: float, chord: Chord, moment: Moment, dice: random.Random) -> Struck:
        """The motif's note where the chord of the moment lets it stand."""
        notes = [n for n in range(MELODY_LOW, MELODY_HIGH + 1) if n % 12 in scale(self._plan.tonic, chord.mode)]
        centre = min(range(len(notes)), key=lambda step: abs(notes[step] - MELODY_CENTRE))
        wanted = notes[max(0, min(centre + place.degree, len(notes) - 1))]
        self._last = min(self._allowed(chord, strong=place.strong), key=lambda n: (abs(n - wanted), n))
        return self._struck(time, place.force, moment, dice, bell=place.bell, pan=place.pan)

    def _walk(self, place: Place, time: float, chord: Chord, moment: Moment, dice: random.Random) -> Struck:
        pitches = self._allowed(chord, strong=place.strong)
        weights = [math.exp(-abs(n - self._last) / 3) * math.exp(-(((n - MELODY_CENTRE) / 9) ** 2)) for n in pitches]
        self._last = dice.choices(pitches, weights)[0]
        bell = dice.random() < BELL_CHANCE
        return self._struck(time, dice.random(), moment, dice, bell=bell, pan=dice.uniform(-0.5, 0.5))

    def _allowed(self, chord: Chord, *, strong: bool) -> list[int]:
        """Pitches that may come next: tones of the chord on every second beat, else five notes of the mode."""
        classes = frozenset(chord.pitch_classes) if strong else five_notes(self._plan.tonic, chord.mode)
        return [n for n in range(MELODY_LOW, MELODY_HIGH + 1) if n % 12 in classes and n != self._last]

    def _struck(
        self, time: float, force: float, moment: Moment, dice: random.Random, *, bell: bool, pan: float
    ) -> Struck:
        velocity = (0.35 + 0.25 * force) * (0.8 + 0.3 * (moment.arousal + 1) / 2)
        played = max(0.0, time + dice.gauss(0, JITTER_SECONDS))
        return Struck(played, self._last, velocity, "bell" if bell else "keys", pan, moment)


def five_notes(tonic: int, mode: str) -> frozenset[int]:
    """The mode without its two most biting degrees."""
    dropped = (1, 5) if mode in {"aeolian", "dorian"} else (3, 6)
    return frozenset(note for step, note in enumerate(scale(tonic, mode)) if step not in dropped)
