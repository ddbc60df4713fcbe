"""What a provider's webhook says, whatever its dialect, and the ranks of `performance-and-reliability.md` §4.1."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final


class Stage(StrEnum):
    """What a webhook can be about."""

    TEXT = "text"
    FIRST = "first"
    COMPLETE = "complete"
    ERROR = "error"


RANKS: Final[Mapping[Stage, int]] = {Stage.TEXT: 2, Stage.FIRST: 3, Stage.ERROR: 4, Stage.COMPLETE: 5}
"""The rank an attempt has at least, once it heard the stage: delivered beats failed, since the music is paid for."""

STAGES: Final[Mapping[str, Stage]] = {stage.value: stage for stage in Stage} | {"failed": Stage.ERROR}
"""How a stage is named on the wire; one older page says `failed`."""

PROVIDER_ERROR: Final = "provider_error"  # an error without a code of its own
NO_AUDIO: Final = "no_audio"  # said to be complete, and names no file

TEXT_LIMIT: Final = 200  # characters of a title or an error's text; they are kept, never logged
SECONDS_LIMIT: Final = 3600.0  # s; no provider makes longer files

_TASK_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f]+")  # PostgreSQL's jsonb refuses NUL


class UnknownDialectError(Exception):
    """The body is in no dialect that is understood here."""


@dataclass(frozen=True, slots=True)
class Take:
    """One finished piece of audio; `duration` in seconds, `None` when the provider did not say."""

    url: str
    duration: float | None

    def as_json(self) -> dict[str, Any]:
        return {"url": self.url, "duration": self.duration}


@dataclass(frozen=True, slots=True)
class News:
    """One webhook, understood. Addresses are those the provider named; nobody here follows them."""

    dialect: str
    stage: Stage
    task_id: str | None = None
    preview_url: str | None = None
    takes: tuple[Take, ...] = ()
    content: tuple[Mapping[str, Any], ...] = field(default=())
    error_code: str | None = None
    error_message: str | None = None
    waiting: bool = False  # the provider keeps a result that its webhook could not carry: only a look-up can fetch it

    def facts(self) -> dict[str, Any]:
        """The attempt's facts that this news states; each is kept once."""
        stated: dict[str, Any] = {}
        if self.preview_url:
            stated["preview_url"] = self.preview_url
        if self.takes:  # the dialect of the takes decides who vouches for their addresses (W4)
            stated |= {"takes": [take.as_json() for take in self.takes], "dialect": self.dialect}
        if self.content:
            stated["content"] = [dict(item) for item in self.content]
        if self.waiting:
            stated["result_waiting"] = True
        return stated


def as_seconds(value: object) -> float | None:
    """A positive, finite duration of at most an hour, else `None`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value) if 0 < value <= SECONDS_LIMIT else None


def as_task_id(value: object) -> str | None:
    return value if isinstance(value, str) and _TASK_ID.fullmatch(value) else None


def as_mapping(value: object, what: str) -> Mapping[str, Any]:
    """The object that `what` is; raises `UnknownDialectError` when it is none."""
    if not isinstance(value, dict):
        raise UnknownDialectError(f"expected {what} to be an object")
    return value


def as_text(value: object) -> str | None:
    """A text fit to be kept: printable, short; `None` when there is none."""
    if not isinstance(value, str):
        return None
    return _UNPRINTABLE.sub(" ", value).strip()[:TEXT_LIMIT] or None
