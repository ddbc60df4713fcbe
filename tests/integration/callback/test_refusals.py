"""What the callback refuses, and what it does when its database is away."""

import uuid
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from services.callback.app import make_app
from services.callback.settings import Settings
from tests.integration.callback import rows
from tests.integration.callback.cable import Cable
from tests.integration.callback.rows import Attempt
from tests.integration.callback.webhooks import FRESH, SKIPPED, body, send

SECRET = {"x-internal-secret": "a-service-secret"}


async def test_only_the_own_segments_token_opens(
    client: httpx.AsyncClient, connection: asyncpg.Connection, attempt: Attempt
) -> None:
    run_id, segments = await rows.add_run(connection)
    other = await rows.add_attempt(connection, run_id, segments[0])
    before = await rows.everything(connection)
    queries: list[dict[str, Any]] = [
        {"segment": str(attempt.segment_id), "token": str(other.token)},
        {"segment": str(attempt.segment_id), "token": str(uuid.uuid4())},
        {"segment": str(uuid.uuid4()), "token": str(attempt.token)},
        {"segment": str(attempt.segment_id)},
        {"token": str(attempt.token)},
        {},
        {"segment": str(attempt.segment_id), "token": "None"},
        {"segment": "'; DROP TABLE users; --", "token": str(attempt.token)},
        {"segment": str(attempt.segment_id), "token": [str(attempt.token), str(uuid.uuid4())]},
        {"segment": str(attempt.segment_id), "token": "{" + str(attempt.token) + "}"},
        {"segment": str(attempt.segment_id), "token": "é" * 36},
        attempt.query | {str(number): "x" for number in range(9)},
    ]
    answers = [await client.post("/callback", params=query, content=body("suno/first")) for query in queries]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert await rows.everything(connection) == before


async def test_a_body_in_no_dialect_is_400_and_an_oversized_or_encoded_one_refused(
    client: httpx.AsyncClient, connection: asyncpg.Connection, attempt: Attempt
) -> None:
    before = await rows.everything(connection)

    async def status(content: bytes, **headers: str) -> int:
        answer = await client.post("/callback", params=attempt.query, content=content, headers=headers)
        assert answer.headers["content-type"] == "application/problem+json"
        return answer.status_code

    assert await status(b"{}") == 400
    assert await status(b"") == 400
    assert await status(b" " * 65_537) == 413
    assert await status(body("suno/first"), **{"content-encoding": "gzip"}) == 415
    assert await rows.everything(connection) == before
    assert (await client.get("/callback")).status_code == 405
    metrics = (await client.get("/metrics")).text
    assert (
        'callback_requests_total{service="callback",track="stable",verdict="too_large",version="0.1.0"} 1.0' in metrics
    )
    assert 'verdict="malformed",version="0.1.0"} 3.0' in metrics


async def test_the_simple_dialect_is_refused_where_it_is_off(database: str, attempt: Attempt) -> None:
    async with rows.serving(make_app(Settings(database_url=SecretStr(database)))) as client:
        answer = await client.post("/callback", params=attempt.query, content=body("simple/first"))
        assert answer.status_code == 400
        answer = await client.post("/callback", params=attempt.query, content=body("suno/first"))
        assert answer.json() == FRESH


async def test_a_database_that_is_away_is_503_and_the_provider_may_come_again(
    database: str, connection: asyncpg.Connection, attempt: Attempt
) -> None:
    async with Cable(database) as cable, rows.serving(make_app(Settings(database_url=SecretStr(cable.dsn)))) as client:
        before = await rows.everything(connection)
        cable.cut = True
        for _ in range(3):
            answer = await client.post("/callback", params=attempt.query, content=body("suno/first"))
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert answer.headers["retry-after"]
        assert await rows.everything(connection) == before
        cable.cut = False
        assert await send(client, attempt, "suno/first") == FRESH


async def test_the_generators_findings_pass_the_same_guards(
    client: httpx.AsyncClient, connection: asyncpg.Connection, attempt: Attempt
) -> None:
    path = f"/internal/attempts/{attempt.attempt_id}/news"
    assert (await client.post(path, content=body("suno/first"))).status_code == 401
    assert (
        await client.post(path, content=body("suno/first"), headers={b"x-internal-secret": b"\xe9"})
    ).status_code == 401
    assert (await client.post(path, content=b"{}", headers=SECRET)).status_code == 400
    unknown = f"/internal/attempts/{uuid.uuid4()}/news"
    assert (await client.post(unknown, content=body("suno/first"), headers=SECRET)).status_code == 404
    assert (await client.post("/internal/attempts/x/news", content=b"{}", headers=SECRET)).status_code == 400
    assert (await client.post(path, content=body("suno/first"), headers=SECRET)).json() == FRESH
    assert (await client.post(path, content=body("suno/first"), headers=SECRET)).json() == SKIPPED
    assert await send(client, attempt, "suno/first") == SKIPPED
    assert await rows.topics(connection) == ["segment.first"]


async def test_without_a_service_secret_the_internal_door_is_shut(database: str, attempt: Attempt) -> None:
    async with rows.serving(make_app(Settings(database_url=SecretStr(database)))) as client:
        path = f"/internal/attempts/{attempt.attempt_id}/news"
        answer = await client.post(path, content=body("suno/first"), headers={"x-internal-secret": ""})
        assert answer.status_code == 401


async def test_no_token_reaches_a_log_or_an_answer(
    client: httpx.AsyncClient, attempt: Attempt, capsys: pytest.CaptureFixture[str]
) -> None:
    other = {"segment": str(attempt.segment_id), "token": str(uuid.uuid4())}
    answers = [
        await client.post("/callback", params=attempt.query, content=body("suno/first")),
        await client.post("/callback", params=attempt.query, content=b"{"),
        await client.post("/callback", params=other, content=body("suno/first")),
        await client.get("/metrics"),
    ]
    told = "".join(answer.text for answer in answers) + "".join(capsys.readouterr())
    assert str(attempt.token) not in told
    assert other["token"] not in told
