"""What the sweeps do when messages were lost, and what they leave alone."""

import asyncio
import random
import uuid

import asyncpg
import pytest

from libs.common.database import Database
from services.runner.domain.due import Pace
from services.runner.domain.steps import next_step
from services.runner.handlers.tidy import UNCHANGED, Tidiness, measure, prune, tidy
from services.runner.storage import runs, sweeps
from tests.integration.callback import rows
from tests.integration.runner.story import age, become, requested, run_status, step


@pytest.fixture
def tidiness(pace: Pace) -> Tidiness:
    return Tidiness(pace)


async def test_a_run_whose_first_message_was_lost_begins_after_a_minute(
    pool: Database, connection: asyncpg.Connection, tidiness: Tidiness
) -> None:
    run_id, _ = await rows.add_run(connection)
    await tidy(pool, tidiness)
    assert await requested(connection, run_id) == []
    await age(connection, 61)
    await asyncio.gather(*(tidy(pool, tidiness) for _ in range(3)))
    assert await requested(connection, run_id) == [0]


async def test_a_segment_that_everybody_forgot_is_asked_for_again_once_a_minute(
    pool: Database, connection: asyncpg.Connection, tidiness: Tidiness
) -> None:
    run_id, segments = await rows.add_run(connection)
    await step(pool, run_id)
    before = await rows.row(connection, "parcours_segments", segments[0])
    await age(connection, 61)
    await asyncio.gather(*(tidy(pool, tidiness) for _ in range(3)))
    await tidy(pool, tidiness)
    assert await requested(connection, run_id) == [0, 0]
    after = await rows.row(connection, "parcours_segments", segments[0])
    assert (before["requested_at"] - after["requested_at"]).total_seconds() == 61  # no larger budget


@pytest.mark.parametrize("kept_by", ["queue", "attempt", "news"])
async def test_a_segment_somebody_works_at_is_left_alone(
    pool: Database, connection: asyncpg.Connection, tidiness: Tidiness, kept_by: str
) -> None:
    run_id, segments = await rows.add_run(connection)
    await step(pool, run_id)
    if kept_by == "queue":
        await connection.execute(
            """INSERT INTO generation_queue (segment_id, run_id, user_id, track, provider, due_at, segment_index)
            VALUES ($1, $2, gen_random_uuid(), 'stable', 'suno', now(), 0)""",
            segments[0],
            run_id,
        )
    if kept_by == "attempt":
        await rows.add_attempt(connection, run_id, segments[0])
    await age(connection, 3600)
    if kept_by == "news":  # it failed a moment ago; the generator's consumer is about to hear of it
        await connection.execute("UPDATE parcours_segments SET deadline_at = now() + interval '1 min'")
        await age(connection, 61)
        attempt = await rows.add_attempt(connection, run_id, segments[0], rank=4)
        await connection.execute("UPDATE segment_attempts SET finished_at = now() WHERE id = $1", attempt.attempt_id)
    await tidy(pool, tidiness)
    assert await requested(connection, run_id) == [0]


async def test_past_its_deadline_a_forgotten_segment_fails_and_so_does_its_run(
    pool: Database, connection: asyncpg.Connection, tidiness: Tidiness
) -> None:
    run_id, segments = await rows.add_run(connection)
    await step(pool, run_id)
    await rows.add_attempt(connection, run_id, segments[0], rank=4)
    await age(connection, 1801)
    await asyncio.gather(*(tidy(pool, tidiness) for _ in range(3)))
    assert (await rows.row(connection, "parcours_segments", segments[0]))["status"] == "failed"
    assert await run_status(connection, run_id) == "failed"
    assert await rows.topics(connection) == ["segment.requested", "segment.failed", "run.failed"]
    verdict = await connection.fetchval("SELECT payload FROM outbox WHERE topic = 'segment.failed'")
    assert (verdict["retryable"], verdict["error_code"], verdict["attempt_id"]) == (False, "deadline_passed", None)
    assert await connection.fetchval("SELECT payload->>'error_code' FROM outbox ORDER BY id DESC") == "deadline_passed"


@pytest.mark.parametrize("states", [("complete", "complete"), ("complete", "failed"), ("first", "queued")])
async def test_a_lost_piece_of_news_is_made_up_for(
    pool: Database, connection: asyncpg.Connection, tidiness: Tidiness, states: tuple[str, ...]
) -> None:
    run_id, segments = await rows.add_run(connection, seconds=(240, 240))
    await step(pool, run_id)
    for segment_id, state in zip(segments, states, strict=True):
        if state != "queued":
            await become(pool, segment_id, state)
    await age(connection, 61)
    await tidy(pool, tidiness)
    expected = {"complete": "ready", "failed": "failed", "queued": "creating"}[states[1]]
    assert await run_status(connection, run_id) == expected
    assert 1 in await requested(connection, run_id) or states[1] != "queued"


