"""Owns the archiver's SQL: its jobs and their leases, what an attempt knows, and what is recorded of a stored file."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from libs.common.database import Connection

Kind = Literal["final", "preview"]

ALONE_SECONDS: Final = 60.0  # a put of 8 MB takes less than one; then the job comes back later


@dataclass(frozen=True, slots=True)
class Job:
    """A leased job. `tries` is also the lease's fence: who holds another number has lost it."""

    attempt_id: UUID
    kind: Kind
    segment_id: UUID
    tries: int
    age_seconds: float


@dataclass(frozen=True, slots=True)
class Order:
    """What there is to fetch, and for which segment."""

    attempt_id: UUID
    attempt_no: int
    provider: str
    rank: int
    alive: bool
    facts: Mapping[str, Any]
    segment_id: UUID
    segment_status: str
    plan: Mapping[str, Any]
    metadata: Mapping[str, Any]
    run_id: UUID
    track: str
    locale: str
    segment_index: int
    segments_count: int
    plan_hash: str

    @property
    def final_key(self) -> str:
        return f"runs/{self.run_id}/{self.segment_id}.mp3"

    @property
    def music_key(self) -> str:
        """Of the music alone, where the final is a narrated mix; the attempt's, since the music is."""
        return f"runs/{self.run_id}/{self.segment_id}-music-{self.attempt_no}.mp3"

    @property
    def preview_key(self) -> str:
        return f"previews/{self.segment_id}-{self.attempt_no}.mp3"

    @property
    def take_urls(self) -> tuple[str, ...]:
        return tuple(str(take["url"]) for take in self.facts.get("takes") or () if take.get("url"))


_INSERT: Final = """
INSERT INTO archive_jobs (attempt_id, kind, segment_id)
SELECT a.id, $2, a.segment_id FROM segment_attempts a WHERE a.id = $1
ON CONFLICT DO NOTHING
"""

# The longest due job of a kind. A lease that ran out belongs to a worker that is gone: anybody may take it.
_LEASE: Final = """
WITH due AS (
  SELECT attempt_id, kind FROM archive_jobs
  WHERE kind = $1 AND not_before <= clock_timestamp() AND lease_until <= clock_timestamp()
  ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE archive_jobs j SET lease_until = clock_timestamp() + make_interval(secs => $2), tries = j.tries + 1
FROM due WHERE (j.attempt_id, j.kind) = (due.attempt_id, due.kind)
RETURNING j.attempt_id, j.kind, j.segment_id, j.tries,
          extract(epoch FROM clock_timestamp() - j.created_at)::float8 AS age_seconds
"""

_RENEW: Final = """
UPDATE archive_jobs SET lease_until = clock_timestamp() + make_interval(secs => $4)
WHERE attempt_id = $1 AND kind = $2 AND tries = $3 RETURNING true
"""

_POSTPONE: Final = """
UPDATE archive_jobs SET lease_until = 'epoch', not_before = clock_timestamp() + make_interval(secs => $4)
WHERE attempt_id = $1 AND kind = $2 AND tries = $3
"""

# A try that was never made (the process leaves) is not counted as one; the number is the fence, so it only grows.
_RELEASE: Final = """
UPDATE archive_jobs SET lease_until = 'epoch' WHERE attempt_id = $1 AND kind = $2 AND tries = $3
"""

_ORDER: Final = """
SELECT a.id AS attempt_id, a.attempt_no, a.provider, a.rank, a.alive, a.facts,
       s.id AS segment_id, s.status AS segment_status, s.plan, s.metadata, r.id AS run_id, r.track,
       r.locale, s.segment_index, coalesce(r.plan ->> 'plan_hash', '') AS plan_hash,
       (SELECT count(*) FROM parcours_segments every WHERE every.run_id = r.id)::integer AS segments_count
FROM segment_attempts a JOIN parcours_segments s ON s.id = a.segment_id JOIN parcours_runs r ON r.id = s.run_id
WHERE a.id = $1
"""

