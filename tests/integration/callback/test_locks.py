"""What a webhook locks while it is heard stands in nobody's way who only refers to it."""

import asyncio

import asyncpg
import httpx

from tests.integration.callback import rows
from tests.integration.callback.webhooks import FRESH, send

WAIT_SECONDS = 20.0


async def test_a_row_that_refers_to_an_attempt_need_not_wait_for_a_webhook_of_it(
    database: str, connection: asyncpg.Connection, client: httpx.AsyncClient, attempt: rows.Attempt
) -> None:
    other = await rows.connect(database)
    async with connection.transaction():  # the generator writes a fact of the attempt: the webhook waits for it
        await connection.execute("UPDATE segment_attempts SET looked_up_at = now() WHERE id = $1", attempt.attempt_id)
        hearing = asyncio.create_task(send(client, attempt, "suno/first"))
        await rows.until_somebody_waits(other)
        # The archiver's job holds the attempt's key and asks for the segment's, which the webhook has locked.
        await other.execute("SET lock_timeout = '2s'")
        await other.execute(
            "INSERT INTO archive_jobs (attempt_id, kind, segment_id) VALUES ($1, 'preview', $2)",
            attempt.attempt_id,
            attempt.segment_id,
        )
    assert await asyncio.wait_for(hearing, WAIT_SECONDS) == FRESH
    await other.close()
