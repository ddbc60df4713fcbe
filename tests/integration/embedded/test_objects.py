"""Owns the claims about the embedded S3 server: its keys open it, a restart keeps its objects."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aioboto3
import httpx
import pytest
from botocore.exceptions import ClientError

from stack.embedded import objects
from stack.embedded.errors import EmbeddedError
from stack.embedded.objects import REGION, EmbeddedObjects
from stack.embedded.ports import free_port
from tests.integration.embedded.conftest import Start


def objects_in(folder: Path, secret_key: str = "secret-key") -> EmbeddedObjects:
    return EmbeddedObjects(folder, free_port(), "access", secret_key)


@asynccontextmanager
async def client(server: EmbeddedObjects, secret_key: str) -> AsyncIterator[Any]:
    session = aioboto3.Session("access", secret_key, region_name=REGION)
    async with session.client("s3", endpoint_url=server.endpoint) as opened:
        yield opened


async def test_an_object_survives_a_restart(folder: Path, start: Start) -> None:
    server = objects_in(folder / "objects")
    running = await start(server)
    async with client(server, server.secret_key) as s3:
        await s3.create_bucket(Bucket="tracks")
        await s3.put_object(Bucket="tracks", Key="a/b.mp3", Body=b"sound", Metadata={"attempt": "1"})
    running.stop()
    await start(server)
    async with client(server, server.secret_key) as s3:
        found = await s3.get_object(Bucket="tracks", Key="a/b.mp3")
        assert (await found["Body"].read(), found["Metadata"]) == (b"sound", {"attempt": "1"})


async def test_without_its_keys_nothing_is_given(folder: Path, start: Start) -> None:
    server = objects_in(folder / "objects")
    await start(server)
    async with httpx.AsyncClient(trust_env=False) as anonymous:
        assert (await anonymous.get(server.endpoint)).status_code == 403
    async with client(server, "wrong-key") as s3:
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            await s3.list_buckets()


async def test_two_at_once_do_not_meet(folder: Path, start: Start) -> None:
    one, other = objects_in(folder / "one"), objects_in(folder / "other")
    await start(one)
    await start(other)
    async with client(one, one.secret_key) as s3:
        await s3.create_bucket(Bucket="of-one")
    async with client(other, other.secret_key) as s3:
        assert (await s3.list_buckets())["Buckets"] == []


def test_a_missing_program_names_the_command_that_builds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "versitygw", lambda: tmp_path / "versitygw-v0")
    with pytest.raises(EmbeddedError, match=r"versitygw-v0 is not built here.*make setup-test"):
        objects_in(tmp_path).argv()
