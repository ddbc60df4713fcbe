"""News that comes together is written together, and stands in nobody's way."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import orjson
import pytest
from pydantic import SecretStr

from libs.common.database import open_database
from libs.common.errors import Problem
from services.callback.app import make_app
from services.callback.domain.change import decide
from services.callback.domain.dialects import understand
from services.callback.handlers.growths import growth
from services.callback.handlers.hearing import Hearing, Rules
from services.callback.handlers.lanes import BATCH, MOST_WAITING, open_lanes
from services.callback.handlers.writing import LATE_AFTER
from services.callback.settings import Settings
from services.callback.storage import attempts as storage
from services.callback.storage.growth import Growth, write
from tests.integration.callback import rows
from tests.integration.callback.rows import Attempt
from tests.integration.callback.webhooks import FRESH, SKIPPED, body, send

WAIT_SECONDS = 20.0
REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON segment_attempts FOR EACH ROW WHEN (OLD.id = '%s') EXECUTE FUNCTION refuse()
"""


async def some_attempts(connection: asyncpg.Connection, number: int) -> list[Attempt]:
    found = []
    for _ in range(number):
        run_id, segments = await rows.add_run(connection, seconds=(240,))
        found.append(await rows.add_attempt(connection, run_id, segments[0]))
    return found


def own(name: str, attempt: Attempt) -> bytes:
    """The recorded webhook with a task id of this attempt's own."""
    told = orjson.loads(body(name))
    told["data"]["task_id"] = attempt.attempt_id.hex
    return orjson.dumps(told)


async def tell(client: httpx.AsyncClient, attempt: Attempt, name: str) -> object:
    answer = await client.post("/callback", params=attempt.query, content=own(name, attempt))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def planned(connection: asyncpg.Connection, attempt: Attempt, name: str) -> Growth:
    """What would be written, decided on the rows as they are now."""
    news = understand(own(name, attempt), simple_allowed=False)
    [[known]] = await storage.of_segments(connection, [(attempt.segment_id, news.task_id)], LATE_AFTER)
    return growth(known, decide(news, known.known), news, b"raw", "00-")


