"""Owns what the engine is asked to play: one segment of a run, and the continuous curves it follows (domain.md §4)."""

import hashlib
import math
from dataclasses import dataclass, replace
from typing import Protocol

SAMPLE_RATE = 44_100  # Hz; all products of the engine
PREVIEW_SECONDS = 60.0
FADE_OUT_SECONDS = 12.0  # inside the last segment of a run, audio-and-player.md §2.1

MODES: dict[str, tuple[int, ...]] = {
    "aeolian": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "ionian": (0, 2, 4, 5, 7, 9, 11),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
}
TONICS: dict[str, int] = {"C": 0, "D": 2, "Eb": 3, "F": 5, "G": 7, "A": 9}

# domain.md §2.4: chord roots as degrees of the mode, free of diminished and augmented triads
FAMILIES: dict[str, dict[str, tuple[int, ...]]] = {
    "circle": {
        "aeolian": (1, 6, 3, 7),
        "dorian": (1, 3, 7, 4),
        "mixolydian": (6, 4, 1, 7),
        "ionian": (6, 4, 1, 5),
        "lydian": (6, 2, 1, 5),
    },
    "drone": {
        "aeolian": (1, 1, 6, 1),
        "dorian": (1, 1, 4, 1),
        "mixolydian": (1, 1, 7, 1),
        "ionian": (1, 1, 4, 1),
        "lydian": (1, 1, 2, 1),
    },
}

# Ship `felt`, `handpan`, `strings`, `drone` first; the others borrow until theirs pass §4 and §5.9
TIMBRES: dict[str, str] = {
    "felt": "felt",
    "handpan": "handpan",
    "strings": "strings",
    "drone": "drone",
    "epiano": "felt",
    "pluck": "felt",
    "choir": "strings",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """The music's state at one time."""

    bpm: float
    valence: float
    arousal: float
    density: float  # probability of a melody note on a strong beat
    brightness: float
    pulse: float
    groove: float


class Path(Protocol):
    """The run's curve; pure, so that a segment and its neighbours agree about their join."""

    def at(self, run_seconds: float) -> Moment:
        """State at a time of the run; defined beyond both ends."""


@dataclass(frozen=True, slots=True)
class Span:
    """One segment on the run's timeline, as far as harmony needs it."""

    start_seconds: float
    seconds: float
    mode: str
    degrees: tuple[int, ...]
    metre: str


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """Everything that decides the samples of one segment's file."""

    seed: int  # of the run
    index: int
    count: int
    take: int
    file_seconds: float
    tonic: int  # pitch class, 0 = C
    timbre: str
    target_lufs: float
    arousal_mid: float
    path: Path
    spans: tuple[Span, ...]
    family: str = "circle"  # of the progressions; each has a figure of its own
    from_seconds: float = 0.0  # a continuation begins here inside the file

    @property
    def span(self) -> Span:
        return self.spans[min(self.index, len(self.spans) - 1)]

    @property
    def is_last(self) -> bool:
        return self.index == self.count - 1

    @property
    def file_samples(self) -> int:
        """Length of the whole file, whatever part of it is rendered."""
        return round(self.file_seconds * SAMPLE_RATE)

    @property
    def first_sample(self) -> int:
        return round(self.from_seconds * SAMPLE_RATE)

    @property
    def samples(self) -> int:
        """Samples to render: the file, or its rest from `from_seconds` on."""
        return self.file_samples - self.first_sample

    @property
    def preview_samples(self) -> int:
        return min(self.samples, round(PREVIEW_SECONDS * SAMPLE_RATE))

    @property
    def key(self) -> str:
        """Name of the tonic."""
        return next((name for name, tone in TONICS.items() if tone == self.tonic), str(self.tonic))

    @property
    def fade_begins(self) -> float:
        """Second of the run at which its last fade begins; infinite where the run's end is not known."""
        last = self.spans[-1]
        knows_end = self.is_last or len(self.spans) == self.count
        return last.start_seconds + last.seconds - FADE_OUT_SECONDS if knows_end else math.inf

    @property
    def character(self) -> str:
        """What stays of a plan over its run, as text: two presets play two tunes, even with one seed."""
        kept = sorted({(span.degrees, span.metre) for span in self.spans})
        return f"{self.family} {kept} {[span.seconds for span in self.spans]}"

    def other_take(self, take: int) -> "SegmentPlan":
        return replace(self, take=take)

    def run_seed(self, purpose: str) -> int:
        """A generator's seed that all segments of a run share, for what goes on across their joins."""
        return _hashed(f"{self.seed}:{self.take}:{self.character}:{purpose}")

    def seed_for(self, purpose: str) -> int:
        """A generator's seed: one stream per segment, take and purpose, so that no stream shifts another (§5.8)."""
        return _hashed(f"{self.seed}:{self.index}:{self.take}:{purpose}")


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
