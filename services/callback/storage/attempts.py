"""Reads what is known of attempts: of many segments at once, or of one attempt that is locked meanwhile."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from libs.common.database import Connection
from services.callback.domain.change import Known
from services.callback.domain.news import Stage

HEARD: Final = {stage: f"heard_{stage}" for stage in Stage}
"""Keys of `facts` that say when an attempt first heard of a stage."""

# `asked` has: place, task_id. A row's xmin changes with each write of it and with no lock.
_KNOWN: Final = f"""
SELECT asked.place, a.id, a.segment_id, s.run_id, a.attempt_no, a.provider, a.token_sha256, a.rank, a.provider_task_id,
       {", ".join(f"a.facts ? '{key}' AS {key}" for key in HEARD.values())},
       s.status, s.requested_at, s.metadata->'surplus_task_ids' AS surplus, r.track, clock_timestamp() AS now,
       a.xmin AS attempt_version, s.xmin AS segment_version,
       a.rank IN (4, 6) AND a.finished_at < clock_timestamp() - $3::interval AS late,
       EXISTS (SELECT FROM segment_attempts o
               WHERE o.provider = a.provider AND o.provider_task_id = asked.task_id AND o.id <> a.id) AS task_taken
"""  # noqa: S608 - this file's own words
_SEGMENTS: Final = " JOIN parcours_segments s ON s.id = a.segment_id JOIN parcours_runs r ON r.id = s.run_id "
_OF_SEGMENTS: Final = (
    _KNOWN
    + "FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS asked (segment_id, task_id, place) "
    + "JOIN segment_attempts a ON a.segment_id = asked.segment_id"
    + _SEGMENTS
    + "ORDER BY asked.place, a.attempt_no"
)
# NO KEY: rows that refer to these (an archive job being inserted) need not wait, which could end in a deadlock.
_ONE_LOCKED: Final = (
    _KNOWN
    + "FROM (SELECT 1 AS place, $2::text AS task_id) asked JOIN segment_attempts a ON a.id = $1"
    + _SEGMENTS
    + "FOR NO KEY UPDATE OF s, a"
)
_SEGMENT: Final = "SELECT segment_id FROM segment_attempts WHERE id = $1"


class Attempt(NamedTuple):
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
    attempt_version: int  # both change with their rows: what was decided on other versions is not written
    segment_version: int
    known: Known


async def of_segments(
    connection: Connection, asked: Sequence[tuple[UUID, str | None]], late_after: timedelta
) -> list[list[Attempt]]:
    """All attempts of each segment, without locks; none for an unknown one. `asked`: segment, task id in its news."""
    found: list[list[Attempt]] = [[] for _ in asked]
    segments, task_ids = [segment for segment, _ in asked], [task_id for _, task_id in asked]
    for row in await connection.fetch(_OF_SEGMENTS, segments, task_ids, late_after):
        found[row["place"] - 1].append(_attempt(row))
    return found


async def locked(
    connection: Connection, attempt_id: UUID, task_id: str | None, late_after: timedelta
) -> Attempt | None:
    """One attempt, its segment and then itself locked; the run's lock is held by then. `None`: it was erased."""
    row = await connection.fetchrow(_ONE_LOCKED, attempt_id, task_id, late_after)
    return None if row is None else _attempt(row)


async def segment_of(connection: Connection, attempt_id: UUID) -> UUID | None:
    """The segment an attempt belongs to; `None` for an unknown attempt."""
    found: UUID | None = await connection.fetchval(_SEGMENT, attempt_id)
    return found


def _attempt(row: asyncpg.Record) -> Attempt:
    known = Known(
        rank=row["rank"],
        heard=frozenset(stage for stage, key in HEARD.items() if row[key]),
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
        attempt_version=row["attempt_version"],
        segment_version=row["segment_version"],
        known=known,
    )
