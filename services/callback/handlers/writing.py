"""Reads, decides, writes down: many at once where nobody else holds the rows, one alone where somebody does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Final
from uuid import UUID

import asyncpg

from libs.common.database import UNAVAILABLE, Channel, Connection, Database
from libs.common.errors import Problem
from libs.common.fault_points import reach
from libs.common.lifecycle import lock_run
from services.callback.domain.change import Change, decide
from services.callback.domain.news import News
from services.callback.handlers.growths import count, growth
from services.callback.storage import attempts as storage
from services.callback.storage.attempts import Attempt
from services.callback.storage.growth import Growth, write

LATE_AFTER: Final = timedelta(minutes=30)  # W2: a token changes nothing from then on


@dataclass(frozen=True, slots=True)
class Asked:
    """One piece of news on its way to the rows. `choose` finds its attempt among its segment's, or raises a problem."""

    segment_id: UUID
    news: News
    raw: bytes
    traceparent: str
    choose: Callable[[Sequence[Attempt]], Attempt]


@dataclass(frozen=True, slots=True)
class Chosen:
    """News whose attempt is known and that may change something."""

    asked: Asked
    attempt: Attempt
    change: Change


class Later(Enum):
    """Its segment has earlier news in the same batch, which may change the decision."""

    AGAIN = auto()


Told = bool | Problem | Chosen
"""Fresh or not; why not; or: to be written down alone, by `write_alone`."""
Answer = Told | Later


async def write_many(
    connection: Connection, asked: Sequence[Asked], late_after: timedelta
) -> tuple[list[Answer], bool]:
    """Answer for much news by one read and one statement; also whether anything was announced.

    The decision is taken on what was read without locks; what changed in between, or is held by somebody, is left out
    and comes back as it was chosen.
    """
    found = await storage.of_segments(connection, [(each.segment_id, each.news.task_id) for each in asked], late_after)
    answers = _one_a_segment([_choose(each, candidates) for each, candidates in zip(asked, found, strict=True)])
    chosen = [answer for answer in answers if isinstance(answer, Chosen)]
    if not chosen:
        return answers, False
    reach("before_callback_commit")
    written = await _written(connection, chosen)
    reach("after_callback_commit")
    done = [each for each in chosen if each.attempt.id in written]
    for each in done:
        count(each.attempt, each.change, each.asked.news)
    return [_told(answer, written) for answer in answers], any(each.change.announced for each in done)


async def write_alone(database: Database, chosen: Chosen, late_after: timedelta) -> bool:
    """Wait for whoever holds the rows, decide again on what they say then, write; whether it was fresh."""
    try:
        locked = await _locked_write(database, chosen, late_after)
    except asyncpg.UniqueViolationError:  # another attempt adopted this task id in between; now that can be seen
        locked = await _locked_write(database, chosen, late_after)
    count(locked.attempt, locked.change, chosen.asked.news)
    return not locked.change.skipped


async def _written(connection: Connection, chosen: Sequence[Chosen]) -> set[UUID]:
    try:
        return await write(connection, [_growth(each) for each in chosen])
    except UNAVAILABLE:
        raise
    except asyncpg.PostgresError:  # one of them cannot be written: alone, each finds out whether it is the one
        return set()


def _choose(asked: Asked, candidates: Sequence[Attempt]) -> Answer:
    try:
        attempt = asked.choose(candidates)
    except Problem as problem:
        return problem
    change = decide(asked.news, attempt.known)  # facts only grow: what is known without a lock stays known
    return False if change.nothing else Chosen(asked, attempt, change)


def _one_a_segment(answers: Sequence[Answer]) -> list[Answer]:
    """Only the first that a segment has to write is written now; two would meet in the same rows."""
    written: set[UUID] = set()
    told: list[Answer] = []
    for answer in answers:
        again = isinstance(answer, Chosen) and answer.attempt.segment_id in written
        if isinstance(answer, Chosen):
            written.add(answer.attempt.segment_id)
        told.append(Later.AGAIN if again else answer)
    return told


def _told(answer: Answer, written: set[UUID]) -> Answer:
    if isinstance(answer, Chosen) and answer.attempt.id in written:
        return not answer.change.skipped
    return answer


def _growth(chosen: Chosen) -> Growth:
    return growth(chosen.attempt, chosen.change, chosen.asked.news, chosen.asked.raw, chosen.asked.traceparent)


async def _locked_write(database: Database, chosen: Chosen, late_after: timedelta) -> Chosen:
    asked = chosen.asked
    async with database.transaction(Channel.OUTBOX) as connection:
        await lock_run(connection, chosen.attempt.run_id)
        attempt = await storage.locked(connection, chosen.attempt.id, asked.news.task_id, late_after)
        if attempt is None:
            raise Problem(401, "unauthenticated", "Segment and token do not belong together")  # erased meanwhile
        locked = Chosen(asked, attempt, decide(asked.news, attempt.known))
        if not locked.change.nothing and not await write(connection, [_growth(locked)]):
            raise LookupError("rows that this transaction holds could not be written")
        reach("before_callback_commit")
    reach("after_callback_commit")
    return locked
