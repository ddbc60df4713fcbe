"""A database of the test's own, create's pool on it, and its routes."""

import uuid
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from libs.common.database import Database, open_database
from tests.integration.callback import rows
from tests.integration.create import desk


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await rows.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Database]:
    async with open_database(database, "create", min_size=1) as opened:
        yield opened


@pytest.fixture
async def client(database: str, pool: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with desk.serving(pool, desk.settings_for(database)) as client:
        yield client


@pytest.fixture
def user_id() -> uuid.UUID:
    return uuid.uuid4()
