"""The body of POST /api/v1/generate, made from a segment's plan alone (domain.md §5): no personal word enters it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from services.generator.domain.providers import ModelLimits

DURATION_SECONDS: Final = (10, 360)  # providers.md §1A


@dataclass(frozen=True, slots=True)
class SegmentBrief:
    """What is to be made: the segment's plan and where it stands in its run."""

    segment_id: UUID
    title: str
    index: int
    count: int
    plan: Mapping[str, Any]


def compose(
    brief: SegmentBrief, *, model: str, limits: ModelLimits, extensions: bool, callback_url: str
) -> dict[str, Any]:
    """The request body. Only a provider with `extensions` (ours) sees `x_parcours` and always gets a duration."""
    plan = brief.plan
    with_duration = limits.takes_duration or extensions
    body: dict[str, Any] = {
        "customMode": True,
        "instrumental": True,
        "model": model,
        "callBackUrl": callback_url,
        "style": _joined(_clauses(plan, with_duration=with_duration), limits.style),
        "title": numbered_title(brief.title, brief.index, brief.count, limits.title),
        "negativeTags": _joined(_tags(plan), limits.negative_tags),
        "styleWeight": round(float(plan["style_weight"]), 2),
        "weirdnessConstraint": round(float(plan["weirdness"]), 2),
    }
    if with_duration:
        body["duration"] = _clamped(round(plan["file_seconds"]), *DURATION_SECONDS)
    if extensions:
        body["x_parcours"] = plan["x_parcours"]
    return body


def callback_url(base: str, segment_id: UUID, token: UUID) -> str:
    """`<base>?segment=<id>&token=<uuid4>`: the address that lets a callback adopt its attempt."""
    joint = "&" if "?" in base else "?"
    return base + joint + urlencode({"segment": str(segment_id), "token": str(token)})


def numbered_title(title: str, index: int, count: int, limit: int) -> str:
    """`A place of your own 3/6`, within the limit; a title that is numbered already stays as it is."""
    number = f" {index + 1}/{count}"
    plain = title.removesuffix(number)
    return plain[: limit - len(number)].rstrip() + number


def _clauses(plan: Mapping[str, Any], *, with_duration: bool) -> list[str]:
    """In order of priority; the length in words only for a model that takes no number."""
    clauses = [str(clause) for clause in plan["style_clauses"]]
    if not with_duration:
        clauses.append(plan.get("length_clause") or f"about {round(plan['file_seconds'] / 60)} minutes")
    if plan.get("colour"):
        clauses.append(plan["colour"])
    return clauses


def _tags(plan: Mapping[str, Any]) -> list[str]:
    tags = plan["negative_tags"]
    return tags.split(", ") if isinstance(tags, str) else list(tags)


def _joined(parts: Sequence[str], limit: int) -> str:
    """As many parts from the front as fit; a first part that is too long alone is cut."""
    text = ""
    for part in parts:
        longer = f"{text}, {part}" if text else part[:limit]
        if len(longer) > limit:
            break
        text = longer
    return text


def _clamped(value: int, least: int, most: int) -> int:
    return max(least, min(most, value))
