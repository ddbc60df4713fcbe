"""When an account has failed often enough to be left alone for a while (performance-and-reliability.md §2.4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

ROW_LIMIT: Final = 20
IN_A_ROW: Final = 5
OF_THE_LAST: Final = 10


@dataclass(frozen=True, slots=True)
class Call:
    """One decided call of an account."""

    failed: bool
    age_seconds: float


def is_tripped(newest_first: Sequence[Call], within_seconds: float) -> bool:
    """Five failures in a row, or half of the last twenty calls if all of them are recent."""
    calls = newest_first[:ROW_LIMIT]
    if len(calls) >= IN_A_ROW and all(call.failed for call in calls[:IN_A_ROW]):
        return True
    recent = [call for call in calls if call.age_seconds <= within_seconds]
    return len(recent) == ROW_LIMIT and sum(call.failed for call in recent) >= OF_THE_LAST
