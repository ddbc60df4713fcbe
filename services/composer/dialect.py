"""Owns the reseller's HTTP dialect (providers.md §1A): body codes inside HTTP 200, request fields, items, statuses."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from services.composer.engine.plan import SegmentPlan
from services.composer.exact import ExactPlan
from services.composer.prompt import plan_of_prompt

MIN_SECONDS, MAX_SECONDS = 10, 360
DEFAULT_SECONDS = {"V6": 20, "V6_WILD": 20, "V6_MINI": 20}  # what the newest generation does without `duration`
OTHER_DEFAULT_SECONDS = 180  # older models return what they like, mostly 2–4 min
SHORT_STYLE_MODELS = frozenset({"V4"})
_LIMITS = {"style": 1000, "negativeTags": 1000, "title": 100, "lyrics": 5000, "prompt": 5000}  # characters
_SHORT_STYLE = 200
_NON_CUSTOM_PROMPT = 3000
_MODEL = re.compile(r"[A-Za-z0-9_.-]{1,40}")  # one engine answers for every model name


class Code(IntEnum):
    """Body codes, inside HTTP 200."""

    OK = 200
    BAD_PARAMETERS = 400
    BAD_KEY = 401
    TOO_LONG = 413
    TOO_MANY = 430
    GENERATION_FAILED = 501


class Status(StrEnum):
    """What `record-info` says of a task."""

    PENDING = "PENDING"
    TEXT_SUCCESS = "TEXT_SUCCESS"
    FIRST_SUCCESS = "FIRST_SUCCESS"
    SUCCESS = "SUCCESS"
    GENERATE_AUDIO_FAILED = "GENERATE_AUDIO_FAILED"
    CALLBACK_EXCEPTION = "CALLBACK_EXCEPTION"


class RefusedError(Exception):
    """The request is answered with a body code and nothing is started."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Order:
    """An accepted request."""

    plan: SegmentPlan
    callback_url: str  # may be empty for a continuation: who asks looks at the task
    title: str
    tags: str
    body: Mapping[str, Any]  # as it came, for `param`


def envelope(data: object, code: Code = Code.OK, message: str = "success") -> dict[str, Any]:
    return {"code": int(code), "msg": message, "data": data}


def order_of(body: object) -> Order:
    """Check a generate body as the reseller does; raises RefusedError."""
    if not isinstance(body, dict):
        raise RefusedError(Code.BAD_PARAMETERS, "expected a JSON object")
    custom = _flag(body, "customMode")
    _flag(body, "instrumental")
    model = _text(body, "model")
    if not _MODEL.fullmatch(model):
        raise RefusedError(Code.BAD_PARAMETERS, "model cannot be null" if not model else "model is not a known name")
    callback = "" if _is_continuation(body) and "callBackUrl" not in body else _callback(body)
    _check_lengths(body, model, custom=custom)
    wanted = ("style", "lyrics", "negativeTags") if custom else ("prompt", "style")
    if not any(_text(body, name) for name in wanted) and "x_parcours" not in body:
        raise RefusedError(Code.BAD_PARAMETERS, f"expected one of {', '.join(wanted)}")
    style, title = _text(body, "style") or _text(body, "prompt"), _text(body, "title")
    return Order(_plan(body, style, title, _seconds(body, model)), callback, title, style, body)


def _plan(body: Mapping[str, Any], style: str, title: str, seconds: float) -> SegmentPlan:
    if body.get("x_parcours") is None:
        return plan_of_prompt(style, title, seconds)
    try:
        return ExactPlan.model_validate(body["x_parcours"]).plan()
    except ValidationError as error:
        where = sorted({".".join(str(part) for part in item["loc"]) for item in error.errors()})
        raise RefusedError(Code.BAD_PARAMETERS, f"x_parcours: wrong or missing {', '.join(where[:5])}") from error
    except ValueError as error:
        raise RefusedError(Code.BAD_PARAMETERS, f"x_parcours: {error}") from error


def _is_continuation(body: Mapping[str, Any]) -> bool:
    """Whether the rest of a file is asked for; `_plan` judges the number."""
    exact = body.get("x_parcours")
    return isinstance(exact, dict) and bool(exact.get("from_seconds"))


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if not isinstance(value, bool):
        raise RefusedError(Code.BAD_PARAMETERS, f"{name} cannot be null")
    return value


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RefusedError(Code.BAD_PARAMETERS, f"{name} must be text")
    return value.strip()


def _callback(body: Mapping[str, Any]) -> str:
    url = _text(body, "callBackUrl")
    if not url:
        raise RefusedError(Code.BAD_PARAMETERS, "Please enter callBackUrl.")
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise RefusedError(Code.BAD_PARAMETERS, "callBackUrl must be an http address")
    return url


def _check_lengths(body: Mapping[str, Any], model: str, *, custom: bool) -> None:
    limits = dict(_LIMITS)
    if model in SHORT_STYLE_MODELS:
        limits["style"] = _SHORT_STYLE
    if not custom:
        limits["prompt"] = _NON_CUSTOM_PROMPT
    for name, limit in limits.items():
        if len(_text(body, name)) > limit:
            raise RefusedError(Code.TOO_LONG, f"{name} has more than {limit} characters")


def _seconds(body: Mapping[str, Any], model: str) -> float:
    value = body.get("duration")
    if value is None:
        return float(DEFAULT_SECONDS.get(model, OTHER_DEFAULT_SECONDS))
    if isinstance(value, bool) or not isinstance(value, int | float) or not MIN_SECONDS <= value <= MAX_SECONDS:
        raise RefusedError(Code.BAD_PARAMETERS, f"duration must be a number from {MIN_SECONDS} to {MAX_SECONDS}")
    return float(value)
