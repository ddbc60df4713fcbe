"""Owns what a generate call may say: both generations of the reseller's documentation, told apart by model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import parse_qs, urlsplit

from stack.simulators.suno.settings import V6_SECONDS

Why = Literal["invalid", "too_long", "key", "unknown", "wallet", "rate"]

OLD_MODELS: Final = ("V4", "V4_5", "V4_5PLUS", "V4_5ALL", "V5", "V5_5")
V6_MODELS: Final = ("V6", "V6_WILD", "V6_MINI")
SECONDS: Final = (10, 360)
VARIETY: Final = (0, 4)
WITH_DURATION: Final = ("V5_5", *V6_MODELS)
VOICE_PERSONA: Final = ("V5", "V5_5", *V6_MODELS)

# Characters in custom mode: prompt, style, title; in non-custom mode a prompt of 500 (V6: 3000) [D].
OLD_LIMITS: Final = {
    model: {"prompt": 5000, "style": 1000, "title": 100} for model in ("V4_5", "V4_5PLUS", "V5", "V5_5")
} | {
    "V4": {"prompt": 3000, "style": 200, "title": 80},
    "V4_5ALL": {"prompt": 5000, "style": 1000, "title": 80},
}
V6_LIMITS: Final = {"lyrics": 5000, "prompt": 5000, "style": 1000, "title": 80, "negativeTags": 1000}
OLD_IDEA: Final = 500
V6_IDEA: Final = 3000

_TEXTS: Final = ("prompt", "lyrics", "style", "title", "negativeTags", "personaId", "vocalGender")
_WEIGHTS: Final = ("styleWeight", "weirdnessConstraint", "audioWeight")
_V6_CUSTOM_ONLY: Final = ("title", "negativeTags", "duration", "variety", "vocalGender", *_WEIGHTS)
_V6_ATTACHMENTS: Final = {"imageUrls": 5, "videoUrls": 1, "audioUrls": 10}
_ATTACHMENTS_MAX: Final = 10


class RefusedError(Exception):
    """The call is refused; `why` becomes a code of the dialect, the text its `msg`."""

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why: Why = why


@dataclass(frozen=True, slots=True)
class Order:
    """A call that may be accepted. `seconds`: the length asked for, None = the model's own."""

    model: str
    title: str
    style: str
    lyrics: str
    callback_url: str
    seconds: float | None
    body: Mapping[str, Any]

    @property
    def segment(self) -> str:
        """The caller's own query parameter of that name, or ''."""
        try:
            return parse_qs(urlsplit(self.callback_url).query).get("segment", [""])[0]
        except ValueError:
            return ""


def read_order(body: object, *, models: tuple[str, ...], prompt_alone: bool = False) -> Order:
    """Check a generate call; raises `RefusedError`."""
    if not isinstance(body, dict):
        raise RefusedError("invalid", "expected a JSON object")
    for name in ("customMode", "instrumental", "model"):
        if body.get(name) in (None, ""):
            raise RefusedError("invalid", f"{name} cannot be null")
    if not body.get("callBackUrl"):
        raise RefusedError("invalid", "Please enter callBackUrl.")
    _check_types(body)
    model = body["model"]
    if model not in models:
        raise RefusedError("invalid", f"model {str(model)[:40]} is not supported")
    if model in V6_MODELS:
        _check_v6(body, prompt_alone=prompt_alone)
    else:
        _check_old(body)
    seconds = body.get("duration") or (V6_SECONDS if model in V6_MODELS else None)
    return Order(
        model=model,
        title=body.get("title") or "",
        style=body.get("style") or "",
        lyrics=body.get("lyrics") or ("" if body["instrumental"] else body.get("prompt") or ""),
        callback_url=body["callBackUrl"],
        seconds=float(seconds) if seconds else None,
        body=body,
    )


