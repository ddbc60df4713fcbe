"""What `POST /runs` and `GET /presets` answer."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any
from uuid import UUID

from services.create.domain.crisis import contacts_for, country_of
from services.create.domain.emotion import labels
from services.create.domain.estimate import estimate
from services.create.domain.notices import notices_for
from services.create.domain.packaged import load
from services.create.domain.plan import Plan
from services.create.domain.presets import Locale, catalogue, preset, styles
from services.create.domain.run_request import RunRequest
from services.create.domain.texts import template_texts

Titles = Mapping[Locale, str]


@dataclass(frozen=True, slots=True)
class SudsScale:
    """The scale as it is asked; only 0, 5 and 10 have labels (domain.md §7.1)."""

    version: str
    lowest: int
    highest: int
    question: Titles
    labels: Mapping[str, Titles]


def created_run(
    request: RunRequest, plan: Plan, *, run_id: UUID, segment_ids: Sequence[UUID], providers: Sequence[str]
) -> dict[str, Any]:
    """The answer to a new run, and again to its repetition: made of plan and request alone, in the templates' words."""
    texts = template_texts(plan, request.locale)
    notices = notices_for(preset(plan.preset_key), request.locale)
    guess = estimate(providers, len(plan.segments), request.strategy)
    return {
        "runId": str(run_id),
        "brief": texts.brief,
        "segmentsCount": len(plan.segments),
        "status": "creating",
        "seed": plan.seed,
        "estimate": {"firstSoundSeconds": guess.first_sound_seconds, "readySeconds": guess.ready_seconds},
        "segments": [
            {
                "id": str(segment_id),
                "index": segment.index,
                "title": words.title,
                "seconds": segment.seconds,
                "fileSeconds": segment.file_seconds,
            }
            for segment_id, segment, words in zip(segment_ids, plan.segments, texts.segments, strict=True)
        ],
        "notices": [asdict(notice) for notice in notices.notices],
        "contraindications": [asdict(notice) for notice in notices.contraindications],
        "crisisContacts": [asdict(each) for each in contacts_for(country_of(request.language_tag), request.locale)],
        "supportFirst": plan.support_first,
        "calmed": plan.calmed,
    }


@cache
def offered() -> dict[str, Any]:
    """Everything a start page lets a person choose from."""
    return {
        "version": catalogue().version,
        "presets": [
            {
                "key": each.key,
                "order": each.order,
                "title": dict(each.title),
                "minutes": each.total_seconds // 60,
                "segmentsCount": len(each.segments),
            }
            for each in catalogue().presets
        ],
        "styles": [{"key": style.key, "title": dict(style.title)} for style in styles().values()],
        "emotions": [
            {"label": label, "title": dict(title), "preset": labels()[label].preset}
            for label, title in _emotion_titles().items()
        ],
        "suds": asdict(_suds()),
    }


@cache
def _emotion_titles() -> Mapping[str, Titles]:
    """Labels for our own picker; `disgust` is accepted, but leads nowhere good (domain.md §3.3)."""
    return load("emotion_titles.json", dict[str, dict[Locale, str]])


@cache
def _suds() -> SudsScale:
    return load("suds.json", SudsScale)
