"""When a segment's lines are spoken, and over which effect; the archiver keeps to it as far as the voice allows."""

from collections.abc import Sequence
from typing import Any, Final, Literal

from services.create.domain.plan import Plan
from services.create.domain.texts import RunTexts

Effect = Literal["sea", "rain"]

FIRST_SECONDS: Final = 8.0  # of music before the first line (domain.md §6.3)
LEAST_GAP_SECONDS: Final = 6.0  # of music between two lines (§6.3)
LAST_SECONDS: Final = 10.0  # of music behind the last line, before the segment ends (§6.3)
MOST_GAP_SECONDS: Final = 30.0  # lines of one exercise belong together
WORDS_PER_SECOND: Final = 130 / 60  # §6.3
_EFFECTS: Final[tuple[Effect, ...]] = ("sea", "rain")


def narration_of(plan: Plan, texts: RunTexts, index: int) -> dict[str, Any]:
    """What is said in a segment and when, in seconds of the segment; lines that do not fit are dropped from the end."""
    lines = planned_lines(texts.segments[index].lines, plan.segments[index].seconds)
    spoken = [{"at_seconds": at, "seconds": round(spoken_seconds(text), 1), "text": text} for text, at in lines]
    return {"locale": texts.locale, "effect": effect_of(plan), "lines": spoken}


def effect_of(plan: Plan) -> Effect:
    """One for the whole run, by its seed."""
    return _EFFECTS[plan.seed % len(_EFFECTS)]


def planned_lines(lines: Sequence[str], seconds: float) -> list[tuple[str, float]]:
    """Each line with its second: evenly apart, no nearer than 6 s and no further than 30 s."""
    kept = list(lines)
    while kept and _gap(kept, seconds) < LEAST_GAP_SECONDS:
        kept.pop()
    if not kept:
        return []
    gap, at = min(_gap(kept, seconds), MOST_GAP_SECONDS), FIRST_SECONDS
    planned = []
    for line in kept:
        planned.append((line, round(at, 1)))
        at += spoken_seconds(line) + gap
    return planned


def spoken_seconds(line: str) -> float:
    """How long a line is expected to take; voices differ, so its sound is measured before it is placed."""
    return len(line.split()) / WORDS_PER_SECOND


def _gap(lines: Sequence[str], seconds: float) -> float:
    """The music between two lines when they fill the segment; for a single one, whether it fits at all."""
    room = seconds - FIRST_SECONDS - LAST_SECONDS - sum(map(spoken_seconds, lines))
    if len(lines) == 1:
        return LEAST_GAP_SECONDS if room >= 0 else -1.0
    return room / (len(lines) - 1)
