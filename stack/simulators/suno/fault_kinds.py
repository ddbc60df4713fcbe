"""Owns the closed list of faults: where each strikes, its parameters, their defaults and what they may be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Where = Literal["submit", "stage", "callback", "file", "poll", "credits"]
STAGE_NAMES: Final = ("text", "first", "complete", "error")
REQUIRED: Final = object()


@dataclass(frozen=True, slots=True)
class Parameter:
    """`expects` completes the sentence "expected …"; a default of None may be given as null."""

    default: object
    allowed: Callable[[Any], bool]
    expects: str


@dataclass(frozen=True, slots=True)
class Kind:
    """One fault. `told` is the live page's line; `only`: the one stage whose callbacks it can touch."""

    where: Where
    told: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    only: str | None = None


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _status(value: object) -> bool:
    return _whole(value) and 200 <= value <= 599  # type: ignore[operator]  # noqa: PLR2004 - HTTP


def _among(*words: object) -> Callable[[Any], bool]:
    return lambda value: value in words


def _stages(value: object) -> bool:
    return isinstance(value, list) and all(stage in STAGE_NAMES for stage in value)


def _bool(default: object) -> Parameter:
    return Parameter(default, lambda value: isinstance(value, bool), "true or false")


def _text(default: object = None) -> Parameter:
    return Parameter(default, lambda value: isinstance(value, str), "a text")


def _seconds(default: object) -> Parameter:
    return Parameter(default, _number, "seconds")


def _code(default: object) -> Parameter:
    return Parameter(default, _whole, "a whole number")


def _http(default: object) -> Parameter:
    return Parameter(default, _status, "an HTTP status")


def _word(default: object, *words: str) -> Parameter:
    return Parameter(default, _among(*words), " or ".join(words))


def _some_stages(default: object = None) -> Parameter:
    return Parameter(default, _stages, f"a list of {', '.join(STAGE_NAMES)}")


COMMON: Final[Mapping[str, Parameter]] = {
    "probability": Parameter(1.0, lambda value: _number(value) and value <= 1, "0 to 1"),
    "times": Parameter(None, _whole, "how often it strikes, or null"),
    "skip": Parameter(0, _whole, "how many matching cases pass first"),
    "segment": _text(),
    "title": _text(),
    "model": _text(),
    "account": _text(),
}
_RETRY_AFTER: Final = {"retry_after": _seconds(None)}
_WHICH: Final = {"take": Parameter(None, _among(0, 1), "0 or 1"), "stream": _bool(None)}
_ANY_STAGE: Final = {"stages": _some_stages()}

KINDS: Final[Mapping[str, Kind]] = {
    "code": Kind(
        "submit",
        "refused with a code in the envelope",
        {"code": _code(REQUIRED), "http": _http(200), "msg": _text()} | _RETRY_AFTER,
    ),
    "http_error": Kind(
        "submit",
        "an answer without the envelope",
        {"status": _http(REQUIRED), "html": _bool(False), "accepted": _bool(False)} | _RETRY_AFTER,
    ),
    "hang": Kind("submit", "never answered, not accepted"),
    "reply_lost": Kind("submit", "accepted and charged, connection dropped"),
    "slow_reply": Kind("submit", "accepted, the reply comes late", {"seconds": _seconds(30.0)}),
    "callback_before_reply": Kind(
        "submit", "a callback comes before the reply", {"stage": _word("text", "text", "first", "complete")}
    ),
    "stuck": Kind("stage", "never goes beyond a stage", {"at": _word("pending", "pending", "text", "first")}),
    "skip_stage": Kind("stage", "stages are left out", {"stages": _some_stages(["text", "first"])}),
    "fail": Kind(
        "stage",
        "ends with an error callback",
        {
            "code": _code(501),
            "status": _word(
                "GENERATE_AUDIO_FAILED", "GENERATE_AUDIO_FAILED", "CREATE_TASK_FAILED", "SENSITIVE_WORD_ERROR"
            ),
            "data": Parameter(None, lambda value: value == [], "null or []"),
            "at": _word("first", "text", "first", "complete"),
            "refund": _bool(None),
        },
    ),
    "sensitive": Kind("stage", "refused by the word filter", {"code": _code(400)}),
    "create_failed": Kind("stage", "never started", {"code": _code(500)}),
    "callback_exception": Kind("stage", "their delivery failed, the audio is there", {"audio": _bool(True)}),
    "reorder_callbacks": Kind(
        "stage", "callbacks in another order", {"order": _some_stages(["complete", "first", "text"])}
    ),
    "wrong_length": Kind(
        "stage", "another length than asked", {"factor": Parameter(0.5, lambda v: _number(v) and v > 0, "above 0")}
    ),
    "drop_callback": Kind("callback", "not sent", _ANY_STAGE),
    "duplicate_callback": Kind("callback", "sent again", _ANY_STAGE | {"count": _code(2)}),
    "late_callback": Kind("callback", "sent late", _ANY_STAGE | {"seconds": _seconds(600.0)}),
    "create_time_text": Kind("callback", "createTime is a text", _ANY_STAGE),
    "type_failed": Kind("callback", "an error is named failed", only="error"),
    "text_items": Kind("callback", "text carries items", only="text"),
    "wrong_signature": Kind("callback", "kie: a bad signature", {"how": _word("wrong", "wrong", "missing", "stale")}),
    "file_gone": Kind("file", "404", _WHICH),
    "file_error": Kind("file", "an HTTP error", _WHICH | {"status": _http(503)}),
    "file_truncated": Kind(
        "file",
        "only a part of it",
        _WHICH
        | {
            "fraction": Parameter(0.5, lambda v: _number(v) and v < 1, "0 to 1"),
            "how": _word("short", "short", "lost"),
        },
    ),
    "file_html": Kind("file", "a web page instead", _WHICH),
    "file_silent": Kind("file", "a whole MP3 of nothing", _WHICH),
    "slow_file": Kind("file", "drips", _WHICH | {"seconds": _seconds(60.0)}),
    "poll_error": Kind("poll", "record-info fails", {"status": _http(503), "code": _code(None)}),
    "result_json": Kind(
        "poll", "kie: another resultJson", {"how": _word("malformed", "null", "malformed", "object", "data", "urls")}
    ),
    "credits": Kind("credits", "sets the balance", {"amount": Parameter(REQUIRED, _number, "a balance")}),
}
