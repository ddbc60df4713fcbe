"""Attempts: what the generator writes of them, and the lists its sweeps work through."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from libs.common.database import Connection

_GET: Final = """
SELECT t.id, t.segment_id, s.run_id, t.attempt_no, t.provider, t.account, t.slot_no, t.provider_task_id, t.rank,
  t.gave_up_rank, t.outcome, t.error_code, t.alive, t.bridge, t.facts
FROM segment_attempts t JOIN parcours_segments s ON s.id = t.segment_id WHERE t.id = $1
"""
_LOCK: Final = "SELECT id FROM segment_attempts WHERE id = $1 FOR NO KEY UPDATE"
# Step 4 of §4.2: a callback may have come first; then the same values are written again.
_ACCEPT: Final = """
UPDATE segment_attempts SET provider_task_id = coalesce(provider_task_id, $2), rank = greatest(rank, 2),
  submitted_at = coalesce(submitted_at, clock_timestamp()), cost = coalesce(cost, $3),
  facts = $4::jsonb || facts || '{"replied": true}'
WHERE id = $1 RETURNING provider_task_id
"""
_NOTE_SURPLUS: Final = """
UPDATE parcours_segments SET metadata = metadata || jsonb_build_object('surplus_task_ids',
  coalesce(metadata -> 'surplus_task_ids', '[]') || to_jsonb($2::text))
WHERE id = $1
"""
_REFUSE: Final = """
UPDATE segment_attempts SET outcome = 'refused', error_code = $2, finished_at = clock_timestamp(),
  facts = facts || jsonb_build_object('verdict', $3::text)
WHERE id = $1 AND rank = 1 AND outcome IS NULL AND gave_up_rank IS NULL RETURNING id
"""
_MARK_AMBIGUOUS: Final = """
UPDATE segment_attempts SET ambiguous_at = clock_timestamp(), error_code = coalesce(error_code, $2)
WHERE id = $1 AND rank = 1 AND outcome IS NULL AND ambiguous_at IS NULL RETURNING id
"""
_GIVE_UP: Final = """
UPDATE segment_attempts SET gave_up_rank = rank, error_code = coalesce(error_code, $2),
  finished_at = coalesce(finished_at, clock_timestamp())
WHERE id = $1 AND alive AND rank <= 3 RETURNING id
"""
_NOTE_FACT: Final = "UPDATE segment_attempts SET facts = facts || jsonb_build_object($2::text, $3::jsonb) WHERE id = $1"
_RESENT_BEFORE: Final = """
SELECT EXISTS (SELECT FROM segment_attempts t JOIN parcours_segments s ON s.id = t.segment_id
  WHERE s.id = $1 AND t.provider = $2 AND t.gave_up_rank = 1 AND t.id <> $3
    AND t.dispatched_at >= coalesce(s.requested_at, 'epoch'))
"""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt as it was when it was read."""

    id: UUID
    segment_id: UUID
    run_id: UUID
    attempt_no: int
    provider: str
    account: str
    slot_no: int
    provider_task_id: str | None
    rank: int
    gave_up_rank: int | None
    outcome: str | None
    error_code: str | None
    alive: bool
    bridge: bool
    facts: dict[str, Any]


async def get(connection: Connection, attempt_id: UUID, *, lock: bool = False) -> Attempt | None:
    """Read an attempt; with `lock` (the caller holds run and segment) nobody changes it until the commit."""
    if lock:
        await connection.execute(_LOCK, attempt_id)
    row = await connection.fetchrow(_GET, attempt_id)
    return None if row is None else Attempt(**dict(row))


async def accept(
    connection: Connection, attempt_id: UUID, task_id: str, cost: float, facts: Mapping[str, str]
) -> str | None:
    """Record the provider's id of the task and return the one kept: another one means a second task, a surplus."""
    kept: str | None = await connection.fetchval(_ACCEPT, attempt_id, task_id, cost, dict(facts))
    return kept


async def note_surplus(connection: Connection, segment_id: UUID, task_id: str) -> None:
    """Remember a task that an attempt has beside its own, in the segment's metadata."""
    await connection.execute(_NOTE_SURPLUS, segment_id, task_id)


async def refuse(connection: Connection, attempt_id: UUID, code: str, verdict: str) -> bool:
    """The provider provably has nothing; false when a callback has shown the contrary meanwhile."""
    return await connection.fetchval(_REFUSE, attempt_id, code, verdict) is not None


async def mark_ambiguous(connection: Connection, attempt_id: UUID, code: str) -> bool:
    """Nobody read a reply: perhaps accepted; false when that is known by now or was marked before."""
    return await connection.fetchval(_MARK_AMBIGUOUS, attempt_id, code) is not None


async def give_up(connection: Connection, attempt_id: UUID, code: str) -> bool:
    """Stop waiting. Its token stays, and later news revives it."""
    return await connection.fetchval(_GIVE_UP, attempt_id, code) is not None


async def note_fact(connection: Connection, attempt_id: UUID, name: str, value: object) -> None:
    """Write one of the generator's own facts: verdict, record_info, credits_…; the callback's are set once by it."""
    await connection.execute(_NOTE_FACT, attempt_id, name, value)


