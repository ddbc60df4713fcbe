"""Owns the gateway tests' fixtures: a pool to write with, a service behind, one gateway."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from libs.common.database import Database, open_database
from tests.integration.gateway import world


@pytest.fixture
async def store(database: str) -> AsyncIterator[Database]:
    """The test's own pool, named as another service."""
    async with open_database(database, "runner", min_size=1, max_size=4) as opened:
        yield opened


@pytest.fixture
async def behind() -> AsyncIterator[world.Peer]:
    async with world.peer() as served:
        yield served


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
async def edge(database: str, behind: world.Peer, objects: Path) -> AsyncIterator[httpx.AsyncClient]:
    """One gateway with wide limits."""
    async with world.gateway(world.settings(database, behind, objects)) as client:
        yield client


@pytest.fixture
def user() -> uuid.UUID:
    return uuid.uuid4()
