"""A database of the test's own, with a pool as the runner has it."""

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from libs.common.database import Database, open_database
from services.runner.domain.due import Pace
from tests.integration.callback import rows


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await rows.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Database]:
    async with open_database(database, "runner", min_size=1) as opened:
        yield opened


@pytest.fixture
def pace() -> Pace:
    return Pace(timedelta(seconds=150))


@pytest.fixture
def user_id() -> uuid.UUID:
    return uuid.uuid4()