def _check_old(body: Mapping[str, Any]) -> None:
    """V4…V5_5: style and title in custom mode, the prompt sung or, in non-custom mode, the idea."""
    model = body["model"]
    if _given(body, "duration") and (model not in WITH_DURATION or not body["customMode"]):
        raise RefusedError("invalid", "duration is not supported here")
    if not body["customMode"]:
        _need(body, "prompt")
        _fit(body, {"prompt": OLD_IDEA})
        return
    _need(body, "style")
    _need(body, "title")
    if not body["instrumental"]:
        _need(body, "prompt")
    _fit(body, OLD_LIMITS[model])


def _check_v6(body: Mapping[str, Any], *, prompt_alone: bool) -> None:
    attached = {name: len(body[name]) for name in _V6_ATTACHMENTS if _given(body, name)}
    if body["customMode"]:
        if attached:
            raise RefusedError("invalid", f"{next(iter(attached))} is not supported in custom mode")
        if not any(_given(body, name) for name in ("style", "lyrics", "negativeTags")):
            raise RefusedError("invalid", "style, lyrics and negativeTags cannot all be empty")
        if _given(body, "audioWeight") and body["instrumental"]:
            raise RefusedError("invalid", "audioWeight is not supported with instrumental")
        _fit(body, V6_LIMITS)
        return
    for name in _V6_CUSTOM_ONLY:
        if _given(body, name):
            raise RefusedError("invalid", f"{name} is only supported in custom mode")
    if any(count > _V6_ATTACHMENTS[name] for name, count in attached.items()):
        raise RefusedError("invalid", "too many attachments")
    if sum(attached.values()) > _ATTACHMENTS_MAX:
        raise RefusedError("invalid", "too many attachments")
    described = attached or _given(body, "style") or _given(body, "lyrics") or (prompt_alone and _given(body, "prompt"))
    if not described:
        raise RefusedError("invalid", "style, lyrics or an attachment is required")
    _fit(body, V6_LIMITS | {"prompt": V6_IDEA})


def _check_types(body: Mapping[str, Any]) -> None:
    wrong = next(_wrong_types(body), None)
    if wrong:
        raise RefusedError("invalid", wrong)


def _wrong_types(body: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{name} must be a boolean" for name in ("customMode", "instrumental") if type(body[name]) is not bool)
    yield from (f"{name} must be a string" for name in ("model", "callBackUrl") if not isinstance(body[name], str))
    yield from (f"{name} must be a string" for name in _TEXTS if _given(body, name) and not isinstance(body[name], str))
    yield from (f"{name} must be 0 to 1" for name in _WEIGHTS if _given(body, name) and not _is_weight(body[name]))
    if _given(body, "vocalGender") and body["vocalGender"] not in ("m", "f"):
        yield "vocalGender must be m or f"
    if _given(body, "duration") and not _is_within(body["duration"], *SECONDS):
        yield "duration must be 10 to 360"
    if _given(body, "variety") and not _is_within(body["variety"], *VARIETY):
        yield "variety must be 0 to 4"
    if _given(body, "personaModel"):
        voice = body["model"] in VOICE_PERSONA and body["personaModel"] == "voice_persona"
        if body["personaModel"] != "style_persona" and not voice:
            yield "personaModel is not supported"
    yield from (f"{name} must be a list" for name in _V6_ATTACHMENTS if name in body and not _is_list(body[name]))


def _given(body: Mapping[str, Any], name: str) -> bool:
    return body.get(name) not in (None, "", [])


def _need(body: Mapping[str, Any], name: str) -> None:
    if not _given(body, name):
        raise RefusedError("invalid", f"{name} cannot be null")


def _fit(body: Mapping[str, Any], limits: Mapping[str, int]) -> None:
    for name, limit in limits.items():
        if len(body.get(name) or "") > limit:
            raise RefusedError("too_long", f"{name} must be at most {limit} characters")


def _is_weight(value: object) -> bool:
    """0 to 1 with two decimals."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= 1 and round(value, 2) == value


def _is_within(value: object, least: int, most: int) -> bool:
    """A whole number in these bounds."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_list(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(url, str) for url in value))
