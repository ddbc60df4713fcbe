"""Owns one event of a score."""

from dataclasses import dataclass
from typing import Literal

from services.composer.engine.plan import Moment

Part = Literal["pad", "bass", "keys", "bell", "figure", "pulse", "shaker", "clap"]


@dataclass(frozen=True, slots=True)
class Note:
    """A note; `start` counts from the file's first sample and is negative inside the pre-roll."""

    start: float
    seconds: float
    pitch: int
    velocity: float
    part: Part
    pan: float
    phase: float  # 0…1: where a loop is entered, so that equal notes never comb
    brightness: float
    arousal: float
    chord: int = -1  # number of the chord it holds; -1 for what is struck


@dataclass(frozen=True, slots=True)
class Struck:
    """A struck note at a time of the run, before any file is thought of: neighbours play the same one in their join."""

    time: float
    pitch: int
    velocity: float
    part: Part
    pan: float
    moment: Moment
    seconds: float = 5.0

    def note(self, offset: float) -> Note:
        moment = self.moment
        return Note(
            self.time - offset,
            self.seconds,
            self.pitch,
            self.velocity,
            self.part,
            self.pan,
            0.0,
            moment.brightness,
            moment.arousal,
        )