async def test_a_repaired_run_whose_news_was_lost_is_made_again(
    pool: Database, connection: asyncpg.Connection, tidiness: Tidiness
) -> None:
    run_id, segments = await rows.add_run(connection, seconds=(240,))
    await become(pool, segments[0], "failed")
    await step(pool, run_id)
    await become(pool, segments[0], "complete")
    await age(connection, 61)
    await tidy(pool, tidiness)
    assert await run_status(connection, run_id) == "ready"


async def test_the_sweep_finds_exactly_the_runs_whose_rows_call_for_a_step(connection: asyncpg.Connection) -> None:
    chance = random.Random(20261121)
    for _ in range(150):
        status, strategy = chance.choice(["creating", "failed"]), chance.choice(["ahead", "sequential", "all"])
        run_id, segments = await rows.add_run(
            connection, status=status, strategy=strategy, seconds=(240,) * chance.randint(0, 4)
        )
        for segment_id in segments:
            state = chance.choice(["queued", "queued", "asked", "generating", "first", "complete", "failed"])
            await connection.execute(
                """UPDATE parcours_segments SET status = $2, requested_at = CASE WHEN $3 THEN now() END,
                storage_path = CASE WHEN $2 = 'complete' THEN 'x' END WHERE id = $1""",
                segment_id,
                "queued" if state == "asked" else state,
                state != "queued",
            )
    await age(connection, 61)
    expected: set[uuid.UUID] = set()
    for run_id in [row["id"] for row in await connection.fetch("SELECT id FROM parcours_runs")]:
        run = await runs.load_run(connection, run_id)
        assert run is not None
        step_due = next_step(run.status, run.strategy, run.segments)
        if not step_due.nothing:
            expected.add(run_id)
    assert 20 < len(expected) < 130
    found: set[uuid.UUID] = set()
    while batch := await sweeps.waiting_runs(connection, UNCHANGED):
        found |= set(batch)
        await connection.execute("DELETE FROM parcours_runs WHERE id = ANY ($1)", batch)
    assert found == expected


async def test_old_rows_are_pruned_and_unpublished_news_is_kept(pool: Database, connection: asyncpg.Connection) -> None:
    run_id, segments = await rows.add_run(connection)
    attempt = await rows.add_attempt(connection, run_id, segments[0])
    for days in (6, 9, 31):
        await connection.execute(
            """WITH at AS (SELECT now() - $1 * interval '1 day' AS t),
            o AS (INSERT INTO outbox (topic, key, payload, created_at, published_at)
                  SELECT 'run.created', $2::uuid, '{}'::jsonb, t, done FROM at, (VALUES (now()), (NULL)) p(done)),
            k AS (INSERT INTO idempotency_keys SELECT gen_random_uuid(), 'k', '', $2::uuid, t FROM at),
            w AS (INSERT INTO webhook_inbox (attempt_id, dialect, stage, verdict, payload, received_at)
                  SELECT $3::uuid, 'suno', 'text', 'accepted', '', t FROM at),
            d AS (INSERT INTO dead_letters (group_id, topic, kafka_partition, kafka_offset, deliveries, reason,
                                            first_failed_at, replayed_at)
                  SELECT 'g', 't', n, $1, 5, 'r', t, CASE n WHEN 0 THEN t END FROM at, (VALUES (0), (1)) p(n)),
            c AS (INSERT INTO provider_calls (provider, account, operation, called_at, outcome)
                  SELECT 'suno', 'suno-1', 'generate', t, 'ok' FROM at)
            INSERT INTO consumer_inbox SELECT 'g', gen_random_uuid(), t FROM at""",
            days,
            run_id,
            attempt.attempt_id,
        )
    assert not await prune(pool)
    counts = {
        table: await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - names of this test
        for table in ("outbox", "idempotency_keys", "webhook_inbox", "provider_calls", "consumer_inbox", "dead_letters")
    }
    assert counts == {
        "outbox": 4,
        "idempotency_keys": 0,
        "webhook_inbox": 2,
        "provider_calls": 2,
        "consumer_inbox": 1,
        "dead_letters": 5,  # replayed 6 and 9 days ago, and three that nobody has replayed
    }


async def test_the_gauges_are_read_from_the_rows(
    pool: Database, connection: asyncpg.Connection, tidiness: Tidiness
) -> None:
    run_id, segments = await rows.add_run(connection, age_seconds=3600)
    await rows.add_attempt(connection, run_id, segments[0])
    await age(connection, 400)
    await measure(pool, tidiness)
    found = {each.track: each for each in await sweeps.gauges(connection, UNCHANGED * 30, UNCHANGED * 5)}
    assert (found["stable"].stuck, found["stable"].silent, found["canary"].stuck) == (1, 1, 0)
    assert found["stable"].oldest_seconds >= 4000