async def resent_before(connection: Connection, attempt: Attempt) -> bool:
    """Whether another ambiguous attempt at this provider was given up for this request."""
    return await connection.fetchval(_RESENT_BEFORE, attempt.segment_id, attempt.provider, attempt.id) is True


# Lists of the sweeps: live attempts of segments that are not complete ----------------------------------------------

FROM_THE_START: Final = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))  # before the first page
_UNANSWERED: Final = """
SELECT t.id, t.provider, t.dispatched_at < clock_timestamp() - p.adopt AS is_unadopted
FROM segment_attempts t JOIN parcours_segments s ON s.id = t.segment_id
JOIN unnest($2::text[], $3::interval[]) AS p (provider, adopt) ON p.provider = t.provider
WHERE t.alive AND t.rank = 1 AND s.status <> 'complete'
  AND (t.ambiguous_at IS NOT NULL OR t.dispatched_at < clock_timestamp() - $1::interval)
  AND (t.ambiguous_at IS NULL OR t.dispatched_at < clock_timestamp() - p.adopt)
ORDER BY t.dispatched_at LIMIT 50
"""
# One attempt a turn, and none if any was asked for within the gap: at most 1/s over all generators (the advisory lock
# makes the two statements of two generators follow each other).
_LOOK_UP: Final = """
UPDATE segment_attempts SET looked_up_at = clock_timestamp() WHERE id = (
  SELECT t.id FROM segment_attempts t JOIN parcours_segments s ON s.id = t.segment_id
  WHERE t.alive AND t.rank IN (2, 3) AND t.provider = $1 AND t.provider_task_id IS NOT NULL AND s.status <> 'complete'
    AND t.account = ANY ($6)
    AND (t.facts ? 'result_waiting'  -- its webhook could not carry the result
      OR clock_timestamp() > t.dispatched_at + CASE t.rank WHEN 2 THEN $2::interval ELSE $3::interval END)
    AND (t.looked_up_at IS NULL OR t.looked_up_at < clock_timestamp() - $4::interval)
    AND NOT EXISTS (SELECT FROM segment_attempts o WHERE o.alive AND o.looked_up_at > clock_timestamp() - $5::interval)
  ORDER BY t.looked_up_at NULLS FIRST, t.dispatched_at LIMIT 1 FOR UPDATE OF t SKIP LOCKED)
RETURNING id
"""
_LOOK_UP_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext('generator look-up'))"
# Whom nobody has looked up yet, though somebody can, is waited for as if it ran: look-ups are one a second, and when
# all webhooks are lost they come late. To give up what the provider has made would be to pay for it again.
_SILENT: Final = """
SELECT t.id, t.dispatched_at, t.rank, t.facts ->> 'record_info' = 'running' AS is_running
FROM segment_attempts t JOIN parcours_segments s ON s.id = t.segment_id
WHERE t.alive AND t.rank IN (2, 3) AND s.status <> 'complete' AND (
    coalesce(t.news_at, t.submitted_at, t.dispatched_at) < clock_timestamp() - $2::interval
    OR (coalesce(t.news_at, t.submitted_at, t.dispatched_at) < clock_timestamp() - $1::interval
        AND t.facts ->> 'record_info' IS DISTINCT FROM 'running'
        AND (t.facts ? 'record_info' OR t.provider_task_id IS NULL OR t.account <> ALL ($5))))
  AND (t.dispatched_at, t.id) > ($3, $4)
ORDER BY t.dispatched_at, t.id LIMIT 50
"""
# Bridged: needed soon, nobody else at it, and ambiguous; or its stage is late; or (ADR 0007) nothing was accepted for a
# while; or an accepted attempt failed before this one; or the archiver tries in vain to fetch what was delivered.
_TO_BRIDGE: Final = """
SELECT t.segment_id, s.run_id FROM segment_attempts t JOIN parcours_segments s ON s.id = t.segment_id
JOIN unnest($1::text[], $2::interval[], $3::interval[]) AS p (provider, first, complete) ON p.provider = t.provider
WHERE t.alive AND s.status IN ('queued', 'generating', 'first')
  AND s.due_at + CASE WHEN s.segment_index = 0 OR s.due_at <= s.requested_at THEN interval '0' ELSE $4::interval END
    <= clock_timestamp() + $5::interval
  AND (t.rank = 1 AND t.ambiguous_at IS NOT NULL
    OR t.rank <= 3
      AND clock_timestamp() > t.dispatched_at + CASE WHEN t.rank <= 2 THEN p.first ELSE p.complete END
    OR t.rank = 1 AND s.requested_at < clock_timestamp() - $7::interval AND EXISTS (
      SELECT FROM segment_attempts b WHERE b.segment_id = s.id AND b.outcome = 'refused'
        AND b.dispatched_at >= s.requested_at AND b.error_code <> 'transport_too_late')
    OR t.rank = 2 AND EXISTS (
      SELECT FROM segment_attempts b WHERE b.segment_id = s.id AND NOT b.alive AND b.outcome IS NULL AND b.rank > 1
        AND b.provider = t.provider AND b.dispatched_at >= coalesce(s.requested_at, 'epoch'))
    OR t.rank = 5
      AND t.delivered_at < clock_timestamp() - CASE WHEN s.status = 'first' THEN $9::interval ELSE $8::interval END
      AND EXISTS (SELECT FROM archive_jobs j WHERE j.attempt_id = t.id AND j.kind = 'final' AND j.tries > 1))
  AND NOT EXISTS (SELECT FROM generation_queue q WHERE q.segment_id = s.id)
  AND NOT EXISTS (SELECT FROM segment_attempts o WHERE o.segment_id = s.id AND o.alive AND o.provider = $6)
LIMIT 50
"""
# What is delivered to a segment that is complete already is counted by the callback.
_SURPLUS: Final = """
UPDATE segment_attempts t SET facts = t.facts || '{"surplus": true}'
FROM parcours_segments s WHERE s.id = t.segment_id AND s.status = 'complete' AND t.alive AND t.rank = 5
  AND t.delivered_at < clock_timestamp() - $1::interval AND NOT t.facts ? 'surplus'
  AND EXISTS (SELECT FROM segment_attempts o WHERE o.segment_id = s.id AND o.rank = 6)
  AND t.delivered_at <= (SELECT max(h.changed_at) FROM segment_history h
                         WHERE h.segment_id = s.id AND h.to_status = 'complete')
RETURNING t.id, t.provider, t.attempt_no, t.segment_id
"""


