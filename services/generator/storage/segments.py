"""A segment under its locks, with everything a decision about it rests on. Lock order: run, segment, attempt."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from libs.common.database import Connection

# NO KEY UPDATE: an attempt being inserted holds the row's KEY SHARE through its foreign key; neither need wait.
_LOCK: Final = "SELECT run_id FROM parcours_segments WHERE id = $1 FOR NO KEY UPDATE"
# The run first, as `lifecycle.lock_run` does it, then the segment: in one round trip.
_LOCK_BOTH: Final = """
WITH run AS MATERIALIZED (SELECT id FROM parcours_runs WHERE id = $1 FOR NO KEY UPDATE)
SELECT s.run_id FROM run JOIN parcours_segments s ON s.run_id = run.id WHERE s.id = $2 FOR NO KEY UPDATE OF s
"""
# Needed: at `due_at` by a first segment; G later by the others, unless it was requested so late that a retry could not
# make it in time (a resume, the strategy `sequential`).
# A statement of its own after the locks: its snapshot sees what the transactions we waited for have written.
_READ: Final = """
SELECT s.id, s.run_id, s.status, s.segment_index, s.title, s.plan, r.user_id,
  coalesce(s.deadline_at < clock_timestamp(), false) AS past_deadline,
  s.due_at + CASE WHEN s.segment_index = 0 OR s.due_at <= s.requested_at THEN interval '0' ELSE $2::interval END
    <= clock_timestamp() + $3::interval AS needed_soon,
  (SELECT count(*) FROM parcours_segments x WHERE x.run_id = s.run_id) AS segments_count,
  EXISTS (SELECT FROM generation_queue q WHERE q.segment_id = s.id) AS is_queued,
  ARRAY (SELECT t.provider FROM segment_attempts t WHERE t.segment_id = s.id AND t.alive) AS live_providers,
  (SELECT coalesce(jsonb_object_agg(c.provider, c.tries), '{}') FROM (
     SELECT t.provider, count(*) AS tries FROM segment_attempts t
     WHERE t.segment_id = s.id AND t.dispatched_at >= coalesce(s.requested_at, 'epoch')
       AND t.error_code IS DISTINCT FROM 'transport_too_late'
     GROUP BY t.provider) c) AS tries
FROM parcours_segments s JOIN parcours_runs r ON r.id = s.run_id WHERE s.id = $1
"""


@dataclass(frozen=True, slots=True)
class LockedSegment:
    """A segment as it is while we hold its run's and its own row lock. `tries`: attempts since it was requested."""

    id: UUID
    run_id: UUID
    status: str
    segment_index: int
    title: str
    plan: Mapping[str, Any]
    user_id: UUID
    past_deadline: bool
    needed_soon: bool
    segments_count: int
    is_queued: bool
    live_providers: tuple[str, ...]
    tries: Mapping[str, int]

    @property
    def is_over(self) -> bool:
        return self.status in ("complete", "failed")

    @property
    def is_idle(self) -> bool:
        """Nobody works on it: a decision is due."""
        return not self.is_over and not self.is_queued and not self.live_providers


async def lock(connection: Connection, run_id: UUID, segment_id: UUID) -> bool:
    """Lock the run, then the segment; false when either is gone (erased)."""
    return await connection.fetchval(_LOCK_BOTH, run_id, segment_id) is not None


async def lock_alone(connection: Connection, segment_id: UUID) -> bool:
    """Lock the segment in a transaction that announces nothing."""
    return await connection.fetchval(_LOCK, segment_id) is not None


async def read(
    connection: Connection, segment_id: UUID, *, expected_playable: float, within: float
) -> LockedSegment | None:
    """Read a segment that this transaction has locked."""
    row = await connection.fetchrow(_READ, segment_id, timedelta(seconds=expected_playable), timedelta(seconds=within))
    if row is None:
        return None
    plain = dict(row)
    plain |= {"live_providers": tuple(row["live_providers"]), "needed_soon": row["needed_soon"] is True}
    return LockedSegment(**plain)
