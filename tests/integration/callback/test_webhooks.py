"""Webhooks through the whole service on a real database."""

import asyncio
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
import pytest
from pydantic import SecretStr

from services.callback.app import make_app
from services.callback.settings import Settings
from tests.integration.callback import rows
from tests.integration.callback.rows import Attempt

EXAMPLES = Path(__file__).parents[3] / "contracts" / "examples" / "webhooks"
FRESH = {"ok": True}
SKIPPED = {"ok": True, "skipped": True}
SECRET = {"x-internal-secret": "a-service-secret"}
STREAM = "https://musicfile.api.box/6b1d0f6e-5a53-4f0c-9d62-3f6f0d1a7b21"


def body(name: str) -> bytes:
    return (EXAMPLES / f"{name}.json").read_bytes()


async def send(client: httpx.AsyncClient, attempt: Attempt, name: str) -> Any:
    answer = await client.post("/callback", params=attempt.query, content=body(name))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_first_makes_the_segment_playable(
    client: httpx.AsyncClient, connection: asyncpg.Connection, attempt: Attempt
) -> None:
    assert await send(client, attempt, "suno/first") == FRESH
    segment = await rows.row(connection, "parcours_segments", attempt.segment_id)
    assert (segment["status"], segment["preview_url"]) == ("first", STREAM)
    assert segment["suno_task_id"] == "9f0c5a1e7b3d4c2f8a6e1d0b5c4f3a2e"
    received = datetime.fromisoformat(segment["metadata"]["first_received_at"])
    assert abs((datetime.now(UTC) - received).total_seconds()) < 60
    kept = await rows.row(connection, "segment_attempts", attempt.attempt_id)
    assert (kept["rank"], kept["provider_task_id"], kept["first_at"]) == (3, segment["suno_task_id"], received)
    assert kept["facts"]["preview_url"] == STREAM
    assert await rows.topics(connection) == ["segment.first"]
    inbox = await connection.fetchrow("SELECT * FROM webhook_inbox")
    assert inbox is not None
    assert (inbox["verdict"], inbox["stage"], inbox["payload"]) == ("accepted", "first", body("suno/first"))


async def test_a_complete_is_announced_and_leaves_the_status_to_the_archiver(
    client: httpx.AsyncClient, connection: asyncpg.Connection, attempt: Attempt
) -> None:
    await send(client, attempt, "suno/first")
    assert await send(client, attempt, "suno/complete") == FRESH
    segment = await rows.row(connection, "parcours_segments", attempt.segment_id)
    assert segment["status"] == "first"
    assert segment["metadata"]["suno_download_url"] == f"{STREAM}.mp3"
    assert datetime.fromisoformat(segment["metadata"]["complete_received_at"]).tzinfo is not None
    kept = await rows.row(connection, "segment_attempts", attempt.attempt_id)
    assert (kept["rank"], len(kept["facts"]["takes"]), kept["alive"]) == (5, 2, True)
    assert await rows.topics(connection) == ["segment.first", "segment.delivered"]
    payload = await connection.fetchval("SELECT payload FROM outbox ORDER BY id DESC LIMIT 1")
    assert payload["takes"][0] == {"url": f"{STREAM}.mp3", "duration": 182.4}


async def test_an_error_is_one_attempts_and_retryable(
    client: httpx.AsyncClient, connection: asyncpg.Connection, attempt: Attempt
) -> None:
    assert await send(client, attempt, "suno/error_null") == FRESH
    assert (await rows.row(connection, "parcours_segments", attempt.segment_id))["status"] == "generating"
    kept = await rows.row(connection, "segment_attempts", attempt.attempt_id)
    assert (kept["rank"], kept["error_code"], kept["alive"]) == (4, "531", False)
    assert kept["finished_at"] is not None
    payload = await connection.fetchval("SELECT payload FROM outbox")
    assert (payload["error_code"], payload["retryable"], payload["attempt_no"]) == ("531", True, 1)


async def test_a_delivery_after_an_error_is_still_announced(
    client: httpx.AsyncClient, connection: asyncpg.Connection, attempt: Attempt
) -> None:
    for name in ("suno/error_null", "suno/complete"):
        assert await send(client, attempt, name) == FRESH
    assert await rows.topics(connection) == ["segment.failed", "segment.delivered"]
    assert (await rows.row(connection, "segment_attempts", attempt.attempt_id))["alive"]


@pytest.mark.parametrize(
    "order",
    [
        ("simple/first", "simple/complete", "simple/first", "simple/complete"),
        ("simple/complete", "simple/first", "simple/complete", "simple/first"),
        ("suno/complete", "suno/first", "suno/text_items", "suno/first", "suno/text_empty", "suno/complete"),
    ],
)
async def test_a_replay_is_skipped_in_each_order_and_changes_no_row(
    client: httpx.AsyncClient, connection: asyncpg.Connection, attempt: Attempt, order: tuple[str, ...]
) -> None:
    heard: set[str] = set()
    for name in order:
        before = await rows.everything(connection)
        stage = name.partition("_")[0]
        assert await send(client, attempt, name) == (SKIPPED if stage in heard else FRESH)
        assert (await rows.everything(connection) == before) == (stage in heard)
        heard.add(stage)


