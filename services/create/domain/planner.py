"""Makes the plan of a run from preset, emotion, SUDS, style, arc and seed: deterministic, under half a millisecond."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Literal, get_args

from services.create.domain import emotion as emotions
from services.create.domain import trajectory
from services.create.domain.emotion import Emotion
from services.create.domain.errors import ArcError, SeedError, StyleError, SudsError
from services.create.domain.plan import Plan, PlannedSegment, Tonic, hash_of
from services.create.domain.presets import (
    Mode,
    Preset,
    SegmentOutline,
    catalogue,
    families,
    preset,
    styles,
    techniques,
)

PLAN_VERSION = 1
HIGHEST_SEED = 2**31 - 1  # fits every provider and every JSON reader
HIGHEST_SUDS = 10
JOIN_TAIL_SECONDS = 5
SOFTER_SUDS = 6  # from here on: longer out-breath, slower fade-in, dimmed screen
SUPPORT_SUDS = 9
_CALM_PRESET = "universel-reset"
_MEAN_LUFS = -16.0
_LARGEST_STEP_BPM = 10
_FIRST_SEGMENT_SECONDS = (90, 340)
_STRETCH = 0.3
_TONICS: tuple[Tonic, ...] = get_args(Tonic)


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What a run is planned from; refuses values outside their range as it is built."""

    preset_key: str
    seed: int
    emotion: Emotion | None = None
    suds: int | None = None
    style: str | None = None
    arc: Literal["auto", "gentle"] = "auto"

    def __post_init__(self) -> None:
        if not _is_integer_up_to(self.seed, HIGHEST_SEED):
            raise SeedError(f"expected an integer 0…{HIGHEST_SEED}")
        if self.suds is not None and not _is_integer_up_to(self.suds, HIGHEST_SUDS):
            raise SudsError("expected an integer 0…10, or null")
        if self.style is not None and self.style not in styles():
            raise StyleError("unknown style", allowed_styles=list(styles()))
        if self.arc not in ("auto", "gentle"):
            raise ArcError("expected auto or gentle", allowed_arcs=["auto", "gentle"])


@dataclass(frozen=True, slots=True)
class _Span:
    """Where a segment lies on the timeline, in seconds."""

    start: int
    seconds: int


def make_plan(request: PlanRequest, *, key: bytes) -> Plan:
    """The plan of a request; the same request and key give the same plan, hash included.

    Raises `UnknownPresetError`.
    """
    outline, calm = preset(request.preset_key), preset(_CALM_PRESET)
    emotion = request.emotion or emotions.of_preset(outline.default_label)
    suds = request.suds
    # Neither emotion nor SUDS given is no consent to personalise: the preset's defaults, taken gently.
    unasked = request.emotion is None and suds is None
    calmed = trajectory.is_calmed(outline, suds)
    path = trajectory.path_of(outline, calm, emotion, suds, gentle=unasked or request.arc == "gentle")
    groove = 0.0 if calmed or path.arc == "gentle" else outline.groove
    timbre, words = _timbre(outline, request.style, groove=groove)
    tempo = trajectory.tempo_of(outline, calm, calmed=calmed)
    spans = _spans(outline.segments, emotion.intensity, suds)
    softer = suds is not None and suds >= SOFTER_SUDS
    plan = Plan(
        version=PLAN_VERSION,
        preset_key=outline.key,
        preset_version=catalogue().version,
        seed=request.seed,
        style=request.style,
        emotion_source=emotion.source,
        path=path,
        tempo=tempo,
        calmed=calmed,
        tonic=_TONICS[request.seed % len(_TONICS)],
        family=outline.family,
        timbre=timbre,
        timbre_words=words,
        avoid=tuple(dict.fromkeys((*catalogue().avoid, *outline.avoid))),
        groove=groove,
        density_modifier=outline.density_modifier,
        brightness_cap=outline.brightness_cap,
        style_weight=outline.style_weight,
        weirdness=outline.weirdness,
        out_breath_seconds=7 if softer else 6,
        fade_in_seconds=6 if softer else 3,
        dimmed=softer,
        support_first=suds is not None and suds >= SUPPORT_SUDS,
        total_seconds=outline.total_seconds,
        segments=_segments(outline, path, tempo, spans, groove=groove, suds=suds),
        plan_hash="",
    )
    return replace(plan, plan_hash=hash_of(plan, emotion=emotion, suds=suds, key=key))


