"""Resume and the earlier paths, through the service's own HTTP, without the messages that follow."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from libs.common.database import Database
from libs.common.http import create_app
from libs.common.identity import Verifier, issue
from libs.common.run_bounds import Bounds
from services.runner.domain.due import Pace
from services.runner.routes import Counter, router
from services.runner.settings import Settings
from tests.integration.callback import rows
from tests.integration.runner.story import become, requested, run_status, step

JWT_SECRET = "a-secret-of-at-least-thirty-two-bytes"
OK = {"ok": True}


@asynccontextmanager
async def nothing_to_open(_app: FastAPI) -> AsyncIterator[None]:
    yield


@pytest.fixture
async def client(pool: Database, pace: Pace) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(supabase_jwt_secret=SecretStr(JWT_SECRET), supabase_anon_key=SecretStr("an-anon-key"))
    app = create_app(service="runner", settings=settings, lifespan=nothing_to_open, checks={})
    counter = Counter(Verifier.from_settings(settings), pace, Bounds(unfinished=3, per_day=4), pool)
    app.include_router(router(counter))
    async with rows.serving(app) as client:
        yield client


def as_user(user_id: uuid.UUID, *roles: str) -> dict[str, str]:
    return {"authorization": f"Bearer {issue(JWT_SECRET, user_id, roles)}"}


async def failed_run(
    pool: Database, connection: asyncpg.Connection, user_id: uuid.UUID
) -> tuple[uuid.UUID, list[uuid.UUID]]:
    """A run whose second segment failed."""
    run_id, segments = await rows.add_run(connection, user_id=user_id)
    await step(pool, run_id)
    await become(pool, segments[0], "complete")
    await step(pool, run_id)
    await become(pool, segments[1], "failed")
    await step(pool, run_id)
    assert await run_status(connection, run_id) == "failed"
    return run_id, segments


async def resume(client: httpx.AsyncClient, run_id: object, headers: dict[str, str]) -> httpx.Response:
    return await client.post(f"/runs/{run_id}/resume", headers=headers)


async def test_a_resume_gives_what_failed_a_new_budget_and_is_idempotent(
    client: httpx.AsyncClient, pool: Database, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    run_id, segments = await failed_run(pool, connection, user_id)
    before = await rows.row(connection, "parcours_segments", segments[1])
    answers = await asyncio.gather(*(resume(client, run_id, as_user(user_id)) for _ in range(5)))
    assert {(each.status_code, each.json()["status"]) for each in answers} == {(200, "creating")}
    after = await rows.row(connection, "parcours_segments", segments[1])
    assert (after["status"], after["requested_at"] > before["requested_at"]) == ("queued", True)
    assert await requested(connection, run_id) == [0, 1, 1]
    run = await rows.row(connection, "parcours_runs", run_id)
    assert after["due_at"] == run["resumed_at"]  # the listener waits for it now
    assert (run["metadata"]["resumed_from"], len(run["metadata"]["resumes"])) == (1, 1)
    assert datetime.fromisoformat(run["metadata"]["resumes"][0]) == run["resumed_at"]
    assert (await rows.row(connection, "parcours_segments", segments[2]))["requested_at"] is None


async def test_a_ready_run_is_left_alone(
    client: httpx.AsyncClient, pool: Database, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    run_id, segments = await rows.add_run(connection, user_id=user_id, seconds=(240,))
    await become(pool, segments[0], "complete")
    await step(pool, run_id)
    answer = await resume(client, run_id, as_user(user_id))
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "status": "ready"})
    assert await requested(connection, run_id) == []


async def test_only_the_owner_resumes(
    client: httpx.AsyncClient, pool: Database, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    run_id, _ = await failed_run(pool, connection, user_id)
    assert (await resume(client, "x", as_user(user_id))).status_code == 400
    assert (await resume(client, run_id, {})).status_code == 401
    assert (await resume(client, uuid.uuid4(), as_user(user_id))).status_code == 404
    assert (await resume(client, run_id, as_user(uuid.uuid4()))).status_code == 403
    assert (await resume(client, run_id, as_user(uuid.uuid4(), "operator"))).status_code == 403
    assert await run_status(connection, run_id) == "failed"


async def test_a_resume_counts_as_a_run_in_the_making(
    client: httpx.AsyncClient, pool: Database, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    run_id, _ = await failed_run(pool, connection, user_id)
    for _ in range(3):
        await rows.add_run(connection, user_id=user_id, age_seconds=100_000)
    answer = await resume(client, run_id, as_user(user_id))
    assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (429, "too_many_unfinished_runs", 3)
    assert answer.headers["retry-after"] == "60"
    assert await run_status(connection, run_id) == "failed"


async def test_a_resume_counts_as_a_run_of_the_day(
    client: httpx.AsyncClient, pool: Database, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    run_id, segments = await failed_run(pool, connection, user_id)
    for _ in range(3):  # the run itself is the day's first
        assert (await resume(client, run_id, as_user(user_id))).json()["status"] == "creating"
        await become(pool, segments[1], "failed")
        await step(pool, run_id)
    answer = await resume(client, run_id, as_user(user_id))
    assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (429, "too_many_runs_today", 4)
    assert 86_000 < int(answer.headers["retry-after"]) <= 86_400


async def test_two_resumes_at_once_cannot_both_take_the_last_place(
    client: httpx.AsyncClient, pool: Database, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    failed = [(await failed_run(pool, connection, user_id))[0] for _ in range(2)]
    for _ in range(2):
        await rows.add_run(connection, user_id=user_id, age_seconds=100_000)
    answers = await asyncio.gather(*(resume(client, run_id, as_user(user_id)) for run_id in failed))
    assert sorted(each.status_code for each in answers) == [200, 429]


@pytest.mark.parametrize("who", ["nobody", "anon", "owner"])
async def test_the_earlier_paths_take_the_next_step_alone_and_say_no_more(
    client: httpx.AsyncClient, pool: Database, connection: asyncpg.Connection, user_id: uuid.UUID, who: str
) -> None:
    headers = {"nobody": {}, "anon": {"authorization": "Bearer an-anon-key"}, "owner": as_user(user_id)}[who]
    run_id, segments = await rows.add_run(connection, user_id=user_id)

    async def ask(path: str, **body: object) -> Any:
        answer = await client.post(path, json={key: str(value) for key, value in body.items()}, headers=headers)
        assert answer.status_code == 200
        return answer.json()

    assert await ask("/generate", segmentId=segments[1]) == OK
    assert await requested(connection, run_id) == []  # it is not its turn
    assert await ask("/generate", segmentId=segments[0]) == OK
    assert await ask("/generate", segmentId=uuid.uuid4()) == OK
    assert await ask("/runner", runId=run_id) == OK
    assert await ask("/runner", runId=uuid.uuid4()) == OK
    assert await requested(connection, run_id) == [0]
    await become(pool, segments[0], "first")
    for _ in range(2):
        assert await ask("/runner", runId=run_id) == OK
    assert await requested(connection, run_id) == [0, 1]


async def test_the_earlier_paths_never_reopen_a_failed_run(
    client: httpx.AsyncClient, pool: Database, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    run_id, segments = await failed_run(pool, connection, user_id)
    assert (await client.post("/runner", json={"runId": str(run_id)})).json() == OK
    assert (await client.post("/generate", json={"segmentId": str(segments[1])})).json() == OK
    await become(pool, segments[1], "first")
    assert (await client.post("/runner", json={"runId": str(run_id)})).json() == OK
    assert await run_status(connection, run_id) == "failed"


async def test_another_users_or_a_bad_token_is_refused_on_the_earlier_paths(
    client: httpx.AsyncClient, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    run_id, segments = await rows.add_run(connection, user_id=user_id)
    bodies = {"/runner": {"runId": str(run_id)}, "/generate": {"segmentId": str(segments[0])}}
    for path, body in bodies.items():
        assert (await client.post(path, json=body, headers=as_user(uuid.uuid4()))).status_code == 403
        assert (await client.post(path, json=body, headers={"authorization": "Bearer x.y.z"})).status_code == 401
        assert (await client.post(path, json={})).status_code == 400
        assert (await client.post(path, content=b"{")).status_code == 400
    assert await requested(connection, run_id) == []


async def test_the_log_is_the_users_own_and_tells_no_texts(
    client: httpx.AsyncClient, pool: Database, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    run_id, segments = await rows.add_run(connection, user_id=user_id)
    await rows.add_attempt(connection, run_id, segments[0])
    await become(pool, segments[0], "first")
    other_run, _ = await rows.add_run(connection)
    assert (await client.get("/runner/logs")).status_code == 401
    logs = (await client.get("/runner/logs", headers=as_user(user_id))).json()["logs"]
    assert {each["runId"] for each in logs} == {str(run_id)}
    assert str(other_run) not in str(logs)
    moves = [(each["segmentIndex"], each["to"]) for each in logs if each["event"] == "moved"]
    assert moves[:2] == [(0, "first"), (0, "generating")]
    (attempt,) = [each for each in logs if each["event"] == "attempt"]
    assert (attempt["provider"], attempt["attempt"], attempt["to"]) == ("suno", 1, "dispatched")
