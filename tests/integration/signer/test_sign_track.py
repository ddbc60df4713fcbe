"""Signing through the whole service on a real database, and on a real S3 server with `MEDIA_MODE=direct`."""

import hashlib
import time
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from libs.common.identity import issue
from libs.common.objects import open_objects
from libs.common.signing import MediaSigner
from services.signer.app import make_app
from services.signer.settings import Settings
from tests import components
from tests.integration.callback import rows

JWT_SECRET = "a-secret-of-at-least-thirty-two-bytes"
KEYS = "k1:" + "ab" * 32
OWNER = uuid.uuid4()


def settings_for(database: str, **more: Any) -> Settings:
    return Settings(
        database_url=SecretStr(database),
        supabase_jwt_secret=SecretStr(JWT_SECRET),
        supabase_anon_key=SecretStr("an-anon-key"),
        media_signing_keys=SecretStr(KEYS),
        public_url="https://journey.example/",
        **more,
    )


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await rows.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def segment(connection: asyncpg.Connection) -> tuple[uuid.UUID, uuid.UUID]:
    run_id, segments = await rows.add_run(connection, user_id=OWNER)
    return run_id, segments[0]


@pytest.fixture
async def client(database: str) -> AsyncIterator[httpx.AsyncClient]:
    async with rows.serving(make_app(settings_for(database))) as client:
        yield client


async def complete(connection: asyncpg.Connection, run_id: uuid.UUID, segment_id: uuid.UUID) -> str:
    key = f"runs/{run_id}/{segment_id}.mp3"
    await connection.execute(
        "UPDATE parcours_segments SET status = 'complete', storage_path = $2 WHERE id = $1", segment_id, key
    )
    return key


async def ask(client: httpx.AsyncClient, segment_id: object, user_id: uuid.UUID | None) -> httpx.Response:
    headers = {"authorization": f"Bearer {issue(JWT_SECRET, user_id)}"} if user_id else {}
    return await client.post("/sign-track", json={"segmentId": str(segment_id)}, headers=headers)


async def test_the_owner_gets_an_address_that_opens_this_file_for_an_hour(
    client: httpx.AsyncClient, connection: asyncpg.Connection, segment: tuple[uuid.UUID, uuid.UUID]
) -> None:
    key = await complete(connection, *segment)
    answer = await ask(client, segment[1], OWNER)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    address = urlsplit(answer.json()["url"])
    assert (address.scheme, address.netloc) == ("https", "journey.example")
    assert address.path == f"/media/parcours-tracks/{key}"
    expires_at = MediaSigner({"k1": bytes.fromhex("ab" * 32)}).verify(key, parse_qs(address.query)["token"][0])
    assert abs(expires_at - (time.time() + 3600)) < 30
    assert answer.json()["expiresAt"].endswith("Z")
    assert datetime.fromisoformat(answer.json()["expiresAt"]).timestamp() == expires_at


async def test_each_refusal_has_its_status_and_ownership_comes_before_state(
    client: httpx.AsyncClient, connection: asyncpg.Connection, segment: tuple[uuid.UUID, uuid.UUID]
) -> None:
    async def status(segment_id: object, user_id: uuid.UUID | None) -> int:
        answer = await ask(client, segment_id, user_id)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["cache-control"] == "no-store"
        return answer.status_code

    stranger = uuid.uuid4()
    assert await status("not-a-uuid", OWNER) == 400
    assert await status(segment[1], None) == 401
    assert await status(uuid.uuid4(), OWNER) == 404
    assert await status(segment[1], stranger) == 403
    assert await status(segment[1], OWNER) == 409
    await complete(connection, *segment)
    assert await status(segment[1], stranger) == 403
    assert await status(segment[1], None) == 401
    page = (await client.get("/metrics")).text
    assert 'sign_requests_total{code="403",method="POST",route="/sign-track",service="signer"' in page


@pytest.mark.parametrize("bearer", ["an-anon-key", "rubbish", "", "a.b.c"])
async def test_an_api_key_or_rubbish_is_no_user(
    client: httpx.AsyncClient, segment: tuple[uuid.UUID, uuid.UUID], bearer: str
) -> None:
    answer = await client.post(
        "/sign-track", json={"segmentId": str(segment[1])}, headers={"authorization": f"Bearer {bearer}"}
    )
    assert answer.status_code == 401


async def test_an_operator_may_not_sign_anothers_segment(
    client: httpx.AsyncClient, connection: asyncpg.Connection, segment: tuple[uuid.UUID, uuid.UUID]
) -> None:
    await complete(connection, *segment)
    token = issue(JWT_SECRET, uuid.uuid4(), ["operator"])
    answer = await client.post(
        "/sign-track", json={"segmentId": str(segment[1])}, headers={"authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 403


async def test_the_buckets_own_address_opens_the_file_where_bytes_come_directly(
    database: str, connection: asyncpg.Connection, segment: tuple[uuid.UUID, uuid.UUID], s3: components.S3
) -> None:
    key = await complete(connection, *segment)
    settings = settings_for(
        database,
        media_mode="direct",
        object_store="s3",
        s3_endpoint=s3.endpoint,
        s3_access_key=SecretStr(s3.access_key),
        s3_secret_key=SecretStr(s3.secret_key),
        s3_region=s3.region,
        s3_bucket=s3.bucket,
    )
    audio = b"\xff\xfb" + bytes(1000)
    async with open_objects(settings) as store:
        sha256 = hashlib.sha256(audio).digest()
        await store.put(key, audio, content_type="audio/mpeg", sha256=sha256, metadata={}, if_absent=True)
    async with rows.serving(make_app(settings)) as client:
        url = (await ask(client, segment[1], OWNER)).json()["url"]
        assert (await ask(client, segment[1], uuid.uuid4())).status_code == 403
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(url)
        assert (answer.content, answer.headers["content-type"]) == (audio, "audio/mpeg")
        assert (await browser.get(url.partition("?")[0])).status_code == 403
