"""Owns why a file is not stored: reasons that may pass, and the closed list of those that will not."""

from collections.abc import Mapping, Sequence
from enum import StrEnum, unique
from typing import Any, Final


@unique
class Code(StrEnum):
    """Error codes of an attempt that the archiver gave up; part of `segment.failed`."""

    URL_REFUSED = "url_refused"
    TOO_LARGE = "too_large"
    FILE_GONE = "file_gone"
    NOT_AUDIO = "not_audio"
    DECODE_FAILED = "decode_failed"
    TOO_SHORT = "too_short"
    DURATION_OFF = "duration_off"
    PROVIDER_FAILED = "provider_failed"
    ARCHIVE_ERROR = "archive_error"  # a mistake of ours
    GATE_KNOWN_BAD = "gate_known_bad"
    GATE_FORMAT = "gate_format"
    GATE_SILENCE = "gate_silence"
    GATE_CLIPPING = "gate_clipping"
    GATE_DC = "gate_dc"
    GATE_MONO_LOSS = "gate_mono_loss"
    GATE_PHASE = "gate_phase"
    GATE_RUMBLE = "gate_rumble"
    GATE_LOUDNESS_RAW = "gate_loudness_raw"
    GATE_STARTLE = "gate_startle"
    GATE_TOO_HOT = "gate_too_hot"
    GATE_VOICE = "gate_voice"
    GATE_RANGE = "gate_range"
    GATE_LOUDNESS = "gate_loudness"
    GATE_TRUE_PEAK = "gate_true_peak"
    GATE_JOIN_CLICKS = "gate_join_clicks"
    GATE_VOICE_MARGIN = "gate_voice_margin"  # of a narrated mix, which is then made without its voice
    GATE_MIX_LOUDNESS = "gate_mix_loudness"


GATE: Final = frozenset(
    {Code.NOT_AUDIO, Code.DECODE_FAILED, Code.TOO_SHORT, Code.DURATION_OFF}
    | {code for code in Code if code.startswith("gate_")}
)
"""Verdicts on the sound itself: they also take the attempt's preview back."""


class GiveUp(Exception):  # noqa: N818 - named after the worker's next move
    """This file will never be stored; a next take of the attempt may.

    `evidence` says of each take of the attempt why it was not taken.
    """

    def __init__(self, code: Code, found: str = "") -> None:
        super().__init__(f"{code}: {found}" if found else str(code))
        self.code = code
        self.found = found
        self.evidence: Sequence[Mapping[str, Any]] = ()


class MayPass(Exception):  # noqa: N818 - named after the worker's next move
    """Nothing is wrong with the file as far as we know: try again later."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
