"""What news changes: a pure decision over what is known, whose result does not depend on the order of the news."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from services.callback.domain.news import RANKS, News, Stage

FAILED_RANK: Final = RANKS[Stage.ERROR]
SURPLUS_KEPT: Final = 20  # ids of surplus tasks kept a segment: one is a mistake worth counting, hundreds are noise


class Known(NamedTuple):
    """What the rows of an attempt and its segment say."""

    rank: int
    heard: AbstractSet[Stage]
    task_id: str | None
    task_taken: bool  # the task id in the news is another attempt's
    surplus: tuple[str, ...]
    segment_status: str
    late: bool  # the token's time has passed (W2)


@dataclass(frozen=True, slots=True)
class Change:
    """What to write. `fresh`: the attempt's own first news of this stage, so its facts are new."""

    fresh: bool = False
    announced: bool = False
    lifted: bool = False  # the segment moves to `first`
    adopted: bool = False
    surplus: bool = False
    unneeded: bool = False  # a finished piece for a segment that is complete already

    @property
    def nothing(self) -> bool:
        return not (self.fresh or self.adopted or self.surplus)

    @property
    def verdict(self) -> Literal["accepted", "skipped", "surplus"]:
        """How the inbox files the payload."""
        if self.surplus:
            return "surplus"
        return "skipped" if self.skipped else "accepted"

    @property
    def skipped(self) -> bool:
        """Whether nobody learnt anything: a replay, a late token, or a segment that is complete."""
        return not self.fresh or self.unneeded


NOTHING: Final = Change()


def decide(news: News, known: Known) -> Change:
    """Compare news with what is known; facts only grow, so replays and reorderings end in the same state."""
    if known.late:
        return NOTHING
    fresh = news.stage not in known.heard
    complete = known.segment_status == "complete"
    failed = max(known.rank, RANKS[news.stage]) == FAILED_RANK
    verdict_stands = failed and known.segment_status == "failed"  # nobody alive spoke
    foreign = known.task_taken or known.task_id not in (None, news.task_id)
    return Change(
        fresh=fresh,
        announced=fresh and not complete and _has_event(news.stage, failed=failed),
        lifted=fresh and news.stage is Stage.FIRST and not complete and not verdict_stands,
        adopted=news.task_id is not None and known.task_id is None and not known.task_taken,
        surplus=news.task_id is not None and foreign and _is_new(news.task_id, known.surplus),
        unneeded=fresh and complete,
    )


def _has_event(stage: Stage, *, failed: bool) -> bool:
    """`text` has no event; an error after the delivery is none, since the music is there."""
    return stage in (Stage.FIRST, Stage.COMPLETE) or (stage is Stage.ERROR and failed)


def _is_new(task_id: str, surplus: tuple[str, ...]) -> bool:
    return task_id not in surplus and len(surplus) < SURPLUS_KEPT
