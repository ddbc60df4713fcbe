"""Create's SQL: users, idempotency keys, new runs with their segments, text jobs and their leases."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from libs.common.database import Connection
from libs.common.topics import Topic
from services.create.domain.plan import Plan, plan_from_json
from services.create.domain.planned_curve import planned_curve
from services.create.domain.stored_segment import StoredSegment
from services.create.domain.texts import RunTexts, texts_from_json

_TOUCH_USER: Final = """
INSERT INTO users (id, tenant_id) VALUES ($1, $2)
ON CONFLICT (id) DO UPDATE SET tenant_id = excluded.tenant_id, last_seen_at = now()
"""

# A key older than a day is free again, whether or not housekeeping has been by.
_CLAIM_KEY: Final = """
INSERT INTO idempotency_keys (user_id, key, body_sha256, run_id, created_at)
VALUES ($1, $2, $3, $4, clock_timestamp())
ON CONFLICT (user_id, key) DO UPDATE
  SET body_sha256 = excluded.body_sha256, run_id = excluded.run_id, created_at = excluded.created_at
  WHERE idempotency_keys.created_at < clock_timestamp() - interval '24 h'
RETURNING true
"""

_CLAIMED: Final = """
SELECT k.run_id, k.body_sha256, r.plan,
  ARRAY (SELECT s.id FROM parcours_segments s WHERE s.run_id = k.run_id ORDER BY s.segment_index) AS segment_ids
FROM idempotency_keys k LEFT JOIN parcours_runs r ON r.id = k.run_id WHERE k.user_id = $1 AND k.key = $2
"""

_INSERT_RUN: Final = """
INSERT INTO parcours_runs (id, user_id, tenant_id, preset_key, emotion_state, suds_start, locale, strategy, track,
                           brief, plan, metadata)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""

_INSERT_SEGMENT: Final = """
INSERT INTO parcours_segments (id, run_id, segment_index, title, prompt, plan) VALUES ($1, $2, $3, $4, $5, $6)
"""

# A run that is finished, or old (a consumer that begins anew reads a week of news), needs no words any more.
_INSERT_TEXT_JOB: Final = """
INSERT INTO text_jobs (run_id)
SELECT id FROM parcours_runs
WHERE id = $1 AND status = 'creating' AND created_at > clock_timestamp() - interval '1 h'
  AND metadata->>'text_source' = 'template'
ON CONFLICT DO NOTHING
"""

# News of young runs that the group has not heard for $2: with the broker's memory gone, it never will.
_HEAR_UNHEARD: Final = """
INSERT INTO consumer_inbox (group_id, event_id)
SELECT $1, o.event_id FROM outbox o JOIN parcours_runs r ON r.id = o.key
WHERE o.topic = $3 AND o.created_at < clock_timestamp() - make_interval(secs => $2)
  AND o.created_at > clock_timestamp() - interval '1 h'
  AND r.status = 'creating' AND r.metadata->>'text_source' = 'template'
  AND NOT EXISTS (SELECT FROM consumer_inbox i WHERE i.group_id = $1 AND i.event_id = o.event_id)
ON CONFLICT DO NOTHING RETURNING event_id
"""

_RUNS_OF: Final = "SELECT key AS run_id FROM outbox WHERE event_id = ANY ($1)"

_LEASE_TEXT_JOB: Final = """
WITH due AS (
  SELECT run_id FROM text_jobs WHERE lease_until <= clock_timestamp()
  ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE text_jobs j SET lease_until = clock_timestamp() + make_interval(secs => $1), tries = j.tries + 1
FROM due WHERE j.run_id = due.run_id RETURNING j.run_id, j.tries
"""

_WRITE_TEXTS: Final = """
UPDATE parcours_runs SET brief = $2,
  metadata = metadata || jsonb_build_object('texts', $3::jsonb, 'text_source', $4::text)
WHERE id = $1
"""

_REWRITE_SEGMENT: Final = """
UPDATE parcours_segments SET title = $3, prompt = $4, plan = $5
WHERE run_id = $1 AND segment_index = $2 AND requested_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run's row; emotion and score stand in columns of their own and nowhere else."""

    id: UUID
    user_id: UUID
    tenant: str
    emotion_state: str | None
    suds_start: int | None
    strategy: str
    track: str
    plan: Plan
    texts: RunTexts
    narration: bool


@dataclass(frozen=True, slots=True)
class ClaimedKey:
    """What a key was used for; `plan` is None when that run was erased."""

    run_id: UUID
    body_sha256: bytes
    plan: Plan | None
    segment_ids: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class TextJob:
    """A leased job. `tries` is also the lease's fence: who holds another number has lost it."""

    run_id: UUID
    tries: int


@dataclass(frozen=True, slots=True)
class Script:
    """What a model may find words for, and the words there are."""

    plan: Plan
    texts: RunTexts
    narrated: bool


async def touch_user(connection: Connection, user_id: UUID, tenant: str) -> None:
    """Note that this person was here."""
    await connection.execute(_TOUCH_USER, user_id, tenant)


