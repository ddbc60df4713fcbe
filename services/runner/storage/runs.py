"""The runner's queries about runs and their segments."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from libs.common.database import Connection
from services.runner.domain.due import Listening
from services.runner.domain.steps import Segment

DEFAULT_SECONDS: Final = 240.0  # s; a segment written by hand may lack a plan

_RUN: Final = """
SELECT user_id, status, strategy, track, created_at, metadata, coalesce(resumed_at, created_at) AS begun_at,
       coalesce((metadata->>'resumed_from')::int, 0) AS from_index,
       (plan->>'total_seconds')::float AS total_seconds, clock_timestamp() AS now
FROM parcours_runs WHERE id = $1
"""

_SEGMENTS: Final = """
SELECT id, segment_index, status, requested_at IS NOT NULL AS requested,
       coalesce((plan->>'seconds')::float, $2) AS seconds
FROM parcours_segments WHERE run_id = $1 ORDER BY segment_index
"""

# How many of the user's unfinished runs begin before this one; ties by id.
_RUNS_BEFORE: Final = """
SELECT count(*) FROM parcours_runs
WHERE user_id = $1 AND status = 'creating' AND id <> $2 AND (coalesce(resumed_at, created_at), id) < ($3, $2)
"""

_FIRST_SOUND: Final = """
SELECT min(h.changed_at) FROM segment_history h JOIN parcours_segments s ON s.id = h.segment_id
WHERE s.run_id = $1 AND h.to_status IN ('first', 'complete') AND h.changed_at >= $2
  AND ($3::int IS NULL OR s.segment_index = $3)
"""

_REQUEST: Final = """
UPDATE parcours_segments SET requested_at = $2, due_at = $3, deadline_at = $4
WHERE id = $1 AND ($5 OR requested_at IS NULL) RETURNING true
"""

_RESUMED: Final = """
UPDATE parcours_runs SET resumed_at = $2, metadata = metadata || jsonb_build_object(
  'resumed_from', $3::int, 'resumes', coalesce(metadata->'resumes', '[]') || jsonb_build_array($4::text))
WHERE id = $1
"""

_NOTE_TTFP: Final = """
UPDATE parcours_runs SET metadata = metadata || jsonb_build_object('ttfp_seconds', $2::float)
WHERE id = $1 AND NOT metadata ? 'ttfp_seconds' RETURNING true
"""

_DURATION: Final = "SELECT coalesce(sum(duration_seconds), 0)::float FROM parcours_segments WHERE run_id = $1"

_LAST_ERROR: Final = """
SELECT a.error_code FROM segment_attempts a JOIN parcours_segments s ON s.id = a.segment_id
WHERE s.run_id = $1 AND s.status = 'failed' AND a.error_code IS NOT NULL
ORDER BY a.finished_at DESC NULLS LAST LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Run:
    """A run and its segments as one transaction sees them; times are the database's."""

    id: UUID
    user_id: UUID
    status: str
    strategy: str
    track: str
    created_at: datetime
    begun_at: datetime
    from_index: int
    total_seconds: float
    now: datetime
    metadata: Mapping[str, Any]
    segments: tuple[Segment, ...]

    @property
    def was_asked_for(self) -> bool:
        """Whether any of it was; before that there can be no sound, and no need to look for one."""
        return any(each.requested for each in self.segments)


async def load_run(connection: Connection, run_id: UUID) -> Run | None:
    """Read a run whose lock is held, or `None`."""
    row = await connection.fetchrow(_RUN, run_id)
    if row is None:
        return None
    segments = tuple(
        Segment(each["id"], each["segment_index"], each["status"], each["requested"], each["seconds"])
        for each in await connection.fetch(_SEGMENTS, run_id, DEFAULT_SECONDS)
    )
    planned = row["total_seconds"]
    return Run(
        id=run_id,
        user_id=row["user_id"],
        status=row["status"],
        strategy=row["strategy"],
        track=row["track"],
        created_at=row["created_at"],
        begun_at=row["begun_at"],
        from_index=row["from_index"],
        total_seconds=sum(each.seconds for each in segments) if planned is None else planned,
        now=row["now"],
        metadata=row["metadata"],
        segments=segments,
    )


async def load_listening(connection: Connection, run: Run) -> Listening:
    """When and where the run's person listens."""
    first_sound_at = None
    if run.was_asked_for:
        first_sound_at = await connection.fetchval(_FIRST_SOUND, run.id, run.begun_at, run.from_index)
    return Listening(
        begun_at=run.begun_at,
        from_index=run.from_index,
        first_sound_at=first_sound_at,
        runs_before=await connection.fetchval(_RUNS_BEFORE, run.user_id, run.id, run.begun_at),
        run_seconds=run.total_seconds,
    )


async def first_sound_at(connection: Connection, run: Run) -> datetime | None:
    """When anything of the run could first be played."""
    at: datetime | None = await connection.fetchval(_FIRST_SOUND, run.id, run.created_at, None)
    return at


async def note_ttfp(connection: Connection, run_id: UUID, seconds: float) -> bool:
    """Keep the time to first sound; false when it was known."""
    return await connection.fetchval(_NOTE_TTFP, run_id, seconds) is True


async def request(
    connection: Connection, segment_id: UUID, *, requested_at: datetime, due: datetime, deadline: datetime, again: bool
) -> bool:
    """State when a segment is wanted; once, unless a resume gives it a new budget (`again`)."""
    return await connection.fetchval(_REQUEST, segment_id, requested_at, due, deadline, again) is True


async def note_resume(connection: Connection, run_id: UUID, at: datetime, from_index: int) -> None:
    """Write that a run began anew, for the bounds and for the due times of its segments."""
    await connection.execute(_RESUMED, run_id, at, from_index, at.isoformat())


async def duration_seconds(connection: Connection, run_id: UUID) -> float:
    return float(await connection.fetchval(_DURATION, run_id))


async def last_error(connection: Connection, run_id: UUID) -> str | None:
    """Why the latest attempt of a failed segment failed."""
    code: str | None = await connection.fetchval(_LAST_ERROR, run_id)
    return code


async def run_owner(connection: Connection, run_id: UUID) -> UUID | None:
    owner: UUID | None = await connection.fetchval("SELECT user_id FROM parcours_runs WHERE id = $1", run_id)
    return owner


async def segment_place(connection: Connection, segment_id: UUID) -> tuple[UUID, UUID] | None:
    """The run and the user of a segment."""
    row = await connection.fetchrow(
        "SELECT r.id, r.user_id FROM parcours_segments s JOIN parcours_runs r ON r.id = s.run_id WHERE s.id = $1",
        segment_id,
    )
    return None if row is None else (row["id"], row["user_id"])
