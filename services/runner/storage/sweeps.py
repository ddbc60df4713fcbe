"""What the sweeps look for, and what housekeeping deletes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from libs.common.database import Connection

# A requested segment that nobody works at: past its deadline, or nothing of it moved for $1. $2: this one alone.
_ABANDONED: Final = """
SELECT s.id, s.run_id, s.segment_index, s.due_at, s.deadline_at,
       coalesce(s.deadline_at < clock_timestamp(), false) AS expired,
       (SELECT a.provider FROM segment_attempts a WHERE a.segment_id = s.id
        ORDER BY a.attempt_no DESC LIMIT 1) AS provider
FROM parcours_segments s
WHERE s.requested_at IS NOT NULL AND s.status IN ('queued', 'generating', 'first') AND ($2::uuid IS NULL OR s.id = $2)
  AND NOT EXISTS (SELECT FROM generation_queue q WHERE q.segment_id = s.id)
  AND NOT EXISTS (SELECT FROM segment_attempts a WHERE a.segment_id = s.id AND a.alive)
  AND (s.deadline_at < clock_timestamp() OR (s.updated_at < clock_timestamp() - $1::interval AND NOT EXISTS (
    SELECT FROM segment_attempts a WHERE a.segment_id = s.id
    AND greatest(a.dispatched_at, a.news_at, a.finished_at) >= clock_timestamp() - $1::interval)))
"""
_ABANDONED_SOME: Final = _ABANDONED + "ORDER BY s.due_at LIMIT 50"
_ABANDONED_LOCKED: Final = _ABANDONED + "FOR NO KEY UPDATE OF s"

# A run that nothing happened to for $1 though its rows call for a step: the decision of domain/steps.py, as a filter.
_WAITING: Final = """
SELECT r.id FROM parcours_runs r
WHERE r.status IN ('creating', 'failed') AND r.updated_at < clock_timestamp() - $1::interval
  AND NOT EXISTS (
    SELECT FROM parcours_segments s WHERE s.run_id = r.id AND s.updated_at >= clock_timestamp() - $1::interval)
  AND CASE r.status
    WHEN 'failed' THEN
      EXISTS (SELECT FROM parcours_segments s WHERE s.run_id = r.id)
      AND NOT EXISTS (SELECT FROM parcours_segments s WHERE s.run_id = r.id AND s.status = 'failed')
    ELSE
      NOT EXISTS (SELECT FROM parcours_segments s WHERE s.run_id = r.id AND s.status <> 'complete')
      OR EXISTS (SELECT FROM parcours_segments s WHERE s.run_id = r.id AND s.status = 'failed')
      OR EXISTS (
        SELECT FROM parcours_segments s
        LEFT JOIN parcours_segments p ON p.run_id = s.run_id AND p.segment_index = s.segment_index - 1
        WHERE s.run_id = r.id AND s.status = 'queued' AND s.requested_at IS NULL
          AND (r.strategy = 'all' OR p.id IS NULL OR p.status = 'complete'
               OR (r.strategy = 'ahead' AND p.status = 'first')))
    END
ORDER BY r.updated_at LIMIT 50
"""

_GAUGES: Final = """
SELECT t.track,
  (SELECT count(*) FROM parcours_runs r WHERE r.status = 'creating' AND r.track = t.track
     AND coalesce(r.resumed_at, r.created_at) < clock_timestamp() - $1::interval) AS stuck,
  (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - coalesce(r.resumed_at, r.created_at))), 0)::float
     FROM parcours_runs r WHERE r.status = 'creating' AND r.track = t.track) AS oldest_seconds,
  (SELECT count(*) FROM parcours_segments s JOIN parcours_runs r ON r.id = s.run_id
     WHERE s.status = 'generating' AND r.track = t.track AND s.updated_at < clock_timestamp() - $2::interval
     AND NOT EXISTS (SELECT FROM segment_attempts a WHERE a.segment_id = s.id
       AND greatest(a.dispatched_at, a.news_at) >= clock_timestamp() - $2::interval)) AS silent
FROM unnest(ARRAY['stable', 'canary']) AS t(track)
"""

# What is kept for how long; each is deleted in batches, so that no statement holds its locks for long.
_BATCH: Final = 5_000
_PRUNES: Final = (
    ("outbox", "created_at", "7 days", "AND published_at IS NOT NULL"),  # the memory of SSE; unpublished rows stay
    ("idempotency_keys", "created_at", "24 hours", ""),
    ("webhook_inbox", "received_at", "30 days", ""),
    ("provider_calls", "called_at", "30 days", ""),
    ("consumer_inbox", "received_at", "8 days", ""),  # a day longer than the topics
    ("dead_letters", "replayed_at", "30 days", ""),  # what nobody replayed waits for a person
)


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A requested segment without queue row or live attempt."""

    id: UUID
    run_id: UUID
    index: int
    due_at: datetime | None
    deadline_at: datetime | None
    expired: bool
    provider: str | None


@dataclass(frozen=True, slots=True)
class Gauges:
    """Of one track: runs unfinished for too long, the age of the oldest (s), segments without news."""

    track: str
    stuck: int
    oldest_seconds: float
    silent: int


async def abandoned_segments(connection: Connection, unchanged: timedelta) -> list[Abandoned]:
    """Candidates, without locks."""
    return [Abandoned(*row) for row in await connection.fetch(_ABANDONED_SOME, unchanged, None)]


async def lock_abandoned(connection: Connection, segment_id: UUID, unchanged: timedelta) -> Abandoned | None:
    """Lock the segment if it is still abandoned; the run's lock is held."""
    row = await connection.fetchrow(_ABANDONED_LOCKED, unchanged, segment_id)
    return None if row is None else Abandoned(*row)


async def waiting_runs(connection: Connection, unchanged: timedelta) -> list[UUID]:
    """Candidates, without locks."""
    return [row["id"] for row in await connection.fetch(_WAITING, unchanged)]


async def try_lock_run(connection: Connection, run_id: UUID) -> bool:
    """Lock the run unless somebody works at it right now."""
    query = "SELECT true FROM parcours_runs WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED"
    return await connection.fetchval(query, run_id) is True


async def gauges(connection: Connection, stuck_after: timedelta, silent_after: timedelta) -> list[Gauges]:
    return [Gauges(*row) for row in await connection.fetch(_GAUGES, stuck_after, silent_after)]


async def prune(connection: Connection) -> bool:
    """Delete one batch of each kind that is past its time; true when a batch was full."""
    full = False
    for table, column, kept, also in _PRUNES:
        done = await connection.execute(
            f"DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} "  # noqa: S608 - names of this file alone
            f"WHERE {column} < clock_timestamp() - interval '{kept}' {also} LIMIT {_BATCH})"
        )
        full = full or int(done.rpartition(" ")[2]) == _BATCH
    return full
