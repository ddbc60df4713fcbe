"""What happens when a provider, or the generator that asked it, says something about an attempt."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from libs.common import logs, metrics
from libs.common.database import Channel, Connection, Database
from libs.common.errors import Problem
from libs.common.events import Event, SegmentDelivered, SegmentFailed, SegmentFirst, Take
from libs.common.lifecycle import lock_run, move_segment, note_segment
from libs.common.log_events import LogEvent
from libs.common.metrics import Metric
from libs.common.outbox import announce
from services.callback import storage
from services.callback.domain.change import Change, decide
from services.callback.domain.dialects import understand
from services.callback.domain.news import PROVIDER_ERROR, RANKS, News, Stage, UnknownDialectError
from services.callback.storage import Attempt

LATE_AFTER: Final = timedelta(minutes=30)  # W2: a token changes nothing from then on
NOBODYS_HASH: Final = bytes(32)  # compared when a segment is unknown, so that it costs the same
COUNTED_CODES: Final = frozenset({"400", "408", "413", "429", "451", "500", "501", "531", "no_audio", PROVIDER_ERROR})
"""Error codes that may become a label: those of `providers.md` §1A and ours."""

_log = logs.get_logger()


@dataclass(frozen=True, slots=True)
class Rules:
    """What the environment decides."""

    simple_dialect: bool
    late_after: timedelta = LATE_AFTER


async def hear_webhook(
    database: Database, rules: Rules, *, segment_id: UUID | None, token: UUID | None, raw: bytes
) -> bool:
    """Write down a provider's webhook; false when it was known or came too late, and nothing was to be learnt.

    Raises a 400 problem for a body in no dialect understood here and a 401 problem for any segment and token that do
    not belong together; both before anything is locked.
    """
    news = _understood(raw, rules)
    async with database.connection() as connection:
        candidates = await storage.attempts_of_segment(
            connection, segment_id or UUID(int=0), news.task_id, rules.late_after
        )
    attempt = _bearer(candidates, token)
    if attempt is None:
        raise Problem(401, "unauthenticated", "Segment and token do not belong together")
    return await _learn(database, rules, attempt, news, raw)


async def hear_finding(database: Database, rules: Rules, *, attempt_id: UUID, raw: bytes) -> bool:
    """Write down what the generator found out at the provider, by the same parse and the same guards as a webhook."""
    news = _understood(raw, rules)
    async with database.connection() as connection:
        attempt = await storage.find_attempt(connection, attempt_id, news.task_id, rules.late_after)
    if attempt is None:
        raise Problem(404, "not_found", "There is no such attempt")
    return await _learn(database, rules, attempt, news, raw)


def _understood(raw: bytes, rules: Rules) -> News:
    try:
        return understand(raw, simple_allowed=rules.simple_dialect)
    except UnknownDialectError as error:
        raise Problem(400, "malformed", "The body is no webhook of a configured provider", detail=str(error)) from None


def _bearer(candidates: Iterable[Attempt], token: UUID | None) -> Attempt | None:
    """The attempt whose token this is; every candidate is compared, and one at least."""
    offered = hashlib.sha256(str(token).encode()).digest()
    hmac.compare_digest(offered, NOBODYS_HASH)
    matching = [each for each in candidates if hmac.compare_digest(offered, each.token_sha256)]
    return matching[0] if token is not None and matching else None


async def _learn(database: Database, rules: Rules, attempt: Attempt, news: News, raw: bytes) -> bool:
    if decide(news, attempt.known).nothing:  # facts only grow: what is known without a lock stays known
        return False
    try:
        locked, change = await _write(database, rules, attempt, news, raw)
    except asyncpg.UniqueViolationError:  # another attempt adopted this task id in between; now that can be seen
        locked, change = await _write(database, rules, attempt, news, raw)
    _count(locked, change, news)
    return not change.skipped


async def _write(database: Database, rules: Rules, attempt: Attempt, news: News, raw: bytes) -> tuple[Attempt, Change]:
    async with database.transaction(Channel.OUTBOX) as connection:
        await lock_run(connection, attempt.run_id)
        locked = await storage.find_attempt(connection, attempt.id, news.task_id, rules.late_after, locked=True)
        if locked is None:
            raise Problem(401, "unauthenticated", "Segment and token do not belong together")  # erased meanwhile
        change = decide(news, locked.known)
        if not change.nothing:
            await storage.grow(connection, locked.id, locked.now, _growth(locked, change, news, raw))
            await _tell_segment(connection, locked, change, news)
        if change.announced:
            await announce(connection, _event(locked, news))
    return locked, change


def _growth(attempt: Attempt, change: Change, news: News, raw: bytes) -> storage.Growth:
    facts = news.facts() | {storage.HEARD[news.stage]: attempt.now.isoformat()} if change.fresh else {}
    return storage.Growth(
        rank=RANKS[news.stage] if change.fresh else RANKS[Stage.TEXT],
        task_id=news.task_id if change.adopted else None,
        facts=facts,
        stage=news.stage,
        fresh=change.fresh,
        error_code=news.error_code,
        error_message=news.error_message,
        dialect=news.dialect,
        verdict=change.verdict,
        payload=raw,
    )


async def _tell_segment(connection: Connection, attempt: Attempt, change: Change, news: News) -> None:
    """Move the segment and note on it what the operators' queries read."""
    at = attempt.now.isoformat()
    if change.lifted:
        once = {"first_received_at": at}
        moved = await move_segment(connection, attempt.segment_id, "first", preview_url=news.preview_url, once=once)
        if moved is None:
            await note_segment(connection, attempt.segment_id, preview_url=news.preview_url, once=once)
    once = {}
    if news.stage is Stage.COMPLETE and change.announced:
        once = {"complete_received_at": at, "suno_download_url": news.takes[0].url}
    notes = {"surplus_task_ids": [*attempt.known.surplus, news.task_id]} if change.surplus else {}
    task_id = news.task_id if change.adopted else None
    if once or notes or task_id:
        await note_segment(connection, attempt.segment_id, suno_task_id=task_id, once=once, notes=notes)


