"""What the generator asks any provider for one segment; made from the plan alone, so nothing personal is in it."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from services.create.domain.plan import Plan, PlannedSegment
from services.create.domain.presets import Mode
from services.create.domain.trajectory import BPM_PER_AROUSAL, Phase, rounded

X_PARCOURS_VERSION = 1
TITLE_LIMIT = 80  # characters; the smallest title limit of any model
_STEADY_BELOW_BPM = 2

_MODE_WORDS: dict[Mode, str] = {
    "aeolian": "natural minor (aeolian)",
    "dorian": "dorian",
    "mixolydian": "mixolydian",
    "ionian": "major (ionian)",
    "lydian": "lydian",
}
_PHASE_WORDS: dict[Phase, str] = {
    "match": "stable pulse, meets the present mood",
    "ease": "slowly loosening",
    "deepen": "wide and still",
    "rest": "nearly motionless",
    "settle": "resting, very even",
    "return": "gently brightening, lightly moving",
}
_DENSITY_WORDS = ((0.30, "very sparse"), (0.45, "sparse"), (0.60, "moderately full"), (1.01, "flowing"))
_BRIGHTNESS_WORDS = ((0.27, "dark and muffled"), (0.40, "warm"), (1.01, "clear but soft"))


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """Provider-neutral request of one segment.

    `style_clauses` are ordered by priority: a client drops from the end until its model's limit fits, and adds
    `length_clause` (before `colour`) for a model that takes no `duration`. `style` is the clauses and the colour,
    joined. `x_parcours` goes to a provider that declares extensions, and to no other.
    """

    title: str
    style_clauses: tuple[str, ...]
    length_clause: str
    colour: str | None
    style: str
    negative_tags: str
    seconds: int
    file_seconds: int
    style_weight: float
    weirdness: float
    x_parcours: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Its members as they are; `asdict` would copy the timeline deeply, six times a run."""
        return {member.name: getattr(self, member.name) for member in fields(self)}


def request_facts(plan: Plan, index: int, *, title: str, colour: str | None = None) -> RequestFacts:
    """The request of segment `index`; `title` is the segment's own, `colour` has passed the checks of model words."""
    segment = plan.segments[index]
    clauses = _clauses(plan, segment)
    return RequestFacts(
        title=numbered_title(title, index, len(plan.segments)),
        style_clauses=clauses,
        length_clause=f"about {rounded(segment.file_seconds / 60)} minutes",
        colour=colour,
        style=", ".join((*clauses, colour) if colour else clauses),
        negative_tags=", ".join(plan.avoid),
        seconds=segment.seconds,
        file_seconds=segment.file_seconds,
        style_weight=plan.style_weight,
        weirdness=plan.weirdness,
        x_parcours=_x_parcours(plan, segment),
    )


def numbered_title(title: str, index: int, count: int) -> str:
    """`A place of your own 3/6`, at most 80 characters."""
    number = f" {index + 1}/{count}"
    return title[: TITLE_LIMIT - len(number)].rstrip() + number


def _clauses(plan: Plan, segment: PlannedSegment) -> tuple[str, ...]:
    return (
        "instrumental ambient, no vocals",
        _tempo_words(segment),
        f"{segment.metre} time",
        f"{plan.tonic} {_MODE_WORDS[segment.mode]}",
        ", ".join(plan.timbre_words),
        f"{_word(_DENSITY_WORDS, segment.density)}, {_word(_BRIGHTNESS_WORDS, segment.brightness)}",
        "soft attacks, long pads, even quiet dynamics, no build-up",
        _PHASE_WORDS[segment.phase],
        "distant slow sea wash",
    )


def _tempo_words(segment: PlannedSegment) -> str:
    begin, end = rounded(segment.bpm_start), rounded(segment.bpm_end)
    if abs(begin - end) < _STEADY_BELOW_BPM:
        return f"{segment.bpm} BPM steady"
    return f"{begin} BPM {'easing' if end < begin else 'lifting'} to {end} BPM"


def _word(limits: tuple[tuple[float, str], ...], value: float) -> str:
    return next(word for below, word in limits if value < below)


def _x_parcours(plan: Plan, segment: PlannedSegment) -> dict[str, Any]:
    """The exact numbers, as `contracts/x_parcours.schema.json` describes them."""
    path, tempo = plan.path, plan.tempo
    return {
        "version": X_PARCOURS_VERSION,
        "plan_hash": plan.plan_hash,
        "seed": plan.seed,
        "segment_index": segment.index,
        "segment_count": len(plan.segments),
        "segment_start_seconds": segment.start_seconds,
        "seconds": segment.seconds,
        "file_seconds": segment.file_seconds,
        "total_seconds": plan.total_seconds,
        "arc": path.arc,
        "phase": segment.phase,
        "start": asdict(path.start),
        "trough": None if path.trough is None else asdict(path.trough),
        "target": asdict(path.target),
        "tempo": {**asdict(tempo), "bpm_per_arousal": BPM_PER_AROUSAL},
        "bpm": segment.bpm,
        "bpm_start": segment.bpm_start,
        "bpm_end": segment.bpm_end,
        "density_modifier": plan.density_modifier,
        "brightness_cap": plan.brightness_cap,
        "groove": plan.groove,
        "tonic": plan.tonic,
        "mode": segment.mode,
        "family": plan.family,
        "degrees": list(segment.degrees),
        "metre": segment.metre,
        "timbre": plan.timbre,
        "arousal_mid": segment.arousal,
        "valence_mid": segment.valence,
        "loudness_lufs": segment.loudness_lufs,
        "timeline": [
            {
                "start_seconds": each.start_seconds,
                "seconds": each.seconds,
                "mode": each.mode,
                "degrees": list(each.degrees),
                "metre": each.metre,
            }
            for each in plan.segments
        ],
    }
