"""The queue of segments that wait for a slot, earliest `due_at` first. Locked after slot and account, before run."""

from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from libs.common.database import Connection

_LOOK: Final = """
SELECT EXISTS (SELECT FROM generation_queue
               WHERE provider = $1 AND track = ANY ($2) AND not_before <= clock_timestamp()) AS is_waiting,
  extract(epoch FROM clock_timestamp())::float8 AS now
"""
# Seconds until something may be claimable: a back-off that ends, and a slot of an open account that gets free.
# NULL: nothing waits, or no account will open by itself.
_PAUSE: Final = """
SELECT CASE WHEN w.earliest IS NULL OR f.earliest IS NULL THEN NULL
  ELSE extract(epoch FROM greatest(w.earliest, f.earliest) - clock_timestamp())::float8 END
FROM (SELECT min(not_before) AS earliest FROM generation_queue WHERE provider = $1 AND track = ANY ($2)) w,
  (SELECT min(greatest(s.free_at, a.closed_until, a.frozen_until)) AS earliest
   FROM quota_slots s JOIN quota_accounts a USING (account)
   WHERE a.account = ANY ($3) AND s.slot_no <= a.slots_allowed AND a.closed_until < 'infinity'
     AND (a.max_in_flight IS NULL OR a.max_in_flight > attempts_in_flight(a.account))) f
"""
_ENQUEUE: Final = """
INSERT INTO generation_queue (segment_id, run_id, user_id, track, provider, bridge, due_at, segment_index, not_before)
SELECT s.id, s.run_id, r.user_id, r.track, $2, $3, coalesce(s.due_at, clock_timestamp()), s.segment_index,
  CASE WHEN $4::interval > interval '0' THEN clock_timestamp() + $4::interval ELSE 'epoch'::timestamptz END
FROM parcours_segments s JOIN parcours_runs r ON r.id = s.run_id WHERE s.id = $1
ON CONFLICT (segment_id) DO NOTHING
"""
_REPOINT: Final = """
UPDATE generation_queue SET provider = $2, not_before = 'epoch'
WHERE segment_id IN (SELECT segment_id FROM generation_queue WHERE provider = $1 ORDER BY segment_id FOR UPDATE)
"""
_ADOPT_STRAYS: Final = """
UPDATE generation_queue SET provider = $2, not_before = 'epoch'
WHERE segment_id IN (SELECT segment_id FROM generation_queue WHERE provider <> ALL ($1) FOR UPDATE SKIP LOCKED)
"""
# The rows that composer should have: the listener needs them soon, and they wait for a closed or full account, a long
# back-off, because an accepted attempt has failed (architecture.md §5), or nothing was accepted for a while (ADR 0007).
_BRIDGE: Final = """
UPDATE generation_queue SET provider = $1, not_before = 'epoch'
WHERE segment_id IN (
  SELECT q.segment_id FROM generation_queue q JOIN parcours_segments s ON s.id = q.segment_id
  WHERE q.provider <> $1
    AND s.due_at + CASE WHEN s.segment_index = 0 OR s.due_at <= s.requested_at THEN interval '0' ELSE $3::interval END
      <= clock_timestamp() + $4::interval
    AND (q.not_before > clock_timestamp() + $5::interval
      OR NOT EXISTS (SELECT FROM quota_accounts a
                     WHERE a.provider = q.provider AND a.account = ANY ($2)
                       AND greatest(a.closed_until, a.frozen_until) <= clock_timestamp()
                       AND (a.max_in_flight IS NULL OR a.max_in_flight > attempts_in_flight(a.account)))
      OR EXISTS (SELECT FROM segment_attempts t WHERE t.segment_id = s.id AND NOT t.alive AND t.outcome IS NULL
                   AND t.rank > 1 AND t.dispatched_at >= coalesce(s.requested_at, 'epoch'))
      OR s.requested_at < clock_timestamp() - $6::interval AND EXISTS (
        SELECT FROM segment_attempts t WHERE t.segment_id = s.id AND t.outcome = 'refused'
          AND t.dispatched_at >= s.requested_at AND t.error_code <> 'transport_too_late'))
  FOR UPDATE OF q SKIP LOCKED)
RETURNING segment_id
"""
_EXPIRED: Final = """
SELECT q.segment_id, q.run_id FROM generation_queue q JOIN parcours_segments s ON s.id = q.segment_id
WHERE s.deadline_at < clock_timestamp() LIMIT 50
"""
_DROP: Final = "DELETE FROM generation_queue WHERE segment_id = $1"


async def look(connection: Connection, provider: str, tracks: list[str]) -> tuple[bool, float]:
    """Whether anything of this provider is due, and the database's time, in seconds of the epoch."""
    row = await connection.fetchrow(_LOOK, provider, tracks)
    return (row["is_waiting"], row["now"]) if row else (False, 0.0)


async def pause_seconds(connection: Connection, provider: str, tracks: list[str], accounts: list[str]) -> float | None:
    """How long nothing can be claimed; `None` when nothing waits."""
    value: float | None = await connection.fetchval(_PAUSE, provider, tracks, accounts)
    return value


async def enqueue(
    connection: Connection, segment_id: UUID, provider: str, *, delay_seconds: float = 0.0, bridge: bool = False
) -> None:
    """Add a row. The caller holds the segment's lock and has seen that it has none, so that nobody waits here."""
    await connection.execute(_ENQUEUE, segment_id, provider, bridge, timedelta(seconds=delay_seconds))


async def repoint(connection: Connection, provider: str, to: str) -> None:
    """Hand all rows of one provider to another."""
    await connection.execute(_REPOINT, provider, to)


async def adopt_strays(connection: Connection, configured: list[str], to: str) -> None:
    """Hand rows of providers that are configured no more to one that is."""
    await connection.execute(_ADOPT_STRAYS, configured, to)


async def bridge(
    connection: Connection,
    to: str,
    accounts: list[str],
    *,
    expected_playable: float,
    within: float,
    long_backoff: float,
    troubled: float,
) -> list[UUID]:
    """Re-point the rows that the listener cannot wait for, and return their segments."""
    spans = [timedelta(seconds=seconds) for seconds in (expected_playable, within, long_backoff, troubled)]
    return [row["segment_id"] for row in await connection.fetch(_BRIDGE, to, accounts, *spans)]


async def expired(connection: Connection) -> list[asyncpg.Record]:
    """Rows whose segment is past its deadline: segment_id, run_id."""
    return list(await connection.fetch(_EXPIRED))


async def drop(connection: Connection, segment_id: UUID) -> None:
    """Remove a segment's row, if it has one."""
    await connection.execute(_DROP, segment_id)
