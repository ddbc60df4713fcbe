"""Writes news down: inbox, facts, status and outbox of many attempts in one statement, which commits itself."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from libs.common.database import Connection
from libs.common.lifecycle import moving_to_first
from libs.common.outbox import announcing

# A join over an array is estimated blindly: without these the plan made for a small table reads all of a large one, and
# every batch is planned anew. They stay with the connection: all else this service asks is a look-up by key.
PLANS: Final = (
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off; "
    "SET enable_mergejoin = off; SET jit = off"
)


class Growth(NamedTuple):
    """What is added to one attempt, how its payload is filed, what its segment is told and what is announced.

    A tuple, since a frozen dataclass of so many fields takes three times as long to make.
    """

    attempt_id: UUID
    attempt_version: int
    segment_id: UUID
    segment_version: int
    run_id: UUID
    at: datetime  # the database's time of the decision
    rank: int
    task_id: str | None  # adopted
    facts: str  # JSON, as the three below
    heard: str | None  # the stage, when it is the attempt's own first news of it
    error_code: str | None
    error_message: str | None
    dialect: str
    stage: str
    verdict: str
    payload: bytes
    tells: bool  # whether the segment's row changes
    lifts: bool
    preview_url: str | None
    once: str
    notes: str
    topic: str | None
    event: str | None
    traceparent: str


_TYPES: Final = {
    "attempt_id": "uuid",
    "attempt_version": "xid",
    "segment_id": "uuid",
    "segment_version": "xid",
    "run_id": "uuid",
    "at": "timestamptz",
    "rank": "smallint",
    "task_id": "text",
    "facts": "text",
    "heard": "text",
    "error_code": "text",
    "error_message": "text",
    "dialect": "text",
    "stage": "text",
    "verdict": "text",
    "payload": "bytea",
    "tells": "boolean",
    "lifts": "boolean",
    "preview_url": "text",
    "once": "text",
    "notes": "text",
    "topic": "text",
    "event": "text",
    "traceparent": "text",
}
"""The columns of a `Growth`, in its own order, which is that of the statement's arrays."""
_ARRAYS: Final = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(_TYPES.values(), 1))

# Locks in the platform's order: run, segment, attempt. Whoever is locked elsewhere is skipped, so that a batch, which
# holds many locks, waits for none: it can be no part of a deadlock, and nobody in it waits for somebody else's run.
# NO KEY: rows that refer to these need not wait. The left side of || gives way: a fact once stated stays.
# A refusal is withdrawn: whoever carries the token was reached.
_WRITE: Final = f"""
WITH news AS (SELECT * FROM unnest({_ARRAYS}) AS n ({", ".join(_TYPES)})),
held AS MATERIALIZED (
  SELECT n.*, r.track FROM news n
  JOIN parcours_runs r ON r.id = n.run_id
  JOIN parcours_segments s ON s.id = n.segment_id
  JOIN segment_attempts a ON a.id = n.attempt_id
  WHERE a.xmin = n.attempt_version AND s.xmin = n.segment_version
  FOR NO KEY UPDATE OF r, s, a SKIP LOCKED),
grown AS (
  UPDATE segment_attempts a SET
    rank             = greatest(a.rank, h.rank),
    outcome          = NULL,
    provider_task_id = coalesce(a.provider_task_id, h.task_id),
    facts            = h.facts::jsonb || a.facts,
    submitted_at     = coalesce(a.submitted_at, h.at),
    first_at         = coalesce(a.first_at, CASE h.heard WHEN 'first' THEN h.at END),
    delivered_at     = coalesce(a.delivered_at, CASE h.heard WHEN 'complete' THEN h.at END),
    finished_at      = coalesce(a.finished_at, CASE h.heard WHEN 'error' THEN h.at END),
    error_code       = coalesce(a.error_code, h.error_code),
    error_message    = coalesce(a.error_message, h.error_message),
    news_at          = h.at
  FROM held h WHERE a.id = h.attempt_id),
filed AS (
  INSERT INTO webhook_inbox (attempt_id, dialect, stage, verdict, payload, received_at)
  SELECT h.attempt_id, h.dialect, h.stage, h.verdict, h.payload, h.at FROM held h),
telling AS (
  SELECT h.segment_id, h.lifts, h.preview_url, h.task_id, h.once::jsonb AS once, h.notes::jsonb AS notes
  FROM held h WHERE h.tells),
told AS ({moving_to_first("telling")}),
events AS (
  SELECT h.topic, h.run_id, h.track, h.traceparent, h.event::jsonb AS event FROM held h WHERE h.topic IS NOT NULL),
announced AS ({announcing("events")})
SELECT attempt_id FROM held
"""  # noqa: S608 - this file's own words


async def write(connection: Connection, growths: Sequence[Growth]) -> set[UUID]:
    """Write down all that can be, of one attempt a segment at most; the attempts whose rows were written.

    Not written is what somebody else holds locked, and what changed since it was read.
    """
    columns = [list(column) for column in zip(*growths, strict=True)]
    return {row["attempt_id"] for row in await connection.fetch(_WRITE, *columns)}