# Rank 5 without a job: its event was lost with a broker, or the job with a mistake of ours.
_SWEEP: Final = """
INSERT INTO archive_jobs (attempt_id, kind, segment_id)
SELECT a.id, 'final', a.segment_id
FROM segment_attempts a JOIN parcours_segments s ON s.id = a.segment_id
WHERE a.alive AND a.rank = 5 AND s.status <> 'complete'
  AND coalesce(a.delivered_at, a.news_at, a.dispatched_at) <= clock_timestamp() - make_interval(secs => $1)
  AND NOT EXISTS (SELECT FROM archive_jobs j WHERE j.attempt_id = a.id AND j.kind = 'final')
LIMIT 100
ON CONFLICT DO NOTHING
"""

# Keyed by hash until one of them is stored: a worker whose lease ran out may still win the put with its own bytes.
_CANDIDATE: Final = """
UPDATE segment_attempts
SET sha256 = $2, measures = coalesce(measures, '{}') || jsonb_build_object(encode($2, 'hex'), $3::jsonb)
WHERE id = $1
"""

_STORED: Final = """
UPDATE segment_attempts SET rank = greatest(rank, 6::smallint), sha256 = $2, measures = $3,
  finished_at = coalesce(finished_at, clock_timestamp())
WHERE id = $1
"""

_GIVE_UP: Final = """
UPDATE segment_attempts SET gave_up_rank = 5, error_code = $2, finished_at = coalesce(finished_at, clock_timestamp()),
  measures = CASE WHEN $3::jsonb = '[]' THEN measures
                  ELSE coalesce(measures, '{}') || jsonb_build_object('gate_refused', $3::jsonb) END
WHERE id = $1 AND rank = 5 AND alive RETURNING attempt_no
"""

# The other of two that delivered: its facts stay, and nobody waits for it any more.
_SURPLUS: Final = """
UPDATE segment_attempts SET gave_up_rank = 5, finished_at = coalesce(finished_at, clock_timestamp())
WHERE id = $1 AND rank = 5 AND alive RETURNING true
"""

_OTHER_PREVIEWS: Final = """
INSERT INTO archive_jobs (attempt_id, kind, segment_id)
SELECT id, 'preview', segment_id FROM segment_attempts
WHERE segment_id = $1 AND id <> $2 AND alive AND facts ->> 'preview_url' IS NOT NULL
ON CONFLICT DO NOTHING
"""


@asynccontextmanager
async def alone_with(connection: Connection, segment_id: UUID) -> AsyncIterator[None]:
    """Let one worker at a time store a segment's file; a lock of the session, so a killed worker leaves none.

    Not every S3 server makes `If-None-Match` exact: of concurrent puts more than one may win.
    """
    name = f"archive {segment_id}"
    await connection.execute("SELECT pg_advisory_lock(hashtextextended($1, 0))", name, timeout=ALONE_SECONDS)
    try:
        yield
    finally:
        await connection.execute("SELECT pg_advisory_unlock(hashtextextended($1, 0))", name)


async def insert_job(connection: Connection, attempt_id: UUID, kind: Kind) -> None:
    """Note that an attempt's file is to be fetched; a job that exists stays as it is."""
    await connection.execute(_INSERT, attempt_id, kind)


async def lease_job(connection: Connection, kind: Kind, seconds: float) -> Job | None:
    """Take the oldest due job; it comes back by itself when the lease runs out."""
    row = await connection.fetchrow(_LEASE, kind, seconds)
    return Job(**row) if row is not None else None


async def renew_lease(connection: Connection, job: Job, seconds: float) -> bool:
    """Hold a job longer; false when it is another's or gone."""
    return await connection.fetchval(_RENEW, job.attempt_id, job.kind, job.tries, seconds) is True


async def postpone_job(connection: Connection, job: Job, seconds: float) -> None:
    """Give the lease back; nobody takes the job before `seconds` have passed."""
    await connection.execute(_POSTPONE, job.attempt_id, job.kind, job.tries, seconds)


