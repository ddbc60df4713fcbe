"""Owns what a listener can tell two journeys apart by, counted in steps that are just heard; nothing is rendered."""

import math
import random
from dataclasses import dataclass, field

import numpy as np

from services.composer.engine.harmony import SUBDIVISIONS, run_chords, run_clock, span_at
from services.composer.engine.motif import draw_motif
from services.composer.engine.plan import MODES, SegmentPlan
from services.composer.engine.score import compose
from services.composer.exact import ExactPlan
from services.create.domain import emotion
from services.create.domain.planner import PlanRequest, make_plan
from services.create.domain.presets import preset
from services.create.domain.request_facts import request_facts

STEPS = {  # [C]: about what is heard when two pieces follow each other
    "bpm": 4.0,  # a tempo is told from another at 5–6 %
    "mode": 1.0,  # one accidental
    "metre": 0.5,  # beats in two or in three
    "density": 0.06,
    "brightness": 0.05,
    "pulse": 0.2,
    "groove": 0.1,
    "rate": 0.35,  # struck notes a second
    "places": 0.12,  # share of the struck notes on one of twelve places of the bar
    "roots": 0.25,  # share of the time with another root
    "tune": 2.0,  # steps of the scale between the tunes, on average
}
SAMPLED = (0.05, 0.5, 0.95)  # of the run
FAR_ENOUGH = 4.0  # just-heard steps between two presets, all kinds together; the median of pairs is 14
BY_SEVERAL = 3  # kinds that differ by a whole step


@dataclass
class Features:
    """Numbers by kind; those of one kind add up as squares."""

    numbers: dict[str, list[float]] = field(default_factory=dict)

    def note(self, kind: str, *values: float) -> None:
        self.numbers.setdefault(kind, []).extend(values)

    def steps_to(self, other: "Features") -> dict[str, float]:
        """How many just-heard steps lie between two journeys, by kind."""
        apart = {}
        for kind, mine in self.numbers.items():
            differences = [a - b for a, b in zip(mine, other.numbers[kind], strict=False)]
            if kind in {"roots", "tune"}:
                apart[kind] = sum(abs(d) if kind == "tune" else d != 0 for d in differences) / len(differences)
            else:
                apart[kind] = math.hypot(*differences)
            apart[kind] /= STEPS[kind]
        return apart


def distance(apart: dict[str, float]) -> float:
    """All kinds together, in just-heard steps."""
    return math.hypot(*apart.values())


def journey_of(key: str, *, style: str | None = None, seed: int = 7, given: str | None = None) -> list[SegmentPlan]:
    """All segments of a preset as its planner orders them."""
    feeling = emotion.parse(given) if given else emotion.of_preset(preset(key).default_label)
    plan = make_plan(PlanRequest(key, seed, feeling, None, style), key=b"features")
    ordered = (request_facts(plan, index, title="").x_parcours for index in range(len(plan.segments)))
    return [ExactPlan.model_validate(numbers).plan() for numbers in ordered]


def features_of(journey: list[SegmentPlan]) -> Features:
    found = Features()
    last = journey[-1]
    total = last.span.start_seconds + last.span.seconds
    for share in SAMPLED:
        moment, span = last.path.at(share * total), span_at(last.spans, share * total)
        for kind in ("bpm", "density", "brightness", "pulse", "groove"):
            found.note(kind, getattr(moment, kind))
        found.note("mode", float(list(MODES).index(span.mode)))
        found.note("metre", float(SUBDIVISIONS[span.metre]))
    for plan in (journey[0], last):
        _note_rhythm(found, plan)
    clock = run_clock(last, total)
    chords = run_chords(last, clock, total)
    for time in np.arange(5.0, total, 10.0):
        chord = next(chord for chord in reversed(chords) if chord.start <= time)
        found.note("roots", float((chord.bass - last.tonic) % 12))
    motif = draw_motif(random.Random(last.run_seed("motif")))
    found.note("tune", *(float(place.degree) for place in motif if place.part == 0))
    return found


def _note_rhythm(found: Features, plan: SegmentPlan) -> None:
    clock = run_clock(plan, plan.span.start_seconds + plan.file_seconds)
    notes = compose(plan).notes
    for parts in ({"keys", "bell"}, {"figure"}):
        beats = [
            clock.beat_of(plan.span.start_seconds + note.start)
            for note in notes
            if note.part in parts and 0 <= note.start < plan.span.seconds
        ]
        found.note("rate", len(beats) / plan.span.seconds)
        places, _ = np.histogram([round(beat % 4 * 3) % 12 for beat in beats], bins=np.arange(13))
        found.note("places", *(places / max(1, len(beats))))
