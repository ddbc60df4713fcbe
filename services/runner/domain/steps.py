"""Which step a run's rows call for: segments whose turn it is, and the status they add up to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

PLAYABLE_BEFORE: Final[Mapping[str, frozenset[str]]] = {
    "ahead": frozenset({"first", "complete"}),  # made while the one before plays
    "sequential": frozenset({"complete"}),
}
"""Strategy: the statuses in which a segment lets its successor be asked for; `all` asks for everything at once."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What the decision needs of a segment; `seconds` is its planned length."""

    id: UUID
    index: int
    status: str
    requested: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now: requests in order, and the status to move to (`None`: stay)."""

    requests: tuple[Segment, ...] = ()
    to: str | None = None

    @property
    def nothing(self) -> bool:
        return not self.requests and self.to is None


def next_step(status: str, strategy: str, segments: Sequence[Segment]) -> Step:
    """Decide from the rows alone, so that any event, sweep or request may ask, in any order, as often as it likes."""
    outcome = _outcome(segments)
    if outcome != "creating":
        return Step(to=outcome if status not in (outcome, "ready") else None)
    if status == "ready":
        return Step()
    requests = tuple(each for each in segments if _its_turn(each, strategy, segments))
    return Step(requests, "creating" if status == "failed" else None)


def _outcome(segments: Sequence[Segment]) -> str:
    """A run without segments can never be heard; one failed segment is a hole in the journey."""
    if not segments or any(each.status == "failed" for each in segments):
        return "failed"
    return "ready" if all(each.status == "complete" for each in segments) else "creating"


def _its_turn(segment: Segment, strategy: str, segments: Sequence[Segment]) -> bool:
    if segment.requested or segment.status != "queued":
        return False
    before = next((each for each in segments if each.index == segment.index - 1), None)
    return strategy == "all" or before is None or before.status in PLAYABLE_BEFORE[strategy]