async def release_job(connection: Connection, job: Job) -> None:
    """Give the lease back at once, for another process."""
    await connection.execute(_RELEASE, job.attempt_id, job.kind, job.tries)


async def delete_job(connection: Connection, job: Job) -> None:
    """Nothing is to be done for this file any more."""
    await connection.execute("DELETE FROM archive_jobs WHERE attempt_id = $1 AND kind = $2", job.attempt_id, job.kind)


async def read_order(connection: Connection, attempt_id: UUID) -> Order | None:
    """What an attempt says, with its segment and run."""
    row = await connection.fetchrow(_ORDER, attempt_id)
    return Order(**row) if row is not None else None


async def sweep_delivered(connection: Connection, seconds: float) -> int:
    """Insert the jobs of delivered attempts that have had none for so long; returns how many."""
    status = await connection.execute(_SWEEP, seconds)
    return int(status.split()[-1])


async def note_candidate(connection: Connection, attempt_id: UUID, sha256: bytes, measures: Mapping[str, Any]) -> None:
    """Commit what is about to be stored, so that an object whose worker died can be recognised."""
    await connection.execute(_CANDIDATE, attempt_id, sha256, dict(measures))


async def read_candidate(
    connection: Connection, segment_id: UUID, attempt_id: UUID, sha256: bytes
) -> Mapping[str, Any] | None:
    """The measures of a file that this attempt of this segment was about to store."""
    found = await connection.fetchval(
        "SELECT measures -> encode($3, 'hex') FROM segment_attempts WHERE id = $2 AND segment_id = $1",
        segment_id,
        attempt_id,
        sha256,
    )
    return found if isinstance(found, Mapping) else None


async def mark_stored(connection: Connection, attempt_id: UUID, sha256: bytes, measures: Mapping[str, Any]) -> None:
    """Rank 6: this attempt's file is the segment's."""
    await connection.execute(_STORED, attempt_id, sha256, dict(measures))


async def lock_segment(connection: Connection, segment_id: UUID) -> None:
    """Lock a segment before its attempts are written: others take the two in this order without the run's lock."""
    await connection.execute("SELECT FROM parcours_segments WHERE id = $1 FOR NO KEY UPDATE", segment_id)


async def give_up_attempt(
    connection: Connection, attempt_id: UUID, code: str, evidence: Sequence[Mapping[str, Any]]
) -> int | None:
    """Stop waiting for this attempt's file; its number, or `None` when it was not waited for any more."""
    number = await connection.fetchval(_GIVE_UP, attempt_id, code, [dict(take) for take in evidence])
    return int(number) if number is not None else None


async def mark_surplus(connection: Connection, attempt_id: UUID) -> bool:
    """Stop waiting for an attempt whose segment another one completed; false when that was done before."""
    return await connection.fetchval(_SURPLUS, attempt_id) is True


async def ask_other_previews(connection: Connection, segment_id: UUID, attempt_id: UUID) -> None:
    """Insert preview jobs for the other live attempts of a segment."""
    await connection.execute(_OTHER_PREVIEWS, segment_id, attempt_id)


async def shown_preview(connection: Connection, segment_id: UUID) -> str | None:
    """The place of the preview that a segment shows."""
    path: str | None = await connection.fetchval(
        "SELECT metadata ->> 'preview_path' FROM parcours_segments WHERE id = $1", segment_id
    )
    return path


async def published_attempt(connection: Connection, segment_id: UUID, preview_path: str) -> UUID | None:
    """The attempt whose preview stands at this path."""
    number = preview_path.removesuffix(".mp3").rpartition("-")[2]
    if not number.isdigit():
        return None
    found: UUID | None = await connection.fetchval(
        "SELECT id FROM segment_attempts WHERE segment_id = $1 AND attempt_no = $2", segment_id, int(number)
    )
    return found