def _segments(
    outline: Preset,
    path: trajectory.Path,
    tempo: trajectory.Tempo,
    spans: Sequence[_Span],
    *,
    groove: float,
    suds: int | None,
) -> tuple[PlannedSegment, ...]:
    total = outline.total_seconds
    middles = [(span.start + span.seconds / 2) / total for span in spans]
    states = [path.at(x) for x in middles]
    levels = _loudness([state.arousal for state in states], spans, total)
    modes = _modes([state.valence for state in states], outline)
    speeds = _limited([trajectory.rounded(tempo.at(state.arousal)) for state in states])
    made = []
    for index, (span, segment, x, state) in enumerate(zip(spans, outline.segments, middles, states, strict=True)):
        arousal = state.arousal
        last = index == len(spans) - 1
        made.append(
            PlannedSegment(
                index=index,
                start_seconds=span.start,
                seconds=span.seconds,
                file_seconds=span.seconds + (0 if last else JOIN_TAIL_SECONDS),
                x=round(x, 6),
                phase=path.phase(x),
                valence=round(state.valence, 6),
                arousal=round(arousal, 6),
                bpm=speeds[index],
                bpm_start=round(tempo.at(path.at(span.start / total).arousal), 3),
                bpm_end=round(tempo.at(path.at((span.start + span.seconds) / total).arousal), 3),
                mode=modes[index],
                degrees=families()[outline.family][modes[index]],
                density=round(trajectory.density(arousal, outline.density_modifier), 6),
                brightness=round(trajectory.brightness(arousal, outline.brightness_cap), 6),
                pulse=round(trajectory.pulse(arousal), 6),
                groove=round(trajectory.groove_level(groove, arousal), 6),
                loudness_lufs=round(levels[index], 3),
                chord_beats=trajectory.chord_beats(arousal),
                metre=segment.metre,
                techniques=_gentler(segment.techniques, suds),
            )
        )
    return tuple(made)


def _spans(outlines: Sequence[SegmentOutline], intensity: float, suds: int | None) -> list[_Span]:
    """Stretches the first segment by intensity and SUDS; the longest other one gives or takes, the sum stays."""
    need = intensity if suds is None else (intensity + suds / 10) / 2
    lengths = [outline.seconds for outline in outlines]
    shortest, longest = _FIRST_SEGMENT_SECONDS
    wanted = 5 * trajectory.rounded(lengths[0] * (1 + _STRETCH * (need - 0.5)) / 5)
    first = max(shortest, min(wanted, longest))
    giver = max(range(1, len(lengths)), key=lambda i: (lengths[i], -i))
    lengths[giver] -= first - lengths[0]
    lengths[0] = first
    starts = accumulate(lengths, initial=0)
    return [_Span(start, seconds) for start, seconds in zip(starts, lengths, strict=False)]


def _limited(speeds: list[int]) -> list[int]:
    for before, here in pairwise(range(len(speeds))):
        low, high = speeds[before] - _LARGEST_STEP_BPM, speeds[before] + _LARGEST_STEP_BPM
        speeds[here] = max(low, min(speeds[here], high))
    return speeds


def _modes(valences: Sequence[float], outline: Preset) -> list[Mode]:
    rungs: list[int] = []
    for valence in valences:
        rungs.append(trajectory.mode_rung(valence, outline, rungs[-1] if rungs else None))
    return [trajectory.mode_name(rung) for rung in rungs]


def _loudness(arousals: Sequence[float], spans: Sequence[_Span], total: int) -> list[float]:
    """Targets in LUFS whose duration-weighted mean is −16."""
    loudest = max(arousals)
    offsets = [trajectory.loudness_offset(arousal, loudest) for arousal in arousals]
    mean = sum(offset * span.seconds for offset, span in zip(offsets, spans, strict=True)) / total
    return [_MEAN_LUFS + offset - mean for offset in offsets]


def _gentler(keys: tuple[str, ...], suds: int | None) -> tuple[str, ...]:
    if suds is None or suds < trajectory.CALMING_SUDS:
        return keys
    instead = techniques().substitutions
    return tuple(instead.get(key, key) for key in keys)


def _timbre(outline: Preset, style: str | None, *, groove: float) -> tuple[str, tuple[str, ...]]:
    """Timbre set and its words: the listener's style keeps the preset's percussion, and no groove means none of it."""
    percussion = catalogue().percussion_words
    if style is None:
        timbre, words = outline.timbre, outline.timbre_words
    else:
        timbre = styles()[style].timbre
        words = (*styles()[style].words, *(word for word in outline.timbre_words if word in percussion))
    return timbre, words if groove else tuple(word for word in words if word not in percussion)


def _is_integer_up_to(value: object, highest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= highest
