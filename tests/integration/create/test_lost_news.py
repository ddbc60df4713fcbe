"""A run whose news never reached create, with a broker that lost its memory: the sweep does what the message would."""

import uuid

import asyncpg
import httpx

from libs.common.database import Database
from services.create.domain.errors import NoWordsError
from services.create.domain.prompt import Prompt
from services.create.handlers.words import begin_unheard, enrich_one
from tests.integration.create.desk import start


class Silent:
    """A model that is always away."""

    async def write(self, prompt: Prompt) -> object:
        del prompt
        raise NoWordsError("unreachable")


async def test_news_that_never_came_is_made_good_once_and_not_repeated_when_it_comes_late(
    pool: Database, connection: asyncpg.Connection, client: httpx.AsyncClient, user_id: uuid.UUID
) -> None:
    run_id = uuid.UUID((await start(client, user_id)).json()["runId"])
    assert await begin_unheard(pool, "create", seconds=30) == 0, "it may still come"
    assert await begin_unheard(pool, "create", seconds=0) == 1
    assert await connection.fetchval("SELECT run_id FROM text_jobs") == run_id
    assert await enrich_one(pool, Silent(), lease_seconds=30)
    assert await begin_unheard(pool, "create", seconds=0) == 0, "the model had nothing to say; it is not asked again"
    assert await connection.fetchval("SELECT count(*) FROM text_jobs") == 0
    received = await connection.fetchval(
        "SELECT count(*) FROM consumer_inbox JOIN outbox USING (event_id) WHERE group_id = 'create' AND key = $1",
        run_id,
    )
    assert received == 1, "the message itself, should it come, is one that was done before"


async def test_news_that_was_heard_and_old_runs_are_left_alone(
    pool: Database, connection: asyncpg.Connection, client: httpx.AsyncClient, user_id: uuid.UUID
) -> None:
    await start(client, user_id)
    await connection.execute("INSERT INTO consumer_inbox (group_id, event_id) SELECT 'create', event_id FROM outbox")
    assert await begin_unheard(pool, "create", seconds=0) == 0
    await connection.execute("DELETE FROM consumer_inbox")
    await connection.execute("UPDATE outbox SET created_at = created_at - interval '2 h'")
    assert await begin_unheard(pool, "create", seconds=0) == 0
    assert await connection.fetchval("SELECT count(*) FROM text_jobs") == 0