async def test_a_hundred_webhooks_at_once_leave_what_each_alone_leaves(
    client: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    attempts = await some_attempts(connection, 34)
    told = [(attempt, name) for attempt in attempts for name in ("suno/text_empty", "suno/first", "suno/complete")]
    assert await asyncio.gather(*(tell(client, *each) for each in told)) == [FRESH] * len(told)
    for attempt in attempts:
        kept = await rows.row(connection, "segment_attempts", attempt.attempt_id)
        assert (kept["rank"], kept["provider_task_id"]) == (5, attempt.attempt_id.hex)
        assert (await rows.row(connection, "parcours_segments", attempt.segment_id))["status"] == "first"
    per_run = "SELECT key, array_agg(topic ORDER BY id) AS topics FROM outbox GROUP BY key"
    assert {tuple(each["topics"]) for each in await connection.fetch(per_run)} == {
        ("segment.first", "segment.delivered")
    }
    assert await connection.fetchval("SELECT count(*) FROM webhook_inbox WHERE verdict = 'accepted'") == len(told)


async def test_whoever_guesses_at_one_segments_token_is_answered_in_bulk(
    database: str, connection: asyncpg.Connection, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []

    async def counted(*known: Any) -> list[list[storage.Attempt]]:
        reads.append(known)
        return await of_segments(*known)

    of_segments = storage.of_segments
    monkeypatch.setattr(storage, "of_segments", counted)
    async with open_database(database, "callback") as opened, open_lanes(opened, LATE_AFTER) as lanes:
        hearing = Hearing(Rules(simple_dialect=False), opened, lanes)
        guesses = [
            hearing.webhook(segment_id=attempt.segment_id, token=uuid4(), raw=body("suno/first")) for _ in range(320)
        ]
        told = [
            hearing.webhook(segment_id=attempt.segment_id, token=attempt.token, raw=body(f"suno/{name}"))
            for name in ("text_empty", "first", "first", "complete")
        ]
        answers = await asyncio.gather(*guesses, *told, return_exceptions=True)
    assert [answer.status for answer in answers[:320] if isinstance(answer, Problem)] == [401] * 320
    assert answers[320:] == [True, True, False, True]
    assert len(reads) < 320 / BATCH + 10
    assert (await rows.row(connection, "segment_attempts", attempt.attempt_id))["rank"] == 5


async def test_several_workers_accept_each_piece_of_news_once(database: str, connection: asyncpg.Connection) -> None:
    attempts = await some_attempts(connection, 12)
    async with AsyncExitStack() as exits:
        opened = [rows.serving(make_app(Settings(database_url=SecretStr(database)))) for _ in range(3)]
        clients = [await exits.enter_async_context(each) for each in opened]
        told = [
            (client, attempt, f"suno/{name}")
            for attempt in attempts
            for name in ("first", "complete")
            for client in clients
        ]
        answers = await asyncio.gather(*(tell(*each) for each in told))
    assert sum(answer == FRESH for answer in answers) == 2 * len(attempts)
    assert sum(answer == SKIPPED for answer in answers) == 4 * len(attempts)
    assert len(await rows.topics(connection)) == 2 * len(attempts)


async def test_a_run_that_somebody_holds_delays_its_own_news_alone(
    database: str, client: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    held, *others = await some_attempts(connection, 20)
    other = await rows.connect(database)
    async with other.transaction():
        await other.execute("SELECT FROM parcours_runs WHERE id = $1 FOR NO KEY UPDATE", held.run_id)
        waiting = asyncio.create_task(tell(client, held, "suno/first"))
        answers = await asyncio.wait_for(
            asyncio.gather(*(tell(client, each, "suno/first") for each in others)), WAIT_SECONDS
        )
        assert answers == [FRESH] * len(others)
        assert not waiting.done()
    assert await asyncio.wait_for(waiting, WAIT_SECONDS) == FRESH
    await other.close()


async def test_what_changed_since_it_was_read_is_not_written(connection: asyncpg.Connection) -> None:
    changed, same = await some_attempts(connection, 2)
    plans = [await planned(connection, each, "suno/first") for each in (changed, same)]
    await connection.execute("UPDATE segment_attempts SET looked_up_at = now() WHERE id = $1", changed.attempt_id)
    assert await write(connection, plans) == {same.attempt_id}
    assert (await rows.row(connection, "segment_attempts", changed.attempt_id))["rank"] == 1
    plan = await planned(connection, changed, "suno/first")
    await connection.execute("UPDATE parcours_segments SET title = 'x' WHERE id = $1", changed.segment_id)
    assert await write(connection, [plan]) == set()
    assert await write(connection, [await planned(connection, changed, "suno/first")]) == {changed.attempt_id}


async def test_what_is_held_elsewhere_is_left_out_and_nobody_waits(
    database: str, connection: asyncpg.Connection
) -> None:
    attempts = await some_attempts(connection, 4)
    plans = [await planned(connection, each, "suno/first") for each in attempts]
    other = await rows.connect(database)
    async with other.transaction():
        tables = ("parcours_runs", "parcours_segments", "segment_attempts")
        held = (attempts[0].run_id, attempts[1].segment_id, attempts[2].attempt_id)
        for table, row_id in zip(tables, held, strict=True):
            await other.execute(f"SELECT FROM {table} WHERE id = $1 FOR NO KEY UPDATE", row_id)
        assert await asyncio.wait_for(write(connection, plans), WAIT_SECONDS) == {attempts[3].attempt_id}
    await other.close()


async def test_what_cannot_be_written_spoils_nothing_beside_it(
    client: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    attempts = await some_attempts(connection, 8)
    await connection.execute(REFUSE % attempts[3].attempt_id)
    sending = [client.post("/callback", params=each.query, content=own("suno/first", each)) for each in attempts]
    codes = [answer.status_code for answer in await asyncio.gather(*sending)]
    assert codes == [500 if number == 3 else 200 for number in range(8)]
    assert len(await rows.topics(connection)) == 7


async def test_a_lane_outlives_its_connection(
    client: httpx.AsyncClient, connection: asyncpg.Connection, attempt: Attempt
) -> None:
    await send(client, attempt, "suno/text_empty")
    ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'callback'"
    assert await connection.fetchval(ended) >= 1
    for _ in range(50):  # a lane whose connection broke in the middle answers 503, as its provider expects
        answer = await client.post("/callback", params=attempt.query, content=body("suno/first"))
        if answer.status_code == 200:
            break
        assert answer.status_code == 503
    assert answer.json() == FRESH


async def test_while_the_database_hangs_a_bounded_number_waits_and_the_others_are_sent_away(
    database: str, connection: asyncpg.Connection, attempt: Attempt
) -> None:
    async with open_database(database, "callback") as opened, open_lanes(opened, LATE_AFTER) as lanes:
        hearing = Hearing(Rules(simple_dialect=False), opened, lanes)

        def tell_all(number: int) -> list[asyncio.Task[bool]]:
            raw, segment_id, token = body("suno/first"), attempt.segment_id, attempt.token
            return [
                asyncio.create_task(hearing.webhook(segment_id=segment_id, token=token, raw=raw)) for _ in range(number)
            ]

        async with connection.transaction():
            await connection.execute("LOCK TABLE segment_attempts IN ACCESS EXCLUSIVE MODE")
            [first] = tell_all(1)
            await rows.until_somebody_waits(connection)
            others = tell_all(MOST_WAITING + 5)
            refused, waiting = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
            errors = [task.exception() for task in refused]
            assert [error.status for error in errors if isinstance(error, Problem)] == [503] * 5
            for task in waiting:
                task.cancel()
        assert await asyncio.wait_for(first, WAIT_SECONDS)
        assert not await asyncio.wait_for(tell_all(1)[0], WAIT_SECONDS)  # whoever went away holds no place


async def test_a_service_that_ends_leaves_nobody_waiting(database: str, attempt: Attempt) -> None:
    holder = await rows.connect(database)
    async with open_database(database, "callback") as opened, holder.transaction():
        await holder.execute("LOCK TABLE segment_attempts IN ACCESS EXCLUSIVE MODE")
        async with open_lanes(opened, timedelta(minutes=30)) as lanes:
            hearing = Hearing(Rules(simple_dialect=False), opened, lanes)
            waiting = [
                asyncio.create_task(
                    hearing.webhook(segment_id=attempt.segment_id, token=attempt.token, raw=body("suno/first"))
                )
                for _ in range(3)
            ]
            await rows.until_somebody_waits(holder)
        answers = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), WAIT_SECONDS)
    assert [type(answer) for answer in answers] == [ConnectionError] * 3
    await holder.close()
