"""What the model is told: technique keys, phases, timbre words and the language; never an emotion, a score, a name."""

import json
from dataclasses import dataclass
from typing import Final

from services.create.domain.plan import Plan
from services.create.domain.presets import Locale

_LANGUAGES: Final[dict[Locale, str]] = {"fr": "French (address the listener as vous, never tu)", "en": "English"}

_SYSTEM: Final = """\
You write the words of a calm, instrumental music journey: a moment of listening and well-being, nothing medical.
You are given the journey's segments in order, each with technique keys and a phase, and the timbre of the music.
Write in the language named, except `colour`, which is always English. Answer with:
- brief: 2 to 4 plain sentences, at most 500 characters, that tell the listener what will happen;
- title: of the journey, at most 50 characters;
- segments: exactly one entry per given segment, in the same order, each with
  - title: at most 50 characters, without number;
  - colour: at most 120 characters about the sound alone (texture, space, light), or null; no numbers, tempo, keys,
    voices, percussion or artists;
  - lines: 2 to 4 short spoken lines, at most 15 words each, that gently guide through the techniques.
Never promise an effect, never speak of illness, treatment, therapy, medicine or diagnosis, never name an emotion in a
title, never give telephone numbers, links or advice. Invite, do not command. No emoji, no markdown."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The two messages of one question."""

    system: str
    user: str


def prompt_for(plan: Plan, locale: Locale) -> Prompt:
    """The question about one plan. Lengths stay out: the first segment's would hint at the score."""
    content = {
        "language": _LANGUAGES[locale],
        "timbre": list(plan.timbre_words),
        "segments": [{"techniques": list(each.techniques), "phase": each.phase} for each in plan.segments],
    }
    return Prompt(_SYSTEM, json.dumps(content, ensure_ascii=False))
