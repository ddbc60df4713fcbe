"""The ways a request can be refused before any planning; none carries the value that was received."""

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


class SeedError(RefusedInputError):
    code = "seed_out_of_range"
    field = "seed"


class LocaleError(RefusedInputError):
    code = "locale_unknown"
    field = "locale"
