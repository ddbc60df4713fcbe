"""Owns why a file is not stored: reasons that may pass, and the closed list of those that will not."""

from enum import StrEnum, unique
from typing import Final


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


GATE: Final = frozenset({Code.NOT_AUDIO, Code.DECODE_FAILED, Code.TOO_SHORT, Code.DURATION_OFF})
"""Verdicts on the sound itself: they also take the attempt's preview back."""


class GiveUp(Exception):  # noqa: N818 - named after the worker's next move
    """This file will never be stored; a next take of the attempt may."""

    def __init__(self, code: Code, found: str = "") -> None:
        super().__init__(f"{code}: {found}" if found else str(code))
        self.code = code
        self.found = found


class MayPass(Exception):  # noqa: N818 - named after the worker's next move
    """Nothing is wrong with the file as far as we know: try again later."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
