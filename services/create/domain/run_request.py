"""Reads the body of `POST /runs`, strictly: a name it does not know or a value of another type is refused."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast, get_args

from services.create.domain.emotion import Emotion, parse
from services.create.domain.errors import ArcError, BodyError, FieldError, NarrationError, StrategyError
from services.create.domain.estimate import Strategy
from services.create.domain.planner import PlanRequest
from services.create.domain.presets import Locale, preset
from services.create.domain.texts import locale_of

Arc = Literal["auto", "gentle"]

FIELDS: Final = ("presetKey", "emotionState", "sudsStart", "locale", "style", "arc", "strategy", "seed", "narration")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a person asks for, every value checked. `seed` is None where the person named none."""

    preset_key: str
    emotion: Emotion | None
    suds: int | None
    language_tag: str | None
    locale: Locale
    style: str | None
    arc: Arc
    strategy: Strategy
    seed: int | None
    narration: bool = False

    @property
    def emotion_state(self) -> str | None:
        """The emotion in its one spelling, `fear-0.8`."""
        return f"{self.emotion.label.label}-{self.emotion.intensity:g}" if self.emotion else None

    def canonical(self) -> bytes:
        """The same bytes for two bodies that ask for the same."""
        content = [self.preset_key, self.emotion_state, self.suds, self.language_tag, self.locale]
        content += [self.style, self.arc, self.strategy, self.seed]
        content += ["narration"] if self.narration else []  # without it, what it was before there was any
        return json.dumps(content, ensure_ascii=True).encode()

    def plan_request(self, seed: int) -> PlanRequest:
        return PlanRequest(
            preset_key=self.preset_key, seed=seed, emotion=self.emotion, suds=self.suds, style=self.style, arc=self.arc
        )


def read_run_request(body: object) -> RunRequest:
    """The request in a decoded JSON body; `null` is as good as absent.

    Raises the `RefusedInputError` of the first field that cannot be used. No value is in it.
    """
    if not isinstance(body, Mapping):
        raise BodyError("expected a JSON object")
    if not body.keys() <= set(FIELDS):
        raise FieldError("unknown field", allowed_fields=list(FIELDS))
    given: Mapping[str, Any] = {name: value for name, value in body.items() if value is not None}
    tag = _text(given.get("locale"))
    emotion = given.get("emotionState")
    request = RunRequest(
        preset_key=preset(_text(given.get("presetKey")) or "").key,
        emotion=None if emotion is None else parse(emotion),
        suds=given.get("sudsStart"),
        language_tag=tag,
        locale=locale_of(tag),
        style=_text(given.get("style")),
        arc=cast("Arc", _one_of(given.get("arc", "auto"), get_args(Arc), ArcError("expected auto or gentle"))),
        strategy=cast("Strategy", _one_of(given.get("strategy", "ahead"), get_args(Strategy), _unknown_strategy())),
        seed=given.get("seed"),
        narration=_flag(given.get("narration", False)),
    )
    request.plan_request(0 if request.seed is None else request.seed)  # refuses what is out of range
    return request


def _text(value: object) -> str | None:
    """A text, None, or for anything else the text that no vocabulary knows."""
    return value if value is None or isinstance(value, str) else ""


def _one_of(value: object, known: tuple[str, ...], refusal: Exception) -> str:
    if not isinstance(value, str) or value not in known:
        raise refusal
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise NarrationError("expected true or false")
    return value


def _unknown_strategy() -> StrategyError:
    return StrategyError("unknown strategy", allowed_strategies=list(get_args(Strategy)))
