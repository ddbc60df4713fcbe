"""A run from its creation to its end, step by step on a real database."""

import asyncio
import uuid
from datetime import timedelta

import asyncpg
import pytest

from libs.common.database import Database
from tests.integration.callback import rows
from tests.integration.runner.story import become, requested, run_status, step


async def test_a_run_asks_ahead_while_music_plays_and_ends_ready(
    pool: Database, connection: asyncpg.Connection
) -> None:
    run_id, segments = await rows.add_run(connection)
    await step(pool, run_id)
    assert await requested(connection, run_id) == [0]
    for index, segment_id in enumerate(segments):
        await become(pool, segment_id, "generating", "first")
        await step(pool, run_id)
        assert await requested(connection, run_id) == list(range(min(index + 2, 3)))
        await become(pool, segment_id, "complete")
        await step(pool, run_id)
    assert await run_status(connection, run_id) == "ready"
    event = await connection.fetchrow("SELECT topic, payload FROM outbox ORDER BY id DESC LIMIT 1")
    assert event is not None
    payload = event["payload"]
    assert (event["topic"], payload["segments_count"], payload["duration_seconds"]) == ("run.ready", 3, 720.0)
    assert 0 < payload["ttfp_seconds"] <= payload["ready_seconds"] < 60
    run = await rows.row(connection, "parcours_runs", run_id)
    assert run["metadata"]["ttfp_seconds"] == payload["ttfp_seconds"]


async def test_a_request_states_when_it_is_due_and_its_deadline(pool: Database, connection: asyncpg.Connection) -> None:
    run_id, segments = await rows.add_run(connection)
    await step(pool, run_id)
    await become(pool, segments[0], "first")
    await step(pool, run_id)
    run = await rows.row(connection, "parcours_runs", run_id)
    first, second = [await rows.row(connection, "parcours_segments", each) for each in segments[:2]]
    assert first["due_at"] == run["created_at"]
    assert first["deadline_at"] == first["requested_at"] + timedelta(minutes=30)
    heard = await connection.fetchval("SELECT changed_at FROM segment_history WHERE to_status = 'first'")
    assert second["due_at"] == heard + timedelta(seconds=240 - 150)
    assert second["deadline_at"] == second["due_at"] + timedelta(minutes=30)
    event = await connection.fetchval("SELECT payload FROM outbox ORDER BY id LIMIT 1")
    assert event["due_at"] == first["due_at"].isoformat().replace("+00:00", "Z")


async def test_a_users_second_run_is_due_after_the_first(
    pool: Database, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    await rows.add_run(connection, user_id=user_id, age_seconds=60)
    await rows.add_run(connection, age_seconds=60)  # somebody else's
    run_id, segments = await rows.add_run(connection, user_id=user_id)
    await step(pool, run_id)
    run = await rows.row(connection, "parcours_runs", run_id)
    segment = await rows.row(connection, "parcours_segments", segments[0])
    assert segment["due_at"] == run["created_at"] + timedelta(seconds=720)


@pytest.mark.parametrize(("strategy", "expected"), [("ahead", [0]), ("sequential", [0]), ("all", [0, 1, 2])])
async def test_each_strategy_begins_in_its_own_way(
    pool: Database, connection: asyncpg.Connection, strategy: str, expected: list[int]
) -> None:
    run_id, _ = await rows.add_run(connection, strategy=strategy)
    await step(pool, run_id)
    assert await requested(connection, run_id) == expected


async def test_many_runners_at_once_ask_once(pool: Database, connection: asyncpg.Connection) -> None:
    run_id, segments = await rows.add_run(connection)
    await asyncio.gather(*(step(pool, run_id) for _ in range(8)))
    await become(pool, segments[0], "first")
    await asyncio.gather(*(step(pool, run_id) for _ in range(8)))
    assert await requested(connection, run_id) == [0, 1]
    for segment_id in segments:
        await become(pool, segment_id, "complete")
    await asyncio.gather(*(step(pool, run_id) for _ in range(8)))
    assert (await rows.topics(connection)).count("run.ready") == 1


async def test_a_segment_without_a_way_left_fails_the_run_with_its_reason(
    pool: Database, connection: asyncpg.Connection
) -> None:
    run_id, segments = await rows.add_run(connection)
    await step(pool, run_id)
    await become(pool, segments[0], "generating", "failed")
    await step(pool, run_id, error_code="531")
    await step(pool, run_id)
    assert await run_status(connection, run_id) == "failed"
    assert (await rows.topics(connection)).count("run.failed") == 1
    event = await connection.fetchval("SELECT payload FROM outbox ORDER BY id DESC LIMIT 1")
    assert (event["error_code"], event["segments_complete"], event["segments_count"]) == ("531", 0, 3)


async def test_a_reason_that_no_event_told_is_the_last_attempts(pool: Database, connection: asyncpg.Connection) -> None:
    run_id, segments = await rows.add_run(connection)
    attempt = await rows.add_attempt(connection, run_id, segments[0], rank=4)
    await connection.execute("UPDATE segment_attempts SET error_code = '501' WHERE id = $1", attempt.attempt_id)
    await become(pool, segments[0], "failed")
    await step(pool, run_id)
    assert await connection.fetchval("SELECT payload->>'error_code' FROM outbox ORDER BY id DESC LIMIT 1") == "501"


async def test_a_late_success_repairs_a_failed_run(pool: Database, connection: asyncpg.Connection) -> None:
    run_id, segments = await rows.add_run(connection)
    await step(pool, run_id)
    await become(pool, segments[0], "generating", "failed")
    await step(pool, run_id)
    await become(pool, segments[0], "first")
    await step(pool, run_id)
    assert (await run_status(connection, run_id), await requested(connection, run_id)) == ("creating", [0, 1])
    await become(pool, segments[1], "failed")
    await step(pool, run_id)
    for segment_id in segments:
        await become(pool, segment_id, "complete")
    await step(pool, run_id)
    assert await run_status(connection, run_id) == "ready"


async def test_an_erased_run_is_no_error(pool: Database, connection: asyncpg.Connection) -> None:
    await step(pool, uuid.uuid4())
    assert await rows.topics(connection) == []
