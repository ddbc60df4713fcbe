"""What is written of one segment: the request's facts and what archiver, runner and player read besides."""

from dataclasses import dataclass
from typing import Any

from services.create.domain.narration import narration_of
from services.create.domain.plan import Plan
from services.create.domain.request_facts import request_facts
from services.create.domain.texts import RunTexts


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A row's columns; `title` is without its number, `prompt` the joined style, `plan` the request (a seam)."""

    index: int
    title: str
    prompt: str
    plan: dict[str, Any]


def stored_segment(plan: Plan, index: int, words: RunTexts, *, narrated: bool) -> StoredSegment:
    """The row of segment `index`; nothing in it names an emotion or a score."""
    segment, texts = plan.segments[index], words.segments[index]
    facts = request_facts(plan, index, title=texts.title, colour=texts.colour)
    more: dict[str, Any] = {
        "negative_tags": list(plan.avoid),
        "loudness_lufs": segment.loudness_lufs,
        "last": index == len(plan.segments) - 1,
        "start_seconds": segment.start_seconds,
        "phase": segment.phase,
        "techniques": list(segment.techniques),
    }
    if narrated:
        more["narration"] = narration_of(plan, words, index)
    return StoredSegment(index, texts.title, facts.style, facts.as_json() | more)
