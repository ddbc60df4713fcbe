"""A guess, before anything is asked of a provider, of when the first sound and the whole run will be there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from services.create.domain.packaged import load

Strategy = Literal["ahead", "sequential", "all"]
_LAST_RESORT = "composer"


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a provider is; `one_at_a_time`: its segments queue behind each other, whatever is asked at once."""

    first_sound_seconds: int
    file_seconds: int
    one_at_a_time: bool


@dataclass(frozen=True, slots=True)
class _Paces:
    version: str
    source: str
    providers: Mapping[str, Pace]
    other: Pace


@dataclass(frozen=True, slots=True)
class Estimate:
    first_sound_seconds: int
    ready_seconds: int


@cache
def _paces() -> _Paces:
    return load("estimates.json", _Paces)


def estimate(providers: Sequence[str], segment_count: int, strategy: Strategy) -> Estimate:
    """The guess for the provider that is asked first; without any configured, the composer is alone."""
    pace = _paces().providers.get(next(iter(providers), _LAST_RESORT), _paces().other)
    return Estimate(pace.first_sound_seconds, _ready_seconds(pace, segment_count, strategy))


def _ready_seconds(pace: Pace, segment_count: int, strategy: Strategy) -> int:
    if pace.one_at_a_time or strategy == "sequential":
        return segment_count * pace.file_seconds
    if strategy == "all":
        return pace.file_seconds
    return (
        segment_count - 1
    ) * pace.first_sound_seconds + pace.file_seconds  # each is asked at the previous first sound
