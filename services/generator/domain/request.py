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
    """The request body. Only a provider with `extensions` (ours) sees `x_parcours` and always gets a duration.

    Whatever the plan holds, nothing in it is too long or out of range; ValueError for a plan without any style or with
    a number that is none.
    """
    plan = brief.plan
    with_duration = limits.takes_duration or extensions
    body: dict[str, Any] = {
        "customMode": True,
        "instrumental": True,
        "model": model,
        "callBackUrl": callback_url,
        "style": joined(clauses(plan, with_duration=with_duration), limits.style),
        "title": numbered_title(brief.title, brief.index, brief.count, limits.title),
        "negativeTags": joined(tags(plan), limits.negative_tags),
        "styleWeight": _share(plan["style_weight"]),
        "weirdnessConstraint": _share(plan["weirdness"]),
    }
    if not body["style"]:
        raise ValueError("a plan without style clauses asks for nothing")
    if with_duration:
        body["duration"] = clamped(round(plan["file_seconds"]), *DURATION_SECONDS)
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


def clauses(plan: Mapping[str, Any], *, with_duration: bool) -> list[str]:
    """In order of priority; the length in words only for a model that takes no number."""
    wanted = [str(clause) for clause in plan["style_clauses"]]
    if not with_duration:
        wanted.append(plan.get("length_clause") or f"about {round(plan['file_seconds'] / 60)} minutes")
    if plan.get("colour"):
        wanted.append(plan["colour"])
    return wanted


def tags(plan: Mapping[str, Any]) -> list[str]:
    """What is to be avoided."""
    named = plan["negative_tags"]
    return [tag for tag in (named.split(", ") if isinstance(named, str) else named) if tag]


def joined(parts: Sequence[str], limit: int) -> str:
    """As many parts from the front as fit; a first part that is too long alone is cut."""
    text = ""
    for part in parts:
        longer = f"{text}, {part}" if text else part[:limit]
        if len(longer) > limit:
            break
        text = longer
    return text


def clamped(value: int, least: int, most: int) -> int:
    return max(least, min(most, value))


def _share(value: float | str) -> float:
    """A weight between 0 and 1 with two decimals; ValueError for what is no number."""
    share = float(value)
    if share != share:  # noqa: PLR0124 - only NaN differs from itself
        raise ValueError("a weight is not a number")
    return round(max(0.0, min(1.0, share)), 2)
