"""A callback on a database of the test's own, and one attempt that waits for news."""

from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from services.callback.app import make_app
from services.callback.settings import Settings
from tests.integration.callback import rows

SECRET = "a-service-secret"


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await rows.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def attempt(connection: asyncpg.Connection) -> rows.Attempt:
    run_id, segments = await rows.add_run(connection)
    return await rows.add_attempt(connection, run_id, segments[0])


@pytest.fixture
async def client(database: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(
        database_url=SecretStr(database), internal_secret=SecretStr(SECRET), callback_simple_dialect=True
    )
    async with rows.serving(make_app(settings)) as client:
        yield client