async def claim_key(connection: Connection, user_id: UUID, key: str, body_sha256: bytes, run_id: UUID) -> bool:
    """Bind a key to a run for 24 h; false when it is bound already."""
    return await connection.fetchval(_CLAIM_KEY, user_id, key, body_sha256, run_id) is True


async def find_claimed(connection: Connection, user_id: UUID, key: str) -> ClaimedKey:
    """What a key that is bound stands for."""
    row = await connection.fetchrow(_CLAIMED, user_id, key)
    if row is None:
        raise LookupError("the idempotency key that is bound has gone")
    plan = None if row["plan"] is None else plan_from_json(row["plan"])
    return ClaimedKey(row["run_id"], row["body_sha256"], plan, row["segment_ids"])


async def insert_run(connection: Connection, run: NewRun) -> None:
    """Write a run in `creating`, with the templates' words."""
    await connection.execute(
        _INSERT_RUN,
        run.id,
        run.user_id,
        run.tenant,
        run.plan.preset_key,
        run.emotion_state,
        run.suds_start,
        run.texts.locale,
        run.strategy,
        run.track,
        run.texts.brief,
        run.plan.as_json() | _beside_the_plan(run),
        {"texts": run.texts.as_json(), "text_source": run.texts.source},
    )


def _beside_the_plan(run: NewRun) -> dict[str, Any]:
    """What readers of the row want beside the plan; no part of it, nor of its hash."""
    plan = run.plan
    return {"segments_count": len(plan.segments), "curve": planned_curve(plan), "narration": run.narration}


async def insert_segments(
    connection: Connection, run_id: UUID, ids: Sequence[UUID], segments: Sequence[StoredSegment]
) -> None:
    """Write a run's segments, `queued` and not yet requested."""
    rows = [
        (segment_id, run_id, each.index, each.title, each.prompt, each.plan)
        for segment_id, each in zip(ids, segments, strict=True)
    ]
    await connection.executemany(_INSERT_SEGMENT, rows)


async def insert_text_job(connection: Connection, run_id: UUID) -> None:
    """Note that a young run's words may be improved; a job that exists stays as it is."""
    await connection.execute(_INSERT_TEXT_JOB, run_id)


async def hear_unheard(connection: Connection, group: str, seconds: float) -> list[UUID]:
    """Runs whose news came to nobody of the group for so long; from now on it counts as received."""
    events = [row["event_id"] for row in await connection.fetch(_HEAR_UNHEARD, group, seconds, Topic.RUN_CREATED)]
    return [row["run_id"] for row in await connection.fetch(_RUNS_OF, events)]


async def lease_text_job(connection: Connection, seconds: float) -> TextJob | None:
    """Take the oldest job that nobody holds; it comes back by itself when the lease runs out."""
    row = await connection.fetchrow(_LEASE_TEXT_JOB, seconds)
    return None if row is None else TextJob(row["run_id"], row["tries"])


async def finish_text_job(connection: Connection, job: TextJob) -> bool:
    """Delete a job; false when it is another's by now, or done."""
    deleted = "DELETE FROM text_jobs WHERE run_id = $1 AND tries = $2 RETURNING true"
    return await connection.fetchval(deleted, job.run_id, job.tries) is True


async def read_script(connection: Connection, run_id: UUID) -> Script | None:
    """A run's plan and words; `None` when it was erased or was not written by create."""
    row = await connection.fetchrow("SELECT plan, metadata->'texts' AS texts FROM parcours_runs WHERE id = $1", run_id)
    if row is None or row["texts"] is None:
        return None
    narrated = row["plan"].get("narration") is True
    return Script(plan_from_json(row["plan"]), texts_from_json(row["texts"]), narrated)


async def unrequested_indexes(connection: Connection, run_id: UUID) -> frozenset[int]:
    """Segments that nobody was asked for; holds while the run's lock is held."""
    query = "SELECT segment_index FROM parcours_segments WHERE run_id = $1 AND requested_at IS NULL"
    return frozenset(row["segment_index"] for row in await connection.fetch(query, run_id))


async def write_texts(connection: Connection, run_id: UUID, texts: RunTexts) -> None:
    """Replace a run's words."""
    await connection.execute(_WRITE_TEXTS, run_id, texts.brief, texts.as_json(), texts.source)


async def rewrite_segment(connection: Connection, run_id: UUID, segment: StoredSegment) -> None:
    """Replace what will be asked for; a segment that was requested meanwhile stays as it is."""
    await connection.execute(_REWRITE_SEGMENT, run_id, segment.index, segment.title, segment.prompt, segment.plan)


async def retitle_segment(connection: Connection, run_id: UUID, index: int, title: str) -> None:
    """Replace the title alone."""
    query = "UPDATE parcours_segments SET title = $3 WHERE run_id = $1 AND segment_index = $2"
    await connection.execute(query, run_id, index, title)
