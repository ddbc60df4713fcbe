"""Owns the two stores of the suite: a folder, and a bucket on the real S3 server."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from libs.common.objects import ObjectStore, open_objects
from libs.common.settings import ObjectSettings
from tests import components

Put = Callable[..., Awaitable[None]]


@pytest.fixture
def s3_settings(s3: components.S3) -> ObjectSettings:
    return ObjectSettings(
        object_store="s3",
        s3_endpoint=s3.endpoint,
        s3_access_key=SecretStr(s3.access_key),
        s3_secret_key=SecretStr(s3.secret_key),
        s3_bucket=s3.bucket,
        s3_region=s3.region,
    )


@pytest.fixture(params=["folder", "s3"])
def store_settings(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectSettings:
    if request.param == "s3":
        settings: ObjectSettings = request.getfixturevalue("s3_settings")
        return settings
    return ObjectSettings(object_store="folder", object_folder=tmp_path / "objects")


@pytest.fixture
async def store(store_settings: ObjectSettings) -> AsyncIterator[ObjectStore]:
    async with open_objects(store_settings) as opened:
        yield opened


@pytest.fixture
def put(store: ObjectStore) -> Put:
    """Put with the right hash and everyday values unless the test says otherwise."""

    async def _put(key: str, source: Path | bytes, **changed: object) -> None:
        content = source if isinstance(source, bytes) else await asyncio.to_thread(source.read_bytes)
        values: dict[str, object] = {
            "content_type": "audio/mpeg",
            "sha256": hashlib.sha256(content).digest(),
            "metadata": {},
            "if_absent": True,
        }
        await store.put(key, source, **(values | changed))  # type: ignore[arg-type]  # a test may send what it likes

    return _put
