"""What other services do to a run, for the runner's tests: shortly, and by the same guarded statements."""

import uuid
from datetime import timedelta

import asyncpg

from libs.common.database import Database
from libs.common.lifecycle import move_segment
from services.runner.domain.due import Pace
from services.runner.handlers.steps import advance

PACE = Pace(timedelta(seconds=150))


async def step(pool: Database, run_id: uuid.UUID, *, error_code: str | None = None) -> None:
    """What each event of a run leads to."""
    async with pool.transaction() as connection:
        await advance(connection, PACE, run_id, error_code=error_code)


async def become(pool: Database, segment_id: uuid.UUID, *statuses: str) -> None:
    async with pool.transaction() as connection:
        for status in statuses:
            path = f"runs/r/{segment_id}.mp3" if status == "complete" else None
            seconds = 240 if status == "complete" else None
            moved = await move_segment(connection, segment_id, status, storage_path=path, duration_seconds=seconds)
            assert moved is not None, status


async def requested(connection: asyncpg.Connection, run_id: uuid.UUID) -> list[int]:
    """The indexes asked for, in the order of the announcements."""
    found = await connection.fetch(
        "SELECT (payload->>'segment_index')::int AS index FROM outbox WHERE topic = 'segment.requested' AND key = $1 "
        "ORDER BY id",
        run_id,
    )
    return [row["index"] for row in found]


async def run_status(connection: asyncpg.Connection, run_id: uuid.UUID) -> str:
    return str(await connection.fetchval("SELECT status FROM parcours_runs WHERE id = $1", run_id))


async def age(connection: asyncpg.Connection, seconds: float) -> None:
    """Let everything have happened so much earlier."""
    await connection.execute("SET session_replication_role = replica")  # the triggers would set updated_at
    for table, columns in (
        ("parcours_runs", ("created_at", "updated_at", "resumed_at")),
        ("parcours_segments", ("requested_at", "due_at", "deadline_at", "updated_at")),
        ("segment_attempts", ("dispatched_at", "news_at", "finished_at")),
    ):
        earlier = ", ".join(f"{column} = {column} - {seconds} * interval '1 s'" for column in columns)
        await connection.execute(f"UPDATE {table} SET {earlier}")  # noqa: S608 - the tests' own words
    await connection.execute("SET session_replication_role = origin")
