"""Owns what the archiver's tests share: a web, rows, both stores, and sounds made once."""

import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from libs.common.database import open_database, use_json
from libs.common.objects import open_objects
from libs.common.settings import ObjectSettings
from libs.common.trust import authorities
from services.archiver.clients import composer as continuing
from services.archiver.clients.files import Files
from services.archiver.clients.generator import Generator
from services.archiver.domain.addresses import AllowList
from services.archiver.handlers.tools import Tools
from tests import components
from tests.integration.archiver import web as web_server
from tests.integration.archiver.web import Web
from tests.integration.archiver.world import World
from tests.integration.composer.running import Composer, started
from tests.unit.archiver.sounds import FFMPEG, STREAM, noise


@dataclass(frozen=True)
class Sounds:
    """Bytes of files as providers make them."""

    song: bytes  # 50 s at about -16 LUFS, so that it need not be coded anew
    other: bytes  # 50 s of another take
    short: bytes  # 20 s
    short_other: bytes  # 20 s of another take
    wav: bytes  # 50 s
    stream: bytes  # 20 s without a header, as it comes live


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Sounds:
    folder = tmp_path_factory.mktemp("sounds")
    return Sounds(
        song=noise(folder / "song.mp3", 50, amplitude=0.9).read_bytes(),
        other=noise(folder / "other.mp3", 50, seed=9).read_bytes(),
        short=noise(folder / "short.mp3", 20).read_bytes(),
        short_other=noise(folder / "short-other.mp3", 20, seed=9).read_bytes(),
        wav=noise(folder / "song.wav", 50).read_bytes(),
        stream=noise(folder / "stream.mp3", 20, *STREAM).read_bytes(),
    )


@pytest.fixture(scope="module")
async def composer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Composer]:
    """A real one, and its engine."""
    running = await started(tmp_path_factory.mktemp("composer"), 1)
    yield running
    await running.client.aclose()
    running.process.send_signal(signal.SIGTERM)
    assert await running.process.wait() == 0


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with web_server.serving() as server:
        yield server


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    connection = await asyncpg.connect(database)
    await use_json(connection)
    yield World(connection)
    await connection.close()


@pytest.fixture
def folder_store(tmp_path: Path) -> ObjectSettings:
    return ObjectSettings(object_store="folder", object_folder=tmp_path / "objects")


@pytest.fixture
def s3_store(s3: components.S3) -> ObjectSettings:
    return ObjectSettings(
        object_store="s3",
        s3_endpoint=s3.endpoint,
        s3_access_key=SecretStr(s3.access_key),
        s3_secret_key=SecretStr(s3.secret_key),
        s3_bucket=s3.bucket,
        s3_region=s3.region,
    )


@pytest.fixture
def store_settings(request: pytest.FixtureRequest) -> ObjectSettings:
    """A folder, unless the test asks for `s3_store` by parameter."""
    settings: ObjectSettings = request.getfixturevalue(getattr(request, "param", "folder_store"))
    return settings


@pytest.fixture
async def tools(database: str, web: Web, tmp_path: Path, store_settings: ObjectSettings) -> AsyncIterator[Tools]:
    """An archiver's tools."""
    spool = tmp_path / "spool"
    spool.mkdir()
    async with (
        open_database(database, "archiver", min_size=1) as opened,
        open_objects(store_settings) as objects,
        httpx.AsyncClient(trust_env=False, verify=authorities()) as client,
    ):
        yield Tools(
            database=opened,
            objects=objects,
            files=Files(AllowList.of(("localhost",), (web.origin,))),
            confirm=Generator(client, web.origin, "secret").confirm,
            play_on=continuing.Composer(client, Files(AllowList.of((), (web.origin,))), web.origin, "").play_on,
            ffmpeg=FFMPEG,
            spool=spool,
        )
    assert list(spool.iterdir()) == []  # nothing is left on the disk
