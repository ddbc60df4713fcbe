"""The path of a run through the valence/arousal plane and the music it asks for, as continuous functions of x = 0…1."""

import math
from dataclasses import dataclass
from typing import Literal

from services.create.domain.emotion import Emotion
from services.create.domain.presets import LADDER, Arc, Mode, Preset, State

Phase = Literal["match", "ease", "deepen", "rest", "settle", "return"]

TROUGH = State(0.30, -0.50)
BPM_PER_AROUSAL = 24  # beats a minute between arousal 0 and 1
_HIGHEST_AROUSAL = 0.80  # never chase a panic
_SUDS_SHARE = 0.25
_SUDS_MIDDLE = 5
CALMING_SUDS = 7
GENTLE_SUDS = 9
_LOW_LABEL_SUDS = 6
_NOTHING_TO_DESCEND_FROM = -0.35
_GENTLE_HEAD_START = 0.6
_RUNGS_BELOW = (-0.30, 0.0, 0.25, 0.35)  # valence limits between the five modes
_SLOW_CHORDS_BELOW = 0.1
_QUIET_PULSE = 0.05
_LOUDEST, _SPREAD_LU = 0.7, -1.5


@dataclass(frozen=True, slots=True)
class Path:
    """Start, target and arc of one run; everything else follows from x."""

    arc: Arc
    start: State
    target: State
    trough: State | None

    def at(self, x: float) -> State:
        """The state at x; a tail past the end stays at the target."""
        if self.trough is None:
            return _between(self.start, self.target, smooth((x - 0.12) / 0.73))
        if x <= 0.60:  # noqa: PLR2004 — the arc's own breakpoints, domain.md §4.2
            return _between(self.start, self.trough, smooth((x - 0.12) / 0.48))
        return _between(self.trough, self.target, smooth((x - 0.80) / 0.17))

    def phase(self, x: float) -> Phase:
        steps = _U_PHASES if self.trough is not None else _ISO_PHASES
        return next(name for until, name in steps if x < until)


_ISO_PHASES: tuple[tuple[float, Phase], ...] = ((0.12, "match"), (0.45, "ease"), (0.85, "deepen"), (math.inf, "settle"))
_U_PHASES: tuple[tuple[float, Phase], ...] = ((0.12, "match"), (0.60, "ease"), (0.80, "rest"), (math.inf, "return"))


@dataclass(frozen=True, slots=True)
class Tempo:
    """`bpm(A) = clamp(base + 24·(A − base arousal), min, max)`, in felt beats a minute."""

    base_bpm: int
    base_arousal: float
    min_bpm: int
    max_bpm: int

    def at(self, arousal: float) -> float:
        wanted = self.base_bpm + BPM_PER_AROUSAL * (arousal - self.base_arousal)
        return float(clamp(wanted, self.min_bpm, self.max_bpm))


def clamp(value: float, low: float, high: float) -> float:
    return low if value < low else min(value, high)


def lerp(a: float, b: float, y: float) -> float:
    return a + (b - a) * y


def smooth(z: float) -> float:
    """Smoothstep, with z clamped to 0…1."""
    z = clamp(z, 0.0, 1.0)
    return z * z * (3 - 2 * z)


def rounded(value: float) -> int:
    """Halves go up, everywhere and for every sign."""
    return math.floor(value + 0.5)


def is_calmed(preset: Preset, suds: int | None) -> bool:
    """A rising preset is softened for someone who is very tense."""
    return suds is not None and suds >= CALMING_SUDS and preset.target.arousal > 0


def start_state(emotion: Emotion, suds: int | None) -> State:
    """SUDS moves arousal only; without it nothing is added."""
    tension = 0.0 if suds is None else _SUDS_SHARE * (suds - _SUDS_MIDDLE) / 5
    arousal = clamp(emotion.intensity * emotion.label.arousal + tension, -1.0, _HIGHEST_AROUSAL)
    return State(_exact(emotion.intensity * emotion.label.valence), _exact(arousal))


def path_of(preset: Preset, calm: Preset, emotion: Emotion, suds: int | None, *, gentle: bool) -> Path:
    """The run's path. `calm` is the preset whose tempo line and target arousal a calmed plan borrows."""
    start = start_state(emotion, suds)
    arousal = calm.target.arousal if is_calmed(preset, suds) else preset.target.arousal
    if emotion.label.low and (suds is None or suds <= _LOW_LABEL_SUDS):
        arousal = max(arousal, start.arousal)  # a numb or sad start is never pulled further down
    target = State(preset.target.valence, arousal)
    arc = _arc(preset, emotion, start, gentle=gentle or (suds is not None and suds >= GENTLE_SUDS))
    if arc == "gentle":
        head_start = _between(start, target, _GENTLE_HEAD_START)
        start = State(_exact(head_start.valence), _exact(head_start.arousal))
    return Path(arc, start, target, TROUGH if arc == "U" else None)


def _arc(preset: Preset, emotion: Emotion, start: State, *, gentle: bool) -> Arc:
    if gentle:
        return "gentle"
    nowhere_to_descend = emotion.label.low or start.arousal <= _NOTHING_TO_DESCEND_FROM
    return "iso" if preset.arc == "U" and nowhere_to_descend else preset.arc


def tempo_of(preset: Preset, calm: Preset, *, calmed: bool) -> Tempo:
    source = calm if calmed else preset
    line = source.tempo
    return Tempo(line.base_bpm, source.target.arousal, line.min_bpm, line.max_bpm)


def mode_rung(valence: float, preset: Preset, previous: int | None) -> int:
    """Index on the ladder of modes: by valence, inside the preset's range, at most one rung from the previous one."""
    rung = sum(valence >= limit for limit in _RUNGS_BELOW)
    rung = max(LADDER.index(preset.mode_floor), min(rung, LADDER.index(preset.mode_ceiling)))
    return rung if previous is None else max(previous - 1, min(rung, previous + 1))


def mode_name(rung: int) -> Mode:
    return LADDER[rung]


def density(arousal: float, modifier: float) -> float:
    """Probability of a melody note on a strong beat."""
    return lerp(0.18, 0.75, (arousal + 1) / 2) * modifier


def brightness(arousal: float, cap: float | None) -> float:
    value = lerp(0.15, 0.60, (arousal + 1) / 2)
    return value if cap is None else min(value, cap)


def pulse(arousal: float) -> float:
    """Level of the soft heartbeat-like thump."""
    level = 0.9 * arousal
    return level if level > _QUIET_PULSE else 0.0


def groove_level(groove: float, arousal: float) -> float:
    return groove * clamp((arousal + 1) / 1.4, 0.0, 1.0)


def chord_beats(arousal: float) -> int:
    return 16 if arousal < _SLOW_CHORDS_BELOW else 8


def loudness_offset(arousal: float, loudest_arousal: float) -> float:
    """LU below the loudest segment, before centring on the run's mean."""
    return clamp(_LOUDEST * (arousal - loudest_arousal), _SPREAD_LU, 0.0)


def _between(a: State, b: State, y: float) -> State:
    return State(lerp(a.valence, b.valence, y), lerp(a.arousal, b.arousal, y))


def _exact(value: float) -> float:
    """Without the last digits of binary floats, so that 0.8 · −0.65 is −0.52."""
    return round(value, 6)
