"""The immutable plan of a run: what the planner decided, how it is stored, and the hash that names it."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter

from services.create.domain.emotion import Emotion
from services.create.domain.presets import Metre, Mode
from services.create.domain.trajectory import Path, Phase, Tempo

Tonic = Literal["C", "D", "Eb", "F", "G", "A"]


@dataclass(frozen=True, slots=True)
class PlannedSegment:
    """One step of the timeline; numbers are those of its middle unless they say otherwise."""

    index: int
    start_seconds: int
    seconds: int  # its span on the timeline
    file_seconds: int  # what is ordered and checked: plus the 5 s join tail, except for the last
    x: float
    phase: Phase
    valence: float
    arousal: float
    bpm: int  # at most 10 from the previous segment's
    bpm_start: float  # the continuous curve at the segment's start
    bpm_end: float  # and at its end
    mode: Mode
    degrees: tuple[int, int, int, int]
    density: float
    brightness: float
    pulse: float
    groove: float  # level, already scaled by arousal
    loudness_lufs: float
    chord_beats: int
    metre: Metre
    techniques: tuple[str, ...]  # after substitutions


@dataclass(frozen=True, slots=True)
class Plan:
    """Holds no label and no SUDS; they stand in columns of their own and, keyed, in `plan_hash`."""

    version: int
    preset_key: str
    preset_version: str
    seed: int
    style: str | None
    emotion_source: Literal["listener", "preset"]
    path: Path
    tempo: Tempo
    calmed: bool
    tonic: Tonic
    family: str
    timbre: str
    timbre_words: tuple[str, ...]
    avoid: tuple[str, ...]
    groove: float  # before the scaling by arousal
    density_modifier: float
    brightness_cap: float | None
    style_weight: float
    weirdness: float
    out_breath_seconds: int
    fade_in_seconds: int
    dimmed: bool
    support_first: bool  # contacts are shown before Play, with "continue" in the same view
    total_seconds: int
    segments: tuple[PlannedSegment, ...]
    plan_hash: str

    def as_json(self) -> dict[str, Any]:
        """What is stored; `plan_from_json` reads it back."""
        stored: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return stored


@cache
def _adapter() -> TypeAdapter[Plan]:
    """Writes a plan six times faster than `dataclasses.asdict`, and reads it back strictly."""
    return TypeAdapter(Plan)


def plan_from_json(stored: Mapping[str, Any]) -> Plan:
    """A stored plan; raises `pydantic.ValidationError` when it is not one."""
    return _adapter().validate_python(stored)


def hash_of(plan: Plan, *, emotion: Emotion, suds: int | None, key: bytes) -> str:
    """HMAC-SHA256, in hex, of the canonical JSON with label, intensity and SUDS as given.

    The key of the server makes the hash safe to write into files: without it nobody can try the 41 labels in turn.
    """
    content = plan.as_json()
    del content["plan_hash"]
    content["given"] = {"label": emotion.label.label, "intensity": emotion.intensity, "suds": suds}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hmac.new(key, canonical.encode(), hashlib.sha256).hexdigest()
