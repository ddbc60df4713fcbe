"""What happened to a user's own runs, as structured entries without any text of theirs."""

from typing import Any, Final
from uuid import UUID

import asyncpg

from libs.common.database import Connection

ENTRIES: Final = 500

# Moves and attempts in one line of time, newest first.
_ENTRIES: Final = """
SELECT * FROM (
  SELECT h.changed_at AS at, s.run_id, s.id AS segment_id, s.segment_index, 'moved' AS event,
         h.from_status, h.to_status, h.changed_by AS service,
         NULL::text AS provider, NULL::int AS attempt, NULL::text AS provider_task_id, NULL::text AS error_code
  FROM segment_history h JOIN parcours_segments s ON s.id = h.segment_id JOIN parcours_runs r ON r.id = s.run_id
  WHERE r.user_id = $1
  UNION ALL
  SELECT coalesce(a.finished_at, a.news_at, a.dispatched_at), s.run_id, s.id, s.segment_index, 'attempt', NULL,
         CASE WHEN a.outcome IS NOT NULL THEN a.outcome ELSE
           (ARRAY['dispatched', 'accepted', 'first', 'failed', 'delivered', 'stored'])[a.rank] END,
         'generator', a.provider, a.attempt_no, a.provider_task_id, a.error_code
  FROM segment_attempts a JOIN parcours_segments s ON s.id = a.segment_id JOIN parcours_runs r ON r.id = s.run_id
  WHERE r.user_id = $1
) entries ORDER BY at DESC LIMIT $2
"""


async def entries(connection: Connection, user_id: UUID) -> list[dict[str, Any]]:
    """The newest entries of a user's runs; empty values are left out."""
    return [_entry(row) for row in await connection.fetch(_ENTRIES, user_id, ENTRIES)]


def _entry(row: asyncpg.Record) -> dict[str, Any]:
    named = {
        "at": row["at"].isoformat(),
        "event": row["event"],
        "runId": str(row["run_id"]),
        "segmentId": str(row["segment_id"]),
        "segmentIndex": row["segment_index"],
        "from": row["from_status"],
        "to": row["to_status"],
        "service": row["service"],
        "provider": row["provider"],
        "attempt": row["attempt"],
        "provider_task_id": row["provider_task_id"],
        "error_code": row["error_code"],
    }
    return {key: value for key, value in named.items() if value is not None}