def _event(attempt: Attempt, news: News) -> Event:
    run_id, segment_id = attempt.run_id, attempt.segment_id
    if news.stage is Stage.FIRST:
        return SegmentFirst(run_id=run_id, segment_id=segment_id, attempt_id=attempt.id)
    if news.stage is Stage.COMPLETE:
        takes = [Take(url=take.url, duration=take.duration) for take in news.takes]
        return SegmentDelivered(run_id=run_id, segment_id=segment_id, attempt_id=attempt.id, takes=takes)
    return SegmentFailed(
        run_id=run_id,
        segment_id=segment_id,
        attempt_id=attempt.id,
        attempt_no=attempt.attempt_no,
        error_code=news.error_code or PROVIDER_ERROR,
        retryable=True,
    )


def _count(attempt: Attempt, change: Change, news: News) -> None:
    """Measure after the commit, so that neither a replay nor a rollback counts."""
    provider, track = attempt.provider, attempt.track
    if change.lifted and attempt.known.segment_status != "first" and attempt.requested_at is not None:
        seconds = (attempt.now - attempt.requested_at).total_seconds()
        metrics.observe(Metric.SEGMENT_TTFP, seconds, track=track, provider=provider)
    if change.announced and news.stage is Stage.ERROR:
        code = news.error_code if news.error_code in COUNTED_CODES else "other"
        metrics.count(Metric.SEGMENT_ERRORS, track=track, provider=provider, error_code=str(code))
    if change.surplus or (change.unneeded and news.stage is Stage.COMPLETE):
        metrics.count(Metric.SURPLUS_GENERATIONS, provider=provider)
    if change.surplus:
        _log.error(LogEvent.SURPLUS_TASK, segment_id=str(attempt.segment_id), attempt=attempt.attempt_no)
