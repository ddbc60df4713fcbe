"""Owns what is to be said in a segment, where each line goes once its sound is known, and why one is not said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Any, Final, Literal, Self

Locale = Literal["fr", "en"]
Effect = Literal["sea", "rain"]
State = Literal["spoken", "partial", "silent", "missing"]

LEAST_GAP_SECONDS: Final = 6.0  # of music between two lines (domain.md §6.3)
LAST_SECONDS: Final = 10.0  # of music behind the last line, before the segment ends (§6.3)
PLAUSIBLE_TIMES: Final = (
    4.0  # a voice may need a quarter of the planned time, or four times it; else it is no such line
)
SHORT_LINE_SECONDS: Final = 1.0  # of which that is not asked


@unique
class Why(StrEnum):
    """Why a line, or a whole narration, is missing; part of the segment's metadata."""

    NOT_INSTALLED = "voice_not_installed"
    KEY = "voice_key"
    QUOTA = "voice_quota"
    REFUSED = "voice_refused"
    THROTTLED = "voice_throttled"
    UNAVAILABLE = "voice_unavailable"
    AUDIO = "voice_audio"  # what came is no speech: cut off, or of an impossible length
    TIME = "voice_time"  # the segment's time for speaking ran out
    NO_ROOM = "no_room"  # slower than planned: no place is left before the segment's end
    MIX_REFUSED = "mix_refused"  # by the gate's rows for a mix
    MIX_FAILED = "mix_failed"
    KEPT_AS_RECEIVED = "kept_as_received"  # no plan stands behind this file


LASTING: Final = frozenset({Why.NOT_INSTALLED, Why.KEY, Why.QUOTA, Why.TIME})
"""Then the other lines need not be tried."""


class Unspoken(Exception):  # noqa: N818 - what became of the line
    """A line could not be said; `after_seconds` is set where saying it again may help."""

    def __init__(self, why: Why, after_seconds: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.after_seconds = after_seconds


@dataclass(frozen=True, slots=True)
class Line:
    """One line, when it is planned to begin, and how long it was expected to take."""

    text: str
    at_seconds: float
    seconds: float

    def may_take(self, seconds: float) -> bool:
        """Whether sound of this length can be the line."""
        if self.seconds <= SHORT_LINE_SECONDS:
            return seconds > 0
        return self.seconds / PLAUSIBLE_TIMES <= seconds <= self.seconds * PLAUSIBLE_TIMES


@dataclass(frozen=True, slots=True)
class Script:
    """What a narrated segment says; `seconds` is its span on the timeline, without the tail."""

    locale: Locale
    effect: Effect
    seconds: float
    lines: tuple[Line, ...]

    @classmethod
    def from_plan(cls, plan: Mapping[str, Any]) -> Self | None:
        """Read a segment's plan; `None` where no narration was asked for."""
        asked = plan.get("narration")
        if not isinstance(asked, Mapping):
            return None
        lines = tuple(Line(str(one["text"]), float(one["at_seconds"]), float(one["seconds"])) for one in asked["lines"])
        return cls(asked["locale"], asked["effect"], float(plan["seconds"]), lines)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line is heard; `line` counts the script's from 0."""

    line: int
    at_seconds: float
    seconds: float

    @property
    def window_ms(self) -> tuple[int, int]:
        return round(self.at_seconds * 1000), round((self.at_seconds + self.seconds) * 1000)


def place(script: Script, measured: Sequence[float | None]) -> list[Place]:
    """Put lines of measured lengths (`None`: not said) where they are planned, later where the one before runs long.

    From the first that would end too late on, lines are dropped.
    """
    places: list[Place] = []
    free = 0.0
    for number, (line, seconds) in enumerate(zip(script.lines, measured, strict=True)):
        if seconds is None:
            continue
        at = max(line.at_seconds, free)
        if at + seconds > script.seconds - LAST_SECONDS:
            break
        places.append(Place(number, at, seconds))
        free = at + seconds + LEAST_GAP_SECONDS
    return places
