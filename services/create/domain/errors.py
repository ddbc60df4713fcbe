"""The ways a request can be refused before any planning, and a model can fail; none carries what was received."""

from collections.abc import Mapping
from typing import ClassVar


class RefusedInputError(ValueError):
    """A field of the request cannot be used.

    `code` is stable and public, `members` are further members of the problem document. The received value is in
    neither: it may be an emotion, which is health data.
    """

    code: ClassVar[str]
    field: ClassVar[str]

    def __init__(self, detail: str, **members: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members: Mapping[str, object] = {"field": self.field, **members}


class BodyError(RefusedInputError):
    code = "invalid_request"
    field = "body"


class FieldError(RefusedInputError):
    """A name that no request has; it may be the person's own text, so it is not repeated."""

    code = "field_unknown"
    field = "body"


class UnknownPresetError(RefusedInputError):
    code = "preset_unknown"
    field = "presetKey"


class EmotionError(RefusedInputError):
    field = "emotionState"


class EmotionFormatError(EmotionError):
    code = "emotion_bad_format"


class EmotionLabelError(EmotionError):
    code = "emotion_unknown_label"


class EmotionIntensityError(EmotionError):
    code = "emotion_intensity_out_of_range"


class SudsError(RefusedInputError):
    code = "suds_out_of_range"
    field = "sudsStart"


class StyleError(RefusedInputError):
    code = "style_unknown"
    field = "style"


class ArcError(RefusedInputError):
    code = "arc_unknown"
    field = "arc"


class StrategyError(RefusedInputError):
    code = "strategy_unknown"
    field = "strategy"


class NarrationError(RefusedInputError):
    code = "narration_invalid"
    field = "narration"


class SeedError(RefusedInputError):
    code = "seed_out_of_range"
    field = "seed"


class LocaleError(RefusedInputError):
    code = "locale_unknown"
    field = "locale"


class NoWordsError(Exception):
    """The model gave no usable answer; the deterministic words stay.

    Args:
        reason: stable code for the log (`refused`, `truncated`, `timeout` …); nothing of the answer.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
