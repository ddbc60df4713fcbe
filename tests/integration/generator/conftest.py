"""Owns the fixtures of the generator's tests: providers on sockets, whole platforms around them, a database pool."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.common.database import Database, open_database
from tests.integration.generator.rig import Provider, open_provider
from tests.integration.generator.signed import Play, opened
from tests.integration.generator.whole import own_database
from tests.unit.archiver.sounds import noise


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
    async with open_database(database, "test", min_size=1) as opened:
        yield opened


# --- a signed provider and its platform, one for all tests of a file ---


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the simulators cut their files from."""
    return noise(tmp_path_factory.mktemp("simulated") / "song.mp3", 60)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
async def fal_play(
    postgres_dsn: str, database_template: str, song: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Play]:
    async with (
        own_database(postgres_dsn, database_template) as dsn,
        opened("fal", dsn, song, tmp_path_factory.mktemp("fal")) as play,
    ):
        yield play


@pytest.fixture(scope="module")
async def replicate_play(
    postgres_dsn: str, database_template: str, song: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Play]:
    async with (
        own_database(postgres_dsn, database_template) as dsn,
        opened("replicate", dsn, song, tmp_path_factory.mktemp("replicate")) as play,
    ):
        yield play


@pytest.fixture
def shared(name: str, request: pytest.FixtureRequest) -> Play:
    """The platform of that provider, one for all tests of this file."""
    found: Play = request.getfixturevalue(f"{name}_play")
    return found


@pytest.fixture
async def play(shared: Play) -> Play:
    shared.simulator.reset()
    shared.composer.heard.clear()
    await shared.whole.begin_anew()
    return shared
