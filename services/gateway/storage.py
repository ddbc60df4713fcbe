"""Owns the gateway's SQL: it reads runs and their news, and writes nothing but who was seen."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from libs.common.database import Connection, rows_to_dicts

Row = dict[str, Any]

PAGE_OF_NEWS: Final = 1000  # rows of one look; the rest comes with the next

_SEEN: Final = """
INSERT INTO users (id, tenant_id) VALUES ($1, $2)
ON CONFLICT (id) DO UPDATE SET last_seen_at = now(), tenant_id = excluded.tenant_id
WHERE users.last_seen_at < now() - interval '50 s' OR users.tenant_id <> excluded.tenant_id
"""

# A true row wins over the percentage, a false one means nothing (operations.md §3.5); no rollout row is 0 %.
_FEATURE: Final = """
SELECT coalesce((SELECT percent FROM rollout WHERE name = $1), 0) AS percent,
       coalesce((SELECT salt FROM rollout WHERE name = $1), '') AS salt,
       EXISTS (SELECT FROM feature_flags WHERE user_id = $2 AND parcours_xl_enabled) AS listed
"""

_RUN: Final = """
SELECT id, user_id, preset_key, emotion_state, locale, strategy, status, brief, plan, suds_start, suds_mid, suds_end,
       created_at, updated_at
FROM parcours_runs WHERE id = $1
"""

_RUNS: Final = """
SELECT r.id, r.preset_key, r.status, r.locale, r.plan, r.created_at, r.updated_at,
       count(s.id)::integer AS segments_count,
       (count(s.id) FILTER (WHERE s.status = 'complete'))::integer AS segments_complete
FROM (
  SELECT * FROM parcours_runs
  WHERE user_id = $1 AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid))
  ORDER BY created_at DESC, id DESC LIMIT $4
) r LEFT JOIN parcours_segments s ON s.run_id = r.id
GROUP BY r.id, r.preset_key, r.status, r.locale, r.plan, r.created_at, r.updated_at
ORDER BY r.created_at DESC, r.id DESC
"""

_SEGMENTS: Final = """
SELECT id, segment_index, title, status, plan, storage_path, duration_seconds, metadata, requested_at, due_at
FROM parcours_segments WHERE run_id = $1 ORDER BY segment_index
"""

_SEGMENT: Final = """
SELECT s.id, s.run_id, s.segment_index, s.metadata FROM parcours_segments s WHERE s.id = $1
"""

_HISTORY: Final = """
SELECT h.changed_at, h.from_status, h.to_status, h.changed_by, s.id AS segment_id, s.segment_index,
       CASE WHEN h.to_status = 'complete' THEN s.metadata -> 'narration' END AS narration
FROM segment_history h JOIN parcours_segments s ON s.id = h.segment_id
WHERE s.run_id = $1 ORDER BY h.id
"""

_ATTEMPTS: Final = """
SELECT a.segment_id, s.segment_index, a.attempt_no, a.provider, a.bridge, a.rank, a.gave_up_rank, a.outcome,
       a.error_code, a.dispatched_at, a.submitted_at, a.first_at, a.delivered_at, a.finished_at,
       a.provider_task_id, a.cost::float8 AS cost, a.alive, a.ambiguous_at, a.facts - 'takes' - 'preview_url' AS facts,
       s.metadata -> 'surplus_task_ids' AS surplus_task_ids
FROM segment_attempts a JOIN parcours_segments s ON s.id = a.segment_id
WHERE s.run_id = $1 ORDER BY a.dispatched_at, a.attempt_no
"""

_NEWS: Final = """
SELECT o.id, o.topic, o.key, o.payload, o.created_at
FROM unnest($1::uuid[], $2::bigint[]) AS followed (run, after)
JOIN outbox o ON o.key = followed.run AND o.id > followed.after
ORDER BY o.id LIMIT $3
"""


async def note_seen(connection: Connection, user_id: UUID, tenant: str) -> None:
    await connection.execute(_SEEN, user_id, tenant)


async def feature(connection: Connection, name: str, user_id: UUID) -> Row:
    """Return `percent`, `salt` and whether the user is listed by hand."""
    row = await connection.fetchrow(_FEATURE, name, user_id)
    return dict(row or {})


async def run(connection: Connection, run_id: UUID) -> Row | None:
    row = await connection.fetchrow(_RUN, run_id)
    return dict(row) if row else None


async def runs(
    connection: Connection, user_id: UUID, limit: int, before: tuple[datetime, UUID] | None = None
) -> list[Row]:
    """Return a user's runs, newest first, older than the place given."""
    created_at, run_id = before or (None, None)
    return rows_to_dicts(await connection.fetch(_RUNS, user_id, created_at, run_id, limit))


async def segments(connection: Connection, run_id: UUID) -> list[Row]:
    return rows_to_dicts(await connection.fetch(_SEGMENTS, run_id))


async def segment(connection: Connection, segment_id: UUID) -> Row | None:
    row = await connection.fetchrow(_SEGMENT, segment_id)
    return dict(row) if row else None


async def history(connection: Connection, run_id: UUID) -> list[Row]:
    return rows_to_dicts(await connection.fetch(_HISTORY, run_id))


async def attempts(connection: Connection, run_id: UUID) -> list[Row]:
    """Return a run's attempts; with facts of the generator; never tokens, texts or addresses."""
    return rows_to_dicts(await connection.fetch(_ATTEMPTS, run_id))


async def last_event_id(connection: Connection, run_id: UUID) -> int:
    """Return the run's newest outbox id, 0 when nothing was announced (or all was pruned)."""
    found = await connection.fetchval("SELECT max(id) FROM outbox WHERE key = $1", run_id)
    return int(found or 0)


async def is_event_of(connection: Connection, run_id: UUID, event_id: int) -> bool:
    found = await connection.fetchval("SELECT true FROM outbox WHERE id = $1 AND key = $2", event_id, run_id)
    return found is True


async def news(connection: Connection, after: Sequence[tuple[UUID, int]]) -> list[asyncpg.Record]:
    """Return what was announced of these runs after the ids given, oldest first, at most `PAGE_OF_NEWS` rows."""
    return await connection.fetch(_NEWS, [run for run, _ in after], [last for _, last in after], PAGE_OF_NEWS)


async def newest_event_id(connection: Connection) -> int:
    found = await connection.fetchval("SELECT max(id) FROM outbox")
    return int(found or 0)


async def announced_since(connection: Connection, event_id: int) -> dict[UUID, int]:
    """Return the runs with rows after this id, and the newest id of each."""
    rows = await connection.fetch("SELECT key, max(id) AS newest FROM outbox WHERE id > $1 GROUP BY key", event_id)
    return {row["key"]: row["newest"] for row in rows}
