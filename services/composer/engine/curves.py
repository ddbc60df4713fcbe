"""Owns the two curves a plan can follow: the exact arc of a run, and the straight line a prompt describes."""

from dataclasses import dataclass

from services.composer.engine.plan import Moment

PULSE_FLOOR = 0.05  # domain.md §4.3: below it there is no pulse


def lerp(low: float, high: float, share: float) -> float:
    return low + (high - low) * share


def clamp(value: float, low: float, high: float) -> float:
    return max(low, min(high, value))


def smooth(z: float) -> float:
    """S(z) of domain.md §4."""
    z = clamp(z, 0.0, 1.0)
    return z * z * (3 - 2 * z)


def pulse_of(arousal: float) -> float:
    pulse = 0.9 * arousal
    return pulse if pulse > PULSE_FLOOR else 0.0


def groove_of(groove: float, arousal: float) -> float:
    return groove * clamp((arousal + 1) / 1.4, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Tempo:
    """bpm(A) = clamp(B + slope · (A − Ap), min, max)."""

    base_bpm: float
    base_arousal: float
    bpm_per_arousal: float
    min_bpm: float
    max_bpm: float

    def at(self, arousal: float) -> float:
        bpm = self.base_bpm + self.bpm_per_arousal * (arousal - self.base_arousal)
        return clamp(bpm, self.min_bpm, self.max_bpm)


State = tuple[float, float]  # valence, arousal


@dataclass(frozen=True, slots=True)
class ArcPath:
    """The plan's own arc (domain.md §4.2), evaluated at x = run seconds / total."""

    total_seconds: float
    start: State
    trough: State | None  # only the U arc has one
    target: State
    tempo: Tempo
    density_modifier: float
    brightness_cap: float | None
    groove: float

    def state(self, run_seconds: float) -> State:
        x = run_seconds / self.total_seconds
        if self.trough is None:
            share, low, high = smooth((x - 0.12) / 0.73), self.start, self.target
        elif x <= 0.60:  # noqa: PLR2004 - the arc's own turning point
            share, low, high = smooth((x - 0.12) / 0.48), self.start, self.trough
        else:
            share, low, high = smooth((x - 0.80) / 0.17), self.trough, self.target
        return lerp(low[0], high[0], share), lerp(low[1], high[1], share)

    def at(self, run_seconds: float) -> Moment:
        valence, arousal = self.state(run_seconds)
        level = (arousal + 1) / 2
        bright = lerp(0.15, 0.60, level)
        return Moment(
            bpm=self.tempo.at(arousal),
            valence=valence,
            arousal=arousal,
            density=lerp(0.18, 0.75, level) * self.density_modifier,
            brightness=bright if self.brightness_cap is None else min(bright, self.brightness_cap),
            pulse=pulse_of(arousal),
            groove=groove_of(self.groove, arousal),
        )


@dataclass(frozen=True, slots=True)
class LinePath:
    """What a prompt can say: a tempo that moves evenly, everything else constant."""

    seconds: float
    first_bpm: float
    last_bpm: float
    valence: float
    arousal: float
    density: float
    brightness: float
    groove: float

    def at(self, run_seconds: float) -> Moment:
        share = clamp(run_seconds / self.seconds, 0.0, 1.0)
        return Moment(
            bpm=lerp(self.first_bpm, self.last_bpm, share),
            valence=self.valence,
            arousal=self.arousal,
            density=self.density,
            brightness=self.brightness,
            pulse=pulse_of(self.arousal),
            groove=groove_of(self.groove, self.arousal),
        )
