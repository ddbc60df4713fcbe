"""The callback's queries: what is known of an attempt, and the one statement that lets its facts grow."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from libs.common.database import Connection
from services.callback.domain.change import Known
from services.callback.domain.news import Stage

HEARD: Final = {stage: f"heard_{stage}" for stage in Stage}
"""Keys of `facts` that say when an attempt first heard of a stage."""

# What is known, for any condition on the attempt `a`. $1: the condition's id, $2: task id in the news, $3: late after.
_KNOWN: Final = """
SELECT a.id, a.segment_id, s.run_id, a.attempt_no, a.provider, a.token_sha256, a.rank, a.provider_task_id, a.facts,
       s.status, s.requested_at, s.metadata->'surplus_task_ids' AS surplus, r.track, clock_timestamp() AS now,
       a.rank IN (4, 6) AND a.finished_at < clock_timestamp() - $3::interval AS late,
       EXISTS (SELECT FROM segment_attempts o
               WHERE o.provider = a.provider AND o.provider_task_id = $2 AND o.id <> a.id) AS task_taken
FROM segment_attempts a JOIN parcours_segments s ON s.id = a.segment_id JOIN parcours_runs r ON r.id = s.run_id
"""
_OF_SEGMENT: Final = _KNOWN + "WHERE a.segment_id = $1 ORDER BY a.attempt_no"
_ONE: Final = _KNOWN + "WHERE a.id = $1"
# NO KEY: rows that refer to these (an archive job being inserted) need not wait, which could end in a deadlock.
_ONE_LOCKED: Final = _ONE + " FOR NO KEY UPDATE OF s, a"

# Inbox and facts in one round trip. The left side of || gives way: a fact once stated stays.
# A refusal is withdrawn: whoever carries the token was reached.
_GROW: Final = """
WITH attempt AS (
  UPDATE segment_attempts SET
    rank             = greatest(rank, $2),
    outcome          = NULL,
    provider_task_id = coalesce(provider_task_id, $3),
    facts            = $4::jsonb || facts,
    submitted_at     = coalesce(submitted_at, $5),
    first_at         = coalesce(first_at, $6),
    delivered_at     = coalesce(delivered_at, $7),
    finished_at      = coalesce(finished_at, $8),
    error_code       = coalesce(error_code, $9),
    error_message    = coalesce(error_message, $10),
    news_at          = $5
  WHERE id = $1 RETURNING id)
INSERT INTO webhook_inbox (attempt_id, dialect, stage, verdict, payload, received_at)
SELECT id, $11, $12, $13, $14, $5 FROM attempt
"""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt as it stands, with what the decision needs of its segment."""

    id: UUID
    segment_id: UUID
    run_id: UUID
    attempt_no: int
    provider: str
    track: str
    token_sha256: bytes
    requested_at: datetime | None
    now: datetime  # of the database
    known: Known


@dataclass(frozen=True, slots=True)
class Growth:
    """What is added to an attempt and how its payload is filed."""

    rank: int
    task_id: str | None
    facts: Mapping[str, Any]
    stage: Stage
    fresh: bool
    error_code: str | None
    error_message: str | None
    dialect: str
    verdict: str
    payload: bytes


async def attempts_of_segment(
    connection: Connection, segment_id: UUID, task_id: str | None, late_after: timedelta
) -> list[Attempt]:
    """All attempts of a segment, without locks; empty for an unknown segment."""
    return [_attempt(row) for row in await connection.fetch(_OF_SEGMENT, segment_id, task_id, late_after)]


async def find_attempt(
    connection: Connection, attempt_id: UUID, task_id: str | None, late_after: timedelta, *, locked: bool = False
) -> Attempt | None:
    """One attempt; `locked` locks its segment and then itself (the run's lock is held by then)."""
    row = await connection.fetchrow(_ONE_LOCKED if locked else _ONE, attempt_id, task_id, late_after)
    return None if row is None else _attempt(row)


async def grow(connection: Connection, attempt_id: UUID, now: datetime, growth: Growth) -> None:
    """Let the attempt's facts grow and keep the payload. Of two values for one fact the first stays."""
    heard = now if growth.fresh else None
    await connection.execute(
        _GROW,
        attempt_id,
        growth.rank,
        growth.task_id,
        dict(growth.facts),
        now,
        heard if growth.stage is Stage.FIRST else None,
        heard if growth.stage is Stage.COMPLETE else None,
        heard if growth.stage is Stage.ERROR else None,
        growth.error_code,
        growth.error_message,
        growth.dialect,
        str(growth.stage),
        growth.verdict,
        growth.payload,
    )


def _attempt(row: asyncpg.Record) -> Attempt:
    facts = row["facts"]
    known = Known(
        rank=row["rank"],
        heard=frozenset(stage for stage, key in HEARD.items() if key in facts),
        task_id=row["provider_task_id"],
        task_taken=row["task_taken"],
        surplus=tuple(row["surplus"] or ()),
        segment_status=row["status"],
        late=bool(row["late"]),
    )
    return Attempt(
        id=row["id"],
        segment_id=row["segment_id"],
        run_id=row["run_id"],
        attempt_no=row["attempt_no"],
        provider=row["provider"],
        track=row["track"],
        token_sha256=row["token_sha256"],
        requested_at=row["requested_at"],
        now=row["now"],
        known=known,
    )
