"""Owns the gateway tests' fixtures: one database and one gateway for all tests that change nothing for others."""

import secrets
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from libs.common.database import Database, open_database
from tests.integration.gateway import world


@pytest.fixture(scope="session")
async def shared_database(postgres_dsn: str, database_template: str) -> AsyncIterator[str]:
    """The DSN of a database that these tests share: each has users and runs of its own."""
    name = f"parcours_gateway_{secrets.token_hex(4)}"
    server = await asyncpg.connect(postgres_dsn)
    await server.execute(f"CREATE DATABASE {name} TEMPLATE {database_template}")
    yield f"{postgres_dsn.partition('?')[0].rsplit('/', 1)[0]}/{name}"
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()


@pytest.fixture(scope="session")
async def store(shared_database: str) -> AsyncIterator[Database]:
    """A pool of the shared database, named as another service."""
    async with open_database(shared_database, "runner", min_size=1, max_size=4) as opened:
        yield opened


@pytest.fixture(scope="session")
async def shared_peer() -> AsyncIterator[world.Peer]:
    async with world.peer() as served:
        yield served


@pytest.fixture
def behind(shared_peer: world.Peer) -> world.Peer:
    """The services behind, which have heard nothing yet."""
    shared_peer.forget()
    return shared_peer


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gateway") / "objects"


@pytest.fixture(scope="session")
async def shared_edge(shared_database: str, shared_peer: world.Peer, objects: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with world.gateway(world.settings(shared_database, shared_peer, objects)) as client:
        yield client


@pytest.fixture
def edge(shared_edge: httpx.AsyncClient, behind: world.Peer) -> httpx.AsyncClient:
    """A gateway with wide limits, and nothing told to the services behind."""
    del behind
    return shared_edge


@pytest.fixture
def user() -> uuid.UUID:
    return uuid.uuid4()
