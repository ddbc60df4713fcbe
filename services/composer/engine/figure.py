"""Owns what moves beneath the melody: a soft figure of chord tones, another one in each family, and the percussion."""

import bisect
import math
from collections.abc import Iterator

from services.composer.engine.harmony import BAR_BEATS, SUBDIVISIONS, BeatClock, Chord, span_at
from services.composer.engine.melody import ARRIVAL_SECONDS
from services.composer.engine.notes import Struck
from services.composer.engine.plan import SegmentPlan

CELL_BEATS = 4
GROOVE_GAIN = 10 ** (-18 / 20)
VELOCITY = 0.32  # below the melody's .35…
SILENT_DENSITY = 0.25  # under it a figure rests
FULLNESS = 1.8  # of a figure, for one unit of density above that
_PANS = (-0.3, 0.15, 0.3, -0.15)
_GOLDEN = 0.618033988749895  # its multiples fall evenly: an accent that never repeats in step

# (beat, tone of the voicing from below, fullness from which it sounds); halves are thirds in compound time
FIGURES: dict[str, tuple[tuple[float, int, float], ...]] = {
    "circle": ((0, 0, 0.0), (1, 2, 0.35), (2, 1, 0.15), (3, 2, 0.5)),
    "descent": ((0, 0, 0.0), (0.5, 1, 0.3), (2, 0, 0.1), (2.5, 2, 0.4)),
    "plagal": ((1, 1, 0.0), (1, 2, 0.2), (3, 1, 0.1), (3, 2, 0.35)),
    "fifties": (
        (0, 0, 0.0),
        (0.5, 1, 0.3),
        (1, 2, 0.15),
        (1.5, 1, 0.45),
        (2, 0, 0.1),
        (2.5, 1, 0.35),
        (3, 2, 0.2),
        (3.5, 1, 0.5),
    ),
    "pop": ((0, 0, 0.0), (0.5, 1, 0.25), (1, 2, 0.1), (1.5, 3, 0.2), (2.5, 2, 0.4), (3, 1, 0.3)),
    "radiant": ((0, 0, 0.0), (1, 1, 0.15), (2, 2, 0.1), (3, 3, 0.2)),
    "drone": ((0, 2, 0.15),),
}


def figure(plan: SegmentPlan, clock: BeatClock, chords: list[Chord], begin: float, end: float) -> Iterator[Struck]:
    """Notes from `begin` to `end`, seconds of the run."""
    starts = [chord.start for chord in chords]
    cell = max(0, math.floor(clock.beat_of(max(begin, 0.0)) / CELL_BEATS)) * CELL_BEATS
    while (start := clock.time_of(cell)) < end:
        compound = SUBDIVISIONS[span_at(plan.spans, start + 0.01).metre] == 3  # noqa: PLR2004
        for beat, tone, needed in FIGURES[plan.family]:
            share = beat % 1 * (4 / 3 if compound else 1)
            time = clock.time_of(cell + beat // 1 + share)
            moment = plan.path.at(time)
            if time < ARRIVAL_SECONDS or needed >= FULLNESS * (moment.density - SILENT_DENSITY):
                continue
            voicing = chords[max(0, bisect.bisect_right(starts, time + 0.001) - 1)].voicing
            velocity = VELOCITY * (0.9 + 0.2 * (cell * _GOLDEN % 1))
            yield Struck(time, voicing[tone], velocity, "figure", _PANS[tone], moment)
        cell += CELL_BEATS


def percussion(plan: SegmentPlan, clock: BeatClock, begin: float, end: float) -> Iterator[Struck]:
    """The pulse that fades with arousal, and a groove's shaker and clap."""
    beat = math.ceil(clock.beat_of(max(begin, 0.0)))
    while (time := clock.time_of(beat)) < end:
        moment = plan.path.at(time)
        if moment.pulse > 0:
            level = moment.pulse * (1.0 if beat % 2 == 0 else 0.6)
            yield Struck(time, 36, level, "pulse", 0.0, moment, seconds=0.5)
        if moment.groove > 0:
            metre = span_at(plan.spans, time).metre
            level = moment.groove * GROOVE_GAIN
            loud = level * (0.8 + 0.2 * (beat * _GOLDEN % 1))
            yield Struck(clock.time_of(beat + 0.5), 90, loud, "shaker", 0.3, moment, seconds=0.15)
            if beat % BAR_BEATS[metre] % 2 == 1:
                yield Struck(time, 60, level, "clap", -0.2, moment, seconds=0.25)
        beat += 1
