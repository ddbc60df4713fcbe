"""One key, one run; three unfinished runs and twenty a day: also for those who ask twenty times at once."""

import asyncio
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta

import asyncpg
import httpx
import pytest

from libs.common.database import Database
from tests.integration.create import desk
from tests.integration.create.desk import PANIC, counts, start


async def finish_all(connection: asyncpg.Connection) -> None:
    await connection.execute("UPDATE parcours_runs SET status = 'ready'")


async def test_the_same_key_and_body_give_the_same_run_and_answer(
    client: httpx.AsyncClient, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    first = await start(client, user_id, idempotency_key="once")
    await connection.execute("UPDATE parcours_runs SET status = 'ready', brief = 'other words'")
    same = {**dict(reversed(PANIC.items())), "arc": "auto", "style": None}
    again = await start(client, user_id, same, idempotency_key="once")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert (await counts(connection))["outbox"] == 1


async def test_another_body_under_the_same_key_is_refused(
    client: httpx.AsyncClient, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    await start(client, user_id, idempotency_key="once")
    other = await start(client, user_id, PANIC | {"sudsStart": 7}, idempotency_key="once")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert (await counts(connection))["parcours_runs"] == 1


async def test_a_key_belongs_to_one_user(client: httpx.AsyncClient) -> None:
    one = await start(client, uuid.uuid4(), idempotency_key="once")
    other = await start(client, uuid.uuid4(), idempotency_key="once")
    assert one.json()["runId"] != other.json()["runId"]


async def test_a_key_is_free_again_after_a_day(
    client: httpx.AsyncClient, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    first = await start(client, user_id, idempotency_key="once")
    await connection.execute("UPDATE idempotency_keys SET created_at = now() - interval '24 h 1 s'")
    later = await start(client, user_id, PANIC | {"sudsStart": 2}, idempotency_key="once")
    assert later.status_code == 201
    assert later.json()["runId"] != first.json()["runId"]


async def test_twenty_at_once_with_one_key_are_one_run(
    client: httpx.AsyncClient, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    answers = await asyncio.gather(*(start(client, user_id, idempotency_key="once") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    written = await counts(connection)
    assert (written["parcours_runs"], written["parcours_segments"], written["outbox"]) == (1, 6, 1)


@pytest.mark.parametrize("key", ["", "k" * 201, "a\0b"], ids=["empty", "201 characters", "NUL"])
async def test_a_key_that_cannot_be_kept_is_refused(
    client: httpx.AsyncClient, connection: asyncpg.Connection, user_id: uuid.UUID, key: str
) -> None:
    answer = await start(client, user_id, idempotency_key=key)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_invalid")
    assert (await counts(connection))["parcours_runs"] == 0


async def test_twenty_at_once_without_a_key_are_three_runs(
    client: httpx.AsyncClient, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    answers = await asyncio.gather(*(start(client, user_id) for _ in range(20)))
    assert Counter(answer.status_code for answer in answers) == {201: 3, 429: 17}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert (refused.json()["code"], refused.json()["limit"]) == ("too_many_unfinished_runs", 3)
    assert int(refused.headers["retry-after"]) > 0
    assert (await counts(connection))["parcours_runs"] == 3


async def test_a_finished_run_makes_room_and_a_repetition_needs_none(
    client: httpx.AsyncClient, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    first = await start(client, user_id, idempotency_key="once")
    for _ in range(2):
        await start(client, user_id)
    assert (await start(client, user_id, idempotency_key="another")).status_code == 429
    assert (await start(client, user_id, idempotency_key="once")).json() == first.json()
    await connection.execute(
        "UPDATE parcours_runs SET status = 'failed' WHERE id = $1", uuid.UUID(first.json()["runId"])
    )
    assert (await start(client, user_id, idempotency_key="another")).status_code == 201


async def test_the_twenty_first_run_of_a_day_waits_for_the_first_to_leave_it(
    client: httpx.AsyncClient, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    for _ in range(20):
        assert (await start(client, user_id)).status_code == 201
        await finish_all(connection)
    await connection.execute(
        """UPDATE parcours_runs SET created_at = now() - interval '23 h 50 min'
        WHERE id = (SELECT id FROM parcours_runs ORDER BY created_at LIMIT 1)"""
    )
    refused = await start(client, user_id)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_runs_today")
    assert 590 <= int(refused.headers["retry-after"]) <= 600
    assert (await start(client, uuid.uuid4())).status_code == 201
    await connection.execute("UPDATE parcours_runs SET created_at = created_at - interval '11 min'")
    assert (await start(client, user_id)).status_code == 201


async def test_a_resume_counts_as_a_run_of_the_day(
    database: str, pool: Database, connection: asyncpg.Connection, user_id: uuid.UUID
) -> None:
    settings = desk.settings_for(database, runs_per_day_max=3)
    async with desk.serving(pool, settings) as client:
        await start(client, user_id)
        now = datetime.now(UTC)
        resumes = [(now - timedelta(hours=hours)).isoformat() for hours in (25, 2, 1)]
        await connection.execute(
            """UPDATE parcours_runs SET status = 'failed', created_at = now() - interval '26 h', resumed_at = $1,
            metadata = metadata || jsonb_build_object('resumes', $2::jsonb)""",
            now - timedelta(hours=1),
            resumes,
        )
        assert (await start(client, user_id)).status_code == 201
        refused = await start(client, user_id)
    assert refused.json()["code"] == "too_many_runs_today"
    assert 21 * 3600 < int(refused.headers["retry-after"]) <= 22 * 3600
