"""Webhooks through the whole service on a real database."""

import asyncio
from datetime import UTC, datetime

import asyncpg
import httpx
import orjson
import pytest

from tests.integration.callback import rows
from tests.integration.callback.rows import Attempt
from tests.integration.callback.webhooks import FRESH, SKIPPED, body, send

STREAM = "https://musicfile.api.box/6b1d0f6e-5a53-4f0c-9d62-3f6f0d1a7b21"


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


async def test_the_dialect_kept_is_that_of_the_files(
    client: httpx.AsyncClient, connection: asyncpg.Connection, attempt: Attempt
) -> None:
    for name in ("suno/text_empty", "suno/first", "simple/complete", "suno/complete"):
        await send(client, attempt, name)
    facts = (await rows.row(connection, "segment_attempts", attempt.attempt_id))["facts"]
    assert (facts["dialect"], facts["takes"][0]["url"]) == ("simple", "https://musicfile.api.box/a.mp3")


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
