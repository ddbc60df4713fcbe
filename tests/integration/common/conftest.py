"""What the tests of the core share: an open database, a run with a segment, a small service that consumes."""

import uuid
from collections.abc import AsyncIterator

import pytest

from libs.common.database import Database, open_database

USER = uuid.UUID("00000000-0000-4000-8000-000000000001")


@pytest.fixture
async def opened(database: str) -> AsyncIterator[Database]:
    async with open_database(database, "test", min_size=1) as opened:
        yield opened


@pytest.fixture
async def run_id(opened: Database) -> uuid.UUID:
    """A run in `creating` with one queued segment."""
    async with opened.connection() as connection:
        run_id: uuid.UUID = await connection.fetchval(
            "INSERT INTO parcours_runs (user_id, preset_key) VALUES ($1, 'universel-reset') RETURNING id", USER
        )
        await connection.execute("INSERT INTO parcours_segments (run_id, segment_index) VALUES ($1, 0)", run_id)
    return run_id


@pytest.fixture
async def segment_id(opened: Database, run_id: uuid.UUID) -> uuid.UUID:
    async with opened.connection() as connection:
        segment_id: uuid.UUID = await connection.fetchval(
            "SELECT id FROM parcours_segments WHERE run_id = $1 AND segment_index = 0", run_id
        )
    return segment_id