# A webhook adopted them, so that no reply told us to write it. The first day is enough: adoption comes early or never.
_UNPRICED: Final = """
SELECT t.id, t.account, t.provider, s.plan FROM segment_attempts t JOIN parcours_segments s ON s.id = t.segment_id
WHERE t.provider_task_id IS NOT NULL AND t.cost IS NULL AND t.dispatched_at > clock_timestamp() - interval '1 day'
LIMIT 50
"""
_PRICE: Final = "UPDATE segment_attempts SET cost = $2 WHERE id = $1 AND cost IS NULL RETURNING id"


async def unpriced(connection: Connection) -> list[asyncpg.Record]:
    """Attempts that a provider has and nobody has priced: id, account, provider, plan."""
    return list(await connection.fetch(_UNPRICED))


async def price(connection: Connection, attempt_id: UUID, cost: float) -> bool:
    """Write what an attempt cost; false when that is known already."""
    return await connection.fetchval(_PRICE, attempt_id, cost) is not None


async def unanswered(connection: Connection, after: float, adopt: Mapping[str, float]) -> list[asyncpg.Record]:
    """Attempts without a reply that are to be marked, or (is_unadopted) have waited long enough: id, provider.

    `adopt`: the seconds that are long enough, of each provider.
    """
    spans = [timedelta(seconds=seconds) for seconds in adopt.values()]
    return list(await connection.fetch(_UNANSWERED, timedelta(seconds=after), list(adopt), spans))


async def next_to_look_up(
    connection: Connection,
    provider: str,
    accounts: list[str],
    *,
    first: float,
    complete: float,
    every: float,
    gap: float,
) -> UUID | None:
    """Mark one attempt whose next stage is late as being looked up; call it inside a transaction of its own."""
    await connection.execute(_LOOK_UP_LOCK)
    spans = [timedelta(seconds=seconds) for seconds in (first, complete, every, gap)]
    found: UUID | None = await connection.fetchval(_LOOK_UP, provider, *spans, accounts)
    return found


async def silent(
    connection: Connection, accounts: list[str], after: float, at_most: float, beyond: tuple[datetime, UUID]
) -> list[asyncpg.Record]:
    """A page of accepted attempts without news, oldest first, beyond a place: id, dispatched_at, rank, is_running.

    `accounts`: those whose provider can be asked.
    """
    spans = timedelta(seconds=after), timedelta(seconds=at_most)
    return list(await connection.fetch(_SILENT, *spans, *beyond, accounts))


async def to_bridge(
    connection: Connection,
    late: Mapping[str, tuple[float, float]],
    bridge: str,
    *,
    expected_playable: float,
    within: float,
    troubled: float,
    stored: float,
    stored_heard: float,
) -> list[asyncpg.Record]:
    """Segments that the bridging provider should make beside a live attempt of another one: segment_id, run_id.

    `late`: by provider, seconds after which its first stage and its file are late.
    """
    first, complete = ([timedelta(seconds=pair[stage]) for pair in late.values()] for stage in range(2))
    soon = [timedelta(seconds=seconds) for seconds in (expected_playable, within)]
    more = [timedelta(seconds=seconds) for seconds in (troubled, stored, stored_heard)]
    return list(await connection.fetch(_TO_BRIDGE, list(late), first, complete, *soon, bridge, *more))


async def mark_surplus(connection: Connection, settled: float) -> list[asyncpg.Record]:
    """Delivered attempts of segments that another attempt completed, each once: id, provider, attempt_no."""
    return list(await connection.fetch(_SURPLUS, timedelta(seconds=settled)))
