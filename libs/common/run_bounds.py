"""Owns how many runs one user may start: `create` and the runner's resume count by one rule, under one lock."""

import math
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from libs.common.database import Connection
from libs.common.errors import Problem

UNFINISHED_RETRY_SECONDS: Final = 60  # s; a run takes minutes, so asking more often tells nothing

_LOCK_USER: Final = "SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, 0))"

# Seconds until the $2-th newest start of the last 24 h leaves the day; null while there are fewer. A resume is a start.
_USED: Final = """
SELECT
  (SELECT count(*) FROM parcours_runs WHERE user_id = $1 AND status = 'creating') AS unfinished,
  (SELECT extract(epoch FROM at + interval '24 h' - clock_timestamp())::float FROM (
     SELECT created_at AS at FROM parcours_runs
     WHERE user_id = $1 AND created_at > clock_timestamp() - interval '24 h'
     UNION ALL
     SELECT resumed::timestamptz FROM parcours_runs, jsonb_array_elements_text(metadata->'resumes') resumed
     WHERE user_id = $1 AND resumed_at > clock_timestamp() - interval '24 h'
   ) starts WHERE at > clock_timestamp() - interval '24 h' ORDER BY at DESC OFFSET $2 - 1 LIMIT 1) AS wait_seconds
"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many runs a user may have in the making, and start in 24 h."""

    unfinished: int
    per_day: int


async def lock_user(connection: Connection, user_id: UUID) -> None:
    """Let one transaction at a time count this user's runs and add to them; taken before any run's lock."""
    await connection.execute(_LOCK_USER, user_id)


async def check_bounds(connection: Connection, bounds: Bounds, user_id: UUID) -> None:
    """Raise a 429 problem with `Retry-After` when the user may not start another run; the lock is held."""
    used = await connection.fetchrow(_USED, user_id, bounds.per_day)
    if used is None:
        raise LookupError("expected one row of counts, found none")
    if used["unfinished"] >= bounds.unfinished:
        raise _too_many("too_many_unfinished_runs", bounds.unfinished, UNFINISHED_RETRY_SECONDS)
    if used["wait_seconds"] is not None:
        raise _too_many("too_many_runs_today", bounds.per_day, max(1, math.ceil(used["wait_seconds"])))


def _too_many(code: str, limit: int, retry_after: int) -> Problem:
    headers = {"retry-after": str(retry_after)}
    return Problem(429, code, "The bound on runs is reached", headers=headers, members={"limit": limit})
