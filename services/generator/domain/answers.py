"""What a provider answered, whatever its dialect: a submission's fate, and what it says of a task when asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

from services.generator.domain.verdicts import Judgement

TASK_ID_LIMIT: Final = 128  # characters; the callback adopts no longer one (ids of ours and Suno's have 32)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider has the task and names it.

    `facts` are kept with the attempt and handed back when the task is looked up (fal's own addresses of it). `cost` in
    the provider's unit; `None`: the flat price of its data file.
    """

    task_id: str
    facts: Mapping[str, str] = field(default_factory=dict)
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Not accepted, or (verdict `ambiguous`) perhaps accepted. `replied`: an answer was read, so the slot goes back."""

    judgement: Judgement
    replied: bool
    retry_after_seconds: float | None = None


Answer = Accepted | Refused

Stage = Literal["first", "complete", "error"]
State = Literal["success", "running", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look-up says; `stage` and `news` are the webhook that would say the same, if one would."""

    state: State
    takes: tuple[Mapping[str, Any], ...] = ()
    stage: Stage | None = None
    news: Mapping[str, Any] | None = None


def is_task_id(value: object) -> bool:
    """Whether the callback would adopt it: printable ASCII without blanks, not too long."""
    if not isinstance(value, str) or not 0 < len(value) <= TASK_ID_LIMIT:
        return False
    return all("!" <= char <= "~" for char in value)


def retry_after_seconds(value: str | None) -> float | None:
    """Seconds from a Retry-After header, in either of its forms; `None` when it is absent or nonsense."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
