"""Owns the fixtures of the generator's tests: two providers on sockets, a database pool of the test's own."""

from collections.abc import AsyncIterator

import pytest

from libs.common.database import Database, open_database
from tests.integration.generator.rig import Provider, open_provider


@pytest.fixture
async def suno() -> AsyncIterator[Provider]:
    """A provider that stands for the paid one, and for the callback service."""
    async with open_provider() as provider:
        yield provider


@pytest.fixture
async def composer() -> AsyncIterator[Provider]:
    """A provider that stands for ours."""
    async with open_provider() as provider:
        yield provider


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Database]:
    """The test's own eyes on its database."""
    async with open_database(database, "test") as opened:
        yield opened
