"""The running service: events in through Kafka, requests out through the outbox and the relay."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import asyncpg
from pydantic import SecretStr

from libs.common.database import Channel, Database
from libs.common.events import RunCreated, SegmentFailed, SegmentFirst
from libs.common.lifecycle import lock_run, move_segment
from libs.common.outbox import announce
from services.runner.app import make_app
from services.runner.settings import Settings
from tests.integration.callback import rows
from tests.integration.runner.story import become, requested, run_status


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(40):
        while not await condition():
            await asyncio.sleep(0.05)


async def test_two_runners_follow_a_run_through_kafka(
    database: str, pool: Database, connection: asyncpg.Connection, kafka_bootstrap: str, topics: str
) -> None:
    settings = Settings(
        database_url=SecretStr(database),
        kafka_bootstrap=kafka_bootstrap,
        kafka_prefix=topics,
        supabase_jwt_secret=SecretStr("a-secret-of-at-least-thirty-two-bytes"),
    )
    run_id, segments = await rows.add_run(connection)
    async with rows.serving(make_app(settings)) as client, rows.serving(make_app(settings)):
        await tell_created(pool, run_id)
        await until(lambda: asked(connection, run_id, [0]))
        assert (await client.get("/readyz")).status_code == 200
        await tell_first(pool, run_id, segments[0])
        await until(lambda: asked(connection, run_id, [0, 1]))
        await become(pool, segments[1], "failed")
        await tell_failed(pool, run_id, segments[1])
        await until(lambda: has_status(connection, run_id, "failed"))
        await until(lambda: all_published(connection))
    assert await requested(connection, run_id) == [0, 1]


async def all_published(connection: asyncpg.Connection) -> bool:
    return bool(await connection.fetchval("SELECT count(*) = 0 FROM outbox WHERE published_at IS NULL"))


async def asked(connection: asyncpg.Connection, run_id: uuid.UUID, indexes: list[int]) -> bool:
    return await requested(connection, run_id) == indexes


async def has_status(connection: asyncpg.Connection, run_id: uuid.UUID, status: str) -> bool:
    return await run_status(connection, run_id) == status


async def tell_created(pool: Database, run_id: uuid.UUID) -> None:
    async with pool.transaction(Channel.OUTBOX) as connection:
        await lock_run(connection, run_id)
        event = RunCreated(run_id=run_id, preset_key="panique-anxiete", strategy="ahead", segments_count=3)
        await announce(connection, event)


async def tell_first(pool: Database, run_id: uuid.UUID, segment_id: uuid.UUID) -> None:
    async with pool.transaction(Channel.OUTBOX) as connection:
        await lock_run(connection, run_id)
        await move_segment(connection, segment_id, "first")
        await announce(connection, SegmentFirst(run_id=run_id, segment_id=segment_id, attempt_id=uuid.uuid4()))


async def tell_failed(pool: Database, run_id: uuid.UUID, segment_id: uuid.UUID) -> None:
    async with pool.transaction(Channel.OUTBOX) as connection:
        await lock_run(connection, run_id)
        event = SegmentFailed(
            run_id=run_id, segment_id=segment_id, attempt_id=None, attempt_no=None, error_code="x", retryable=False
        )
        await announce(connection, event)
