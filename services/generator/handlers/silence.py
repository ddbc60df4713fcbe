"""The sweeps that end a wait: attempts without news, queue rows past their deadline; and the count of the surplus."""

from uuid import UUID

import structlog

from libs.common import metrics
from libs.common.database import Channel
from libs.common.metrics import Metric
from services.generator.domain.next_step import GiveUp, after_silence
from services.generator.handlers.decision import decide, read_segment, situation
from services.generator.handlers.resources import Resources
from services.generator.storage import attempts, queue, segments

_log = structlog.get_logger()


async def sweep_silent(resources: Resources) -> bool:
    """One round: five minutes without a word, or fifteen whatever the provider says."""
    clock, beyond = resources.clock, attempts.FROM_THE_START
    while True:  # page by page: old ones that are still waited for must not hide younger ones
        async with resources.database.connection() as connection:
            accounts = resources.roster.account_names
            rows = await attempts.silent(connection, accounts, clock.silent, clock.silent_running, beyond)
        if not rows:
            return False
        for row in rows:
            await _stop_waiting(resources, row["id"], row["rank"], still_running=row["is_running"] is True)
        beyond = rows[-1]["dispatched_at"], rows[-1]["id"]


async def _stop_waiting(resources: Resources, attempt_id: UUID, rank: int, *, still_running: bool) -> None:
    async with resources.database.transaction(Channel.QUEUE, Channel.OUTBOX) as connection:
        attempt = await attempts.get(connection, attempt_id)
        if attempt is None or not await segments.lock(connection, attempt.run_id, attempt.segment_id):
            return
        now_known = await attempts.get(connection, attempt_id, lock=True)
        if now_known is None or now_known.rank != rank:  # its news came meanwhile
            return
        segment = await read_segment(connection, resources, attempt.segment_id)
        if segment is None:
            return
        provider = resources.roster.provider(attempt.provider)
        now = await situation(connection, resources, segment)
        step = after_silence(now, provider, resources.clock, still_running=still_running)
        if step is None or not await attempts.give_up(connection, attempt_id, "silent"):
            return
        await decide(connection, resources, segment.id, lambda _now: step, "silent")
    _log.warning("gave_up_waiting", provider=attempt.provider, attempt=attempt.attempt_no, running=still_running)
    metrics.count(Metric.SEGMENT_ERRORS, provider=attempt.provider, error_code="timeout")


async def sweep_expired(resources: Resources) -> bool:
    """One round: a row that no slot reached by its segment's deadline ends in the verdict."""
    async with resources.database.connection() as connection:
        rows = await queue.expired(connection)
    for row in rows:
        async with resources.database.transaction(Channel.OUTBOX) as connection:
            await queue.drop(connection, row["segment_id"])
            if await segments.lock(connection, row["run_id"], row["segment_id"]):
                await decide(connection, resources, row["segment_id"], lambda _now: GiveUp(), "deadline_passed")
    return False


async def sweep_surplus(resources: Resources) -> bool:
    """One round: paid results that nobody needs any more, because another attempt was stored first."""
    async with resources.database.connection() as connection:
        rows = await attempts.mark_surplus(connection, resources.clock.late)
    for row in rows:
        if resources.roster.provider(row["provider"]).paid:
            _log.warning("surplus_generation", provider=row["provider"], attempt=row["attempt_no"])
            metrics.count(Metric.SURPLUS_GENERATIONS, provider=row["provider"])
    return False