async def test_a_replay_after_the_token_was_used_is_no_401(
    client: httpx.AsyncClient, connection: asyncpg.Connection, attempt: Attempt
) -> None:
    await send(client, attempt, "simple/complete")
    await store(connection, attempt)
    for name in ("simple/complete", "simple/first"):
        assert await send(client, attempt, name) == SKIPPED
    assert await rows.topics(connection) == ["segment.delivered"]
    assert (await rows.row(connection, "parcours_segments", attempt.segment_id))["status"] == "complete"


async def store(connection: asyncpg.Connection, attempt: Attempt, *, ago: str = "0 s") -> None:
    """What the archiver commits."""
    await connection.execute(
        """UPDATE parcours_segments SET status = 'complete', storage_path = 'runs/r/s.mp3', callback_token = NULL
        WHERE id = $1""",
        attempt.segment_id,
    )
    await connection.execute(
        "UPDATE segment_attempts SET rank = 6, finished_at = now() - $2::text::interval WHERE id = $1",
        attempt.attempt_id,
        ago,
    )


@pytest.mark.parametrize("rank", [4, 6])
async def test_a_token_changes_nothing_half_an_hour_after_its_attempt_ended(
    client: httpx.AsyncClient, connection: asyncpg.Connection, attempt: Attempt, rank: int
) -> None:
    update = "UPDATE segment_attempts SET rank = $1, finished_at = now() - $2::text::interval"
    await connection.execute(update, rank, "31 min")
    before = await rows.everything(connection)
    assert await send(client, attempt, "suno/complete") == SKIPPED
    assert await rows.everything(connection) == before
    await connection.execute(update, rank, "29 min")
    assert await send(client, attempt, "suno/complete") == FRESH


async def test_a_second_task_for_one_attempt_is_kept_and_counted_once(
    client: httpx.AsyncClient, connection: asyncpg.Connection, attempt: Attempt
) -> None:
    await send(client, attempt, "suno/first")
    other = orjson.loads(body("suno/first"))
    other["data"]["task_id"] = "f" * 32
    for _ in range(2):
        answer = await client.post("/callback", params=attempt.query, json=other)
        assert answer.json() == SKIPPED
    segment = await rows.row(connection, "parcours_segments", attempt.segment_id)
    assert segment["metadata"]["surplus_task_ids"] == ["f" * 32]
    assert segment["suno_task_id"] == "9f0c5a1e7b3d4c2f8a6e1d0b5c4f3a2e"
    verdicts = await connection.fetch("SELECT verdict FROM webhook_inbox ORDER BY id")
    assert [each["verdict"] for each in verdicts] == ["accepted", "surplus"]
    metrics = (await client.get("/metrics")).text
    assert 'surplus_generations_total{provider="suno"' in metrics


async def test_another_attempts_task_id_is_not_adopted(
    client: httpx.AsyncClient, connection: asyncpg.Connection, attempt: Attempt
) -> None:
    await send(client, attempt, "suno/first")
    second = await rows.add_attempt(connection, attempt.run_id, attempt.segment_id, attempt_no=2)
    assert await send(client, second, "suno/first") == FRESH
    assert (await rows.row(connection, "segment_attempts", second.attempt_id))["provider_task_id"] is None
    assert await rows.topics(connection) == ["segment.first", "segment.first"]


async def test_one_task_id_told_to_two_attempts_at_once_is_adopted_by_one(
    client: httpx.AsyncClient, connection: asyncpg.Connection, attempt: Attempt
) -> None:
    run_id, segments = await rows.add_run(connection)  # another run, so that no run's lock orders the two
    other = await rows.add_attempt(connection, run_id, segments[0])
    for _ in range(5):
        await connection.execute("UPDATE segment_attempts SET provider_task_id = NULL, facts = '{}', rank = 1")
        answers = list(await asyncio.gather(*(send(client, each, "suno/first") for each in (attempt, other))))
        assert answers == [FRESH, FRESH]
        assert await connection.fetchval("SELECT count(provider_task_id) FROM segment_attempts") == 1


async def test_replays_at_once_are_accepted_once(
    client: httpx.AsyncClient, connection: asyncpg.Connection, attempt: Attempt
) -> None:
    answers = await asyncio.gather(*(send(client, attempt, "suno/first") for _ in range(12)))
    assert sorted(answers, key=len) == [FRESH] + [SKIPPED] * 11
    assert await rows.topics(connection) == ["segment.first"]


async def test_a_refusal_is_withdrawn_when_the_token_comes_back(
    client: httpx.AsyncClient, connection: asyncpg.Connection, attempt: Attempt
) -> None:
    await connection.execute("UPDATE segment_attempts SET outcome = 'refused'")
    await send(client, attempt, "suno/first")
    assert (await rows.row(connection, "segment_attempts", attempt.attempt_id))["alive"]


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
    client: httpx.AsyncClient, connection: asyncpg.Connection, attempt: Attempt, postgres_dsn: str
) -> None:
    name = await connection.fetchval("SELECT current_database()")
    server = await asyncpg.connect(postgres_dsn)
    await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    answers = [await client.post("/callback", params=attempt.query, content=body("suno/first")) for _ in range(4)]
    await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await server.close()
    assert {answer.status_code for answer in answers} == {503}
    assert answers[0].headers["retry-after"]
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
