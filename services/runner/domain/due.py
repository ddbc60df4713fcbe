"""When a listener will need a segment, and by when it must be there (`performance-and-reliability.md` §3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.runner.domain.steps import Segment

FIRST_SOUND: Final = timedelta(seconds=40)  # until the first sound is known it is taken to come then
DEADLINE: Final = timedelta(minutes=30)  # after the later of request and due time


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast time passes for a journey; `scale` shortens all of it in tests."""

    playable_after: timedelta  # G: the provider's expected time to a playable segment
    scale: float = 1.0

    def ahead(self) -> timedelta:
        return self.playable_after * self.scale

    def music(self, seconds: float) -> timedelta:
        return timedelta(seconds=seconds) * self.scale


@dataclass(frozen=True, slots=True)
class Listening:
    """When and where a person listens to a run.

    `begun_at` is the creation or the last resume, `from_index` the segment they wait for first (0, or the first that
    was missing at the resume), `first_sound_at` when that became playable, `runs_before` how many unfinished runs of
    theirs come first: one person hears one run at a time.
    """

    begun_at: datetime
    from_index: int
    first_sound_at: datetime | None
    runs_before: int
    run_seconds: float


def due_at(listening: Listening, index: int, segments: Sequence[Segment], pace: Pace) -> datetime:
    """When the provider must have been asked so that the listener does not wait."""
    first_need = listening.begun_at + pace.music(listening.runs_before * listening.run_seconds)
    if index <= listening.from_index:
        return first_need
    start = listening.first_sound_at or first_need + FIRST_SOUND * pace.scale
    heard_before = sum(each.seconds for each in segments if listening.from_index <= each.index < index)
    return start + pace.music(heard_before) - pace.ahead()


def deadline_at(requested_at: datetime, due: datetime, pace: Pace) -> datetime:
    return max(requested_at, due) + DEADLINE * pace.scale
