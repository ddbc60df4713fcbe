"""Judges money and order by one query over PostgreSQL joined with the provider's ledger: its rows are violations."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg

_LEDGER: Final = """
CREATE TEMPORARY TABLE ledger (
  task_id text PRIMARY KEY, segment_id uuid, title text, charged numeric, refunded numeric, status text)
"""

# Everything the runs $1 did, against what their provider accepted and charged. `reason`: why a segment may have cost
# a further task, each written down by us: the provider failed it, we stopped waiting for it (a resend of an ambiguous
# attempt is among these), its file would not do, or it is a second task of one attempt.
JUDGEMENT: Final = """
WITH segment AS (
  SELECT s.*, r.status AS run_status FROM parcours_segments s JOIN parcours_runs r ON r.id = s.run_id
  WHERE s.run_id = ANY ($1)),
attempt AS (SELECT t.* FROM segment_attempts t JOIN segment s ON s.id = t.segment_id),
paid AS (SELECT * FROM attempt WHERE provider <> 'composer'),
surplus AS (
  SELECT s.id AS segment_id, jsonb_array_elements_text(s.metadata -> 'surplus_task_ids') AS task_id FROM segment s),
task AS (SELECT l.* FROM ledger l JOIN segment s ON s.id = l.segment_id),
reason AS (
  SELECT segment_id, id::text AS id FROM paid
  WHERE rank = 4 OR gave_up_rank IS NOT NULL OR facts ? 'surplus' OR (error_code IS NOT NULL AND outcome IS NULL)
  UNION ALL SELECT segment_id, task_id FROM surplus),
move AS (
  SELECT h.*, array_position('{queued,generating,first,complete}', h.from_status) AS was,
    array_position('{queued,generating,first,complete}', h.to_status) AS became
  FROM segment_history h JOIN segment s ON s.id = h.segment_id)
SELECT 'segment is ' || status AS violation, title, id::text AS what FROM segment WHERE status <> 'complete'
UNION ALL SELECT 'run is ' || run_status, title, run_id::text FROM segment WHERE run_status <> 'ready'
UNION ALL SELECT 'status went back', s.title, m.from_status || ' to ' || m.to_status
  FROM move m JOIN segment s ON s.id = m.segment_id WHERE m.became < m.was
UNION ALL SELECT 'status left complete', s.title, m.to_status
  FROM move m JOIN segment s ON s.id = m.segment_id WHERE m.from_status = 'complete'
UNION ALL SELECT 'stored by ' || count(t.id) || ' attempts', s.title, s.id::text
  FROM segment s LEFT JOIN attempt t ON t.segment_id = s.id AND t.rank = 6
  WHERE s.status = 'complete' GROUP BY s.title, s.id HAVING count(t.id) <> 1
UNION ALL SELECT 'complete and still queued', s.title, s.id::text
  FROM segment s JOIN generation_queue q ON q.segment_id = s.id WHERE s.status = 'complete'
UNION ALL SELECT 'tasks that nobody knows: ' || unknown.tasks
    || ', attempts that may have sent them: ' || coalesce(lost.attempts, 0), s.title, s.id::text
  FROM segment s
  JOIN (SELECT segment_id, count(*) AS tasks FROM task
        WHERE task_id NOT IN (SELECT provider_task_id FROM paid WHERE provider_task_id IS NOT NULL)
          AND task_id NOT IN (SELECT task_id FROM surplus) GROUP BY 1) unknown ON unknown.segment_id = s.id
  LEFT JOIN (SELECT segment_id, count(*) AS attempts FROM paid
             WHERE provider_task_id IS NULL AND ambiguous_at IS NOT NULL GROUP BY 1) lost ON lost.segment_id = s.id
  WHERE unknown.tasks > coalesce(lost.attempts, 0)
UNION ALL SELECT 'attempt with a task the provider never accepted for it', s.title, t.provider_task_id
  FROM paid t JOIN segment s ON s.id = t.segment_id
  WHERE t.provider_task_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM task k WHERE k.task_id = t.provider_task_id AND k.segment_id = t.segment_id)
UNION ALL SELECT 'refused attempt that was accepted', s.title, t.id::text
  FROM paid t JOIN segment s ON s.id = t.segment_id WHERE t.outcome = 'refused' AND t.provider_task_id IS NOT NULL
UNION ALL SELECT 'charged ' || k.charged || ', recorded ' || coalesce(t.cost::text, 'nothing'), s.title, k.task_id
  FROM task k JOIN paid t ON t.provider_task_id = k.task_id JOIN segment s ON s.id = t.segment_id
  WHERE t.cost IS DISTINCT FROM k.charged
UNION ALL SELECT 'charged for ' || count(k.task_id) || ' tasks with ' || why.reasons || ' reasons', s.title, s.id::text
  FROM segment s JOIN task k ON k.segment_id = s.id AND k.charged > 0,
  LATERAL (SELECT count(*) AS reasons FROM reason w WHERE w.segment_id = s.id) why
  GROUP BY s.title, s.id, why.reasons HAVING count(k.task_id) > 1 + why.reasons
ORDER BY 2, 1
"""

# Nothing may be left over that no run names.
LEFT_OVER: Final = """
SELECT (SELECT count(*) FROM dead_letters) AS dead_letters,
  (SELECT count(*) FROM consumer_retries) AS retries,
  (SELECT count(*) FROM ledger l
   WHERE NOT EXISTS (SELECT FROM parcours_segments s WHERE s.id = l.segment_id)) AS strays
"""


async def load(connection: asyncpg.Connection, accepted: Sequence[dict[str, Any]]) -> None:
    """Put the provider's ledger beside our tables, for this connection alone."""
    await connection.execute("DROP TABLE IF EXISTS pg_temp.ledger")
    await connection.execute(_LEDGER)
    names = ("taskId", "segment", "title", "charged", "refunded", "status")
    rows = [tuple(UUID(task[name]) if name == "segment" else task[name] for name in names) for task in accepted]
    await connection.copy_records_to_table("ledger", records=rows)


async def violations(connection: asyncpg.Connection, runs: Sequence[UUID]) -> list[str]:
    """What must not be, of these runs; the ledger is loaded."""
    rows = await connection.fetch(JUDGEMENT, list(runs))
    return [f"{row['title']}: {row['violation']} ({row['what']})" for row in rows]


async def left_over(connection: asyncpg.Connection) -> dict[str, int]:
    """Counts that must be 0 once everything has ended; the ledger is loaded."""
    row = await connection.fetchrow(LEFT_OVER)
    assert row is not None
    return dict(row)
