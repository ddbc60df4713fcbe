"""Claims about the whole service: fed by Kafka, asked over HTTP, leaving in order."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI

from libs.common.database import Channel, Database
from libs.common.lifecycle import lock_run
from libs.common.outbox import announce
from services.generator.app import make_app
from tests.integration.generator.rig import (
    SECRET,
    Provider,
    add_run,
    attempts,
    fetch,
    refuse,
    requested,
    settings,
    until,
    value,
)

AUTHORISED = {"x-internal-secret": SECRET}


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://generator") as client:
            yield client


def opened(dsn: str, suno: Provider, **changes: Any) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    return served(make_app(settings(dsn, suno, **changes)))


async def add_attempt(pool: Database, task_id: str | None) -> UUID:
    run_id, (segment_id,) = await add_run(pool)
    made: UUID = await value(
        pool,
        "INSERT INTO segment_attempts (segment_id, user_id, attempt_no, provider, account, slot_no, token_sha256, rank,"
        " provider_task_id) VALUES ($1, $2, 1, 'suno', 'suno-1', 1, $3, 2, $4) RETURNING id",
        segment_id,
        run_id,
        uuid4().bytes,
        task_id,
    )
    return made


async def test_a_request_from_kafka_reaches_the_provider(
    database: str, pool: Database, suno: Provider, kafka_bootstrap: str, topics: str
) -> None:
    run_id, (segment_id,) = await add_run(pool)
    async with opened(database, suno, kafka_bootstrap=kafka_bootstrap, kafka_prefix=topics) as client:
        async with pool.transaction(Channel.OUTBOX) as connection:
            await lock_run(connection, run_id)
            await announce(connection, requested(run_id, segment_id))
        await until(lambda: _accepted(pool), 40)
        assert (await client.get("/readyz")).status_code == 200
    [heard] = suno.heard
    assert heard.segment_id == segment_id
    published = "SELECT count(*) FROM outbox WHERE topic = 'segment.started'"
    assert await value(pool, published) == 1


async def _accepted(pool: Database) -> bool:
    return bool(await value(pool, "SELECT count(*) > 0 FROM segment_attempts WHERE rank = 2"))


async def test_health_names_the_database(database: str, suno: Provider) -> None:
    async with opened(database, suno, kafka_bootstrap="127.0.0.1:1") as client:
        report = (await client.get("/health")).json()
    assert report["checks"]["database"]["status"] == "ok"


@pytest.mark.parametrize("secret", ["", "wrong"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/internal/providers"), ("POST", "/internal/attempts/0b6b6a3e-2a2c-4a6d-8d0e-4bb1d6a1f0c2/confirm")],
)
async def test_internal_routes_refuse_strangers(
    database: str, suno: Provider, secret: str, method: str, path: str
) -> None:
    async with opened(database, suno, kafka_bootstrap="127.0.0.1:1") as client:
        answer = await client.request(method, path, headers={"x-internal-secret": secret})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def test_a_claim_of_completion_is_confirmed_by_the_providers_own_word(
    database: str, pool: Database, suno: Provider
) -> None:
    items = [{"id": "a", "audioUrl": "https://f/a.mp3", "duration": 240.1}, {"id": "b", "audioUrl": "https://f/b.mp3"}]
    suno.records["task-1"] = {"status": "SUCCESS", "response": {"sunoData": items}}
    suno.records["task-2"] = {"status": "PENDING"}
    suno.records["task-3"] = {"status": "GENERATE_AUDIO_FAILED"}
    async with opened(database, suno, kafka_bootstrap="127.0.0.1:1") as client:

        async def confirmed(attempt_id: UUID) -> Any:
            answer = await client.post(f"/internal/attempts/{attempt_id}/confirm", headers=AUTHORISED)
            return answer.json() if answer.is_success else answer.status_code

        takes = [{"url": "https://f/a.mp3", "duration": 240.1}, {"url": "https://f/b.mp3", "duration": None}]
        assert await confirmed(await add_attempt(pool, "task-1")) == {"state": "success", "takes": takes}
        assert await confirmed(await add_attempt(pool, "task-2")) == {"state": "running", "takes": []}
        assert await confirmed(await add_attempt(pool, "task-3")) == {"state": "failed", "takes": []}
        assert await confirmed(await add_attempt(pool, "task-4")) == {"state": "unknown", "takes": []}
        assert await confirmed(await add_attempt(pool, None)) == {"state": "unknown", "takes": []}
        assert await confirmed(uuid4()) == 404
    asked = "SELECT count(*) FROM provider_calls WHERE operation = 'record-info'"
    assert await value(pool, asked) >= 4


async def test_health_of_providers_comes_from_the_last_real_calls(
    database: str, pool: Database, suno: Provider
) -> None:
    suno.script.append(refuse(500))
    async with opened(database, suno, kafka_bootstrap="127.0.0.1:1") as client:

        async def suno_health() -> dict[str, Any]:
            answer = await client.get("/internal/providers", headers=AUTHORISED)
            [entry] = answer.json()["providers"]
            return dict(entry)

        assert (await suno_health())["status"] == "unknown"
        run_id, (segment_id,) = await add_run(pool)
        await fetch(
            pool,
            "INSERT INTO generation_queue (segment_id, run_id, user_id, track, provider, due_at, segment_index) "
            "SELECT $1, $2, user_id, 'stable', 'suno', now(), 0 FROM parcours_runs",
            segment_id,
            run_id,
        )
        await until(lambda: _accepted(pool))
        health = await suno_health()
        assert (health["status"], health["circuit"], health["lastErrorCode"]) == ("ok", "closed", "body_500")
        assert health["lastSuccessAt"] is not None
        await fetch(pool, "UPDATE quota_accounts SET close_reason = 'key', closed_until = 'infinity'")
        health = await suno_health()
        assert (health["status"], health["circuit"], health["reason"]) == ("closed", "open", "key")
    assert len(await attempts(pool)) == 2


async def test_replies_under_way_are_read_before_the_service_leaves(
    database: str, pool: Database, suno: Provider
) -> None:
    run_id, (segment_id,) = await add_run(pool)

    async def slowly(*_: Any) -> Any:
        await until(lambda: _leaving(leaving))
        return await refuse(413)(*_)

    leaving: list[bool] = []
    suno.always = slowly
    async with opened(database, suno, kafka_bootstrap="127.0.0.1:1"):
        await fetch(
            pool,
            "INSERT INTO generation_queue (segment_id, run_id, user_id, track, provider, due_at, segment_index) "
            "SELECT $1, $2, user_id, 'stable', 'suno', now(), 0 FROM parcours_runs",
            segment_id,
            run_id,
        )
        await until(lambda: _leaving(suno.heard))
        leaving.append(True)
    assert await value(pool, "SELECT error_code FROM segment_attempts") == "body_413"


async def _leaving(flags: list[Any]) -> bool:
    return bool(flags)
