"""Create as its own process, killed at its seams, with PostgreSQL, Kafka and a model's server around it."""

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from libs.common import fault_points
from libs.common.fault_points import EXIT_STATUS
from stack.embedded.ports import free_port
from tests.integration.create import desk
from tests.integration.create.desk import counts, start
from tests.integration.create.openai_server import OpenAIServer, good, openai_server, words

ROOT = Path(__file__).parents[3]
WAIT_SECONDS = 60.0
NOWHERE = "127.0.0.1:9"


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not await condition():
            await asyncio.sleep(0.05)


@asynccontextmanager
async def process(
    database: str, **environment: str
) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.subprocess.Process]]:
    """`python -m services.create`, ready; killed in the end if it still lives."""
    port = free_port()
    own = {
        "DATABASE_URL": database,
        "KAFKA_BOOTSTRAP": NOWHERE,
        "SUPABASE_JWT_SECRET": desk.JWT_SECRET,
        "INTERNAL_SECRET": desk.INTERNAL_SECRET,
        "PORT": str(port),
        "TIME_SCALE": "0.05",
        "DRAIN_SECONDS": "5",
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.create", cwd=ROOT, env=os.environ | own | environment
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:

            async def ready() -> bool:
                assert child.returncode is None
                try:
                    return (await client.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(ready)
            yield client, child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


def with_model(server: OpenAIServer, bootstrap: str, prefix: str) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP": bootstrap,
        "KAFKA_PREFIX": prefix,
        "OPENAI_API_KEY": "a-key",
        "OPENAI_BASE_URL": server.url,
        "OPENAI_SECONDS": "2",  # a lease lasts 2.75 s then
    }


@pytest.mark.parametrize("point", ["before_run_commit", "after_run_commit"])
async def test_a_run_that_was_killed_as_it_began_is_one_run_when_asked_for_again(
    database: str, connection: asyncpg.Connection, user_id: uuid.UUID, point: str, tmp_path: Path
) -> None:
    armed = fault_points.arm(tmp_path, point)
    async with process(database, FAULT_POINTS_FOLDER=str(tmp_path)) as (client, child):
        with pytest.raises(httpx.TransportError):
            await start(client, user_id, idempotency_key="once")
        assert await child.wait() == EXIT_STATUS
    assert not armed.exists()
    left = await counts(connection)
    assert left["parcours_runs"] == left["outbox"] == (0 if point == "before_run_commit" else 1)
    async with process(database) as (client, child):
        answer = await start(client, user_id, idempotency_key="once")
        assert answer.status_code == 201
        child.terminate()
        assert await child.wait() == 0
    written = await counts(connection)
    assert (written["parcours_runs"], written["parcours_segments"], written["outbox"]) == (1, 6, 1)
    assert str(await connection.fetchval("SELECT id FROM parcours_runs")) == answer.json()["runId"]


@pytest.mark.parametrize("point", ["after_text_lease", "before_text_commit"])
async def test_words_whose_writer_was_killed_are_written_by_another(
    database: str,
    connection: asyncpg.Connection,
    user_id: uuid.UUID,
    kafka_bootstrap: str,
    topics: str,
    point: str,
    tmp_path: Path,
) -> None:
    fault_points.arm(tmp_path, point)
    async with openai_server(good(6)) as server:
        environment = with_model(server, kafka_bootstrap, topics) | {"FAULT_POINTS_FOLDER": str(tmp_path)}
        async with process(database, **environment) as (client, child):
            told = (await start(client, user_id)).json()
            assert await child.wait() == EXIT_STATUS
        assert await connection.fetchval("SELECT tries FROM text_jobs") == 1
        assert await connection.fetchval("SELECT brief FROM parcours_runs") == told["brief"]
        async with process(database, **environment) as (_client, child):

            async def published() -> bool:
                query = "SELECT count(*) = 2 FROM outbox WHERE published_at IS NOT NULL"
                return await connection.fetchval(query) is True

            await until(published)
            child.terminate()
            assert await child.wait() == 0
        assert len(server.asked) == (1 if point == "after_text_lease" else 2)
    assert await connection.fetchval("SELECT count(*) FROM text_jobs") == 0
    assert await connection.fetchval("SELECT brief FROM parcours_runs") == words(6)["brief"]
    topics_told = [row["topic"] for row in await connection.fetch("SELECT topic FROM outbox ORDER BY id")]
    assert topics_told == ["run.created", "run.enriched"]


async def test_without_an_internal_secret_it_does_not_start(database: str) -> None:
    environment = {"DATABASE_URL": database, "SUPABASE_JWT_SECRET": desk.JWT_SECRET, "INTERNAL_SECRET": ""}
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.create"),
        cwd=ROOT,
        env=os.environ | environment,
        stderr=asyncio.subprocess.PIPE,
    )
    _out, told = await child.communicate()
    assert child.returncode != 0
    assert b"INTERNAL_SECRET: expected a secret, found none" in told
