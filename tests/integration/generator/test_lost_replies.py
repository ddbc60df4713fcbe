"""Claims about replies that come late or never: adopted, repeated once and counted, bridged, never forgotten."""

import asyncio
import hashlib
from typing import Any

from aiohttp import web

from libs.common import metrics
from libs.common.database import Database
from services.generator.handlers.unanswered import sweep_unanswered
from tests.integration.generator.rig import (
    Provider,
    accept,
    add_run,
    attempts,
    bare,
    fetch,
    lose_reply,
    open_generator,
    open_resources,
    request,
    settings,
    until,
    value,
)

FAR = 3600.0  # seconds; nobody needs it soon, so that nothing is bridged
LOST = 8  # replies; at 10 s for a balance that hangs their round would outlast the minute of `/livez`


def doubled() -> float:
    """What /metrics shows as possible double charges of suno's."""
    text = metrics.render()[0].decode()
    lines = [line for line in text.splitlines() if line.startswith("possible_double_charge_total{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if 'provider="suno"' in line)


async def adopt(pool: Database, token: str, task_id: str, rank: int = 2) -> None:
    """What the callback service writes when a webhook carries the token."""
    await fetch(
        pool,
        "UPDATE segment_attempts SET provider_task_id = coalesce(provider_task_id, $2), rank = greatest(rank, $3),"
        " news_at = clock_timestamp() WHERE token_sha256 = $1",
        hashlib.sha256(token.encode()).digest(),
        task_id,
        rank,
    )


async def _rank(pool: Database, rank: int) -> bool:
    return bool(await value(pool, "SELECT count(*) > 0 FROM segment_attempts WHERE rank = $1", rank))


async def test_a_lost_reply_whose_webhook_comes_is_adopted_and_never_repeated(
    database: str, pool: Database, suno: Provider
) -> None:
    suno.script.append(lose_reply)
    made = settings(database, suno)
    async with open_generator(made) as resources:
        await request(resources, *await add_run(pool, due_in=(FAR,)))
        await until(lambda: _ambiguous(pool))
        await adopt(pool, suno.heard[0].token, "task-1")
        await asyncio.sleep(made.clock.adopt + made.clock.sweep_every * 2)
        [attempt] = await attempts(pool)
    assert (attempt["alive"], attempt["provider_task_id"], attempt["ambiguous_at"] is None) == (True, "task-1", False)
    assert len(suno.heard) == 1


async def _ambiguous(pool: Database) -> bool:
    return bool(await value(pool, "SELECT count(*) > 0 FROM segment_attempts WHERE ambiguous_at IS NOT NULL"))


async def test_a_lost_reply_without_a_webhook_is_repeated_once_after_t_adopt_and_counted(
    database: str, pool: Database, suno: Provider
) -> None:
    suno.script.append(lose_reply)
    made, before = settings(database, suno), doubled()
    async with open_generator(made) as resources:
        await request(resources, *await add_run(pool, due_in=(FAR,)))
        await until(lambda: _rank(pool, 2))
        await until(lambda: _has_balance(pool))
        first, second = await attempts(pool)
    assert (first["gave_up_rank"], second["attempt_no"], second["provider"]) == (1, 2, "suno")
    assert suno.heard[1].at - suno.heard[0].at >= made.clock.adopt
    assert suno.heard[0].token != suno.heard[1].token
    assert doubled() - before == 1
    assert (first["facts"]["credits_when_ambiguous"]) == 500


async def _has_balance(pool: Database) -> bool:
    return bool(await value(pool, "SELECT count(*) > 0 FROM segment_attempts WHERE facts ? 'credits_when_resent'"))


async def test_a_second_ambiguous_call_is_not_repeated_at_the_paid_provider(
    database: str, pool: Database, suno: Provider, composer: Provider
) -> None:
    suno.always = lose_reply
    async with open_generator(settings(database, suno, composer)) as resources:
        await request(resources, *await add_run(pool, due_in=(FAR,)))
        await until(lambda: _rank(pool, 2), 30)
        rows = await attempts(pool)
    assert [row["provider"] for row in rows] == ["suno", "suno", "composer"]


async def test_a_hanging_provider_is_ambiguous_after_the_time_out(
    database: str, pool: Database, suno: Provider
) -> None:
    async def hang(_request: web.Request, _body: dict[str, Any]) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    suno.script.append(hang)
    async with open_generator(settings(database, suno)) as resources:
        await request(resources, *await add_run(pool, due_in=(FAR,)))
        await until(lambda: _ambiguous(pool))
        [attempt] = await attempts(pool)
        assert (attempt["error_code"], attempt["outcome"]) == ("transport_timeout", None)


async def test_what_costs_nothing_is_asked_again_at_once(database: str, pool: Database, composer: Provider) -> None:
    composer.script.append(lose_reply)
    made = settings(database, composer, composer, suno_api_key="", providers="composer")
    async with open_generator(made) as resources:
        await request(resources, *await add_run(pool, due_in=(FAR,)))
        await until(lambda: _rank(pool, 2))
    first, second = composer.heard
    assert second.at - first.at < made.clock.adopt


async def test_an_ambiguous_segment_that_is_needed_now_is_bridged_by_composer(
    database: str, pool: Database, suno: Provider, composer: Provider
) -> None:
    suno.script.append(lose_reply)
    async with open_generator(settings(database, suno, composer)) as resources:
        await request(resources, *await add_run(pool))
        await until(lambda: _rank(pool, 2))
        first, second = await attempts(pool)
    assert (first["provider"], first["alive"], second["provider"], second["bridge"]) == (
        "suno",
        True,
        "composer",
        True,
    )


async def test_a_healthy_attempt_is_never_bridged(
    database: str, pool: Database, suno: Provider, composer: Provider
) -> None:
    made = settings(database, suno, composer)
    async with open_generator(made) as resources:
        await request(resources, *await add_run(pool))
        await until(lambda: _rank(pool, 2))
        await asyncio.sleep(made.clock.sweep_every * 4)
    assert composer.heard == []


async def test_a_callback_before_the_reply_and_the_reply_write_the_same(
    database: str, pool: Database, suno: Provider
) -> None:
    async def call_back_first(_request: web.Request, _body: dict[str, Any]) -> web.StreamResponse:
        await adopt(pool, suno.heard[-1].token, "task-9", rank=3)
        return web.json_response({"code": 200, "msg": "success", "data": {"taskId": "task-9"}})

    suno.script.append(call_back_first)
    async with open_generator(settings(database, suno)) as resources:
        await request(resources, *await add_run(pool))
        await until(lambda: _recorded(pool))
        [attempt] = await attempts(pool)
    assert (attempt["rank"], attempt["provider_task_id"]) == (3, "task-9")
    assert await value(pool, "SELECT metadata FROM parcours_segments") == {}


async def _recorded(pool: Database) -> bool:
    return bool(await value(pool, "SELECT count(*) > 0 FROM provider_calls WHERE operation = 'generate'"))


async def test_a_second_task_of_one_attempt_is_kept_as_surplus(database: str, pool: Database, suno: Provider) -> None:
    async def call_back_another(_request: web.Request, _body: dict[str, Any]) -> web.StreamResponse:
        await adopt(pool, suno.heard[-1].token, "task-a")
        return web.json_response({"code": 200, "msg": "success", "data": {"taskId": "task-b"}})

    suno.script.append(call_back_another)
    async with open_generator(settings(database, suno)) as resources:
        await request(resources, *await add_run(pool))
        await until(lambda: _recorded(pool))
        [attempt] = await attempts(pool)
    assert attempt["provider_task_id"] == "task-a"
    assert await value(pool, "SELECT metadata FROM parcours_segments") == {"surplus_task_ids": ["task-b"]}


async def test_a_refusal_that_a_callback_contradicts_is_no_refusal(
    database: str, pool: Database, suno: Provider
) -> None:
    async def call_back_then_503(web_request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await adopt(pool, suno.heard[-1].token, "task-a")
        return await bare(503)(web_request, body)

    suno.script.append(call_back_then_503)
    async with open_generator(settings(database, suno)) as resources:
        await request(resources, *await add_run(pool))
        await until(lambda: _recorded(pool))
        [attempt] = await attempts(pool)
    assert (attempt["alive"], attempt["outcome"], attempt["provider_task_id"]) == (True, None, "task-a")


async def test_a_task_id_is_not_forgotten_when_the_database_breaks_before_it_is_written(
    database: str, pool: Database, suno: Provider
) -> None:
    async def break_the_database(web_request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await fetch(
            pool,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'generator%' AND datname = current_database()",
        )
        return await accept(web_request, body)

    suno.script.append(break_the_database)
    async with open_generator(settings(database, suno)) as resources:
        await request(resources, *await add_run(pool, due_in=(FAR,)))
        await until(lambda: _rank(pool, 2))
        [attempt] = await attempts(pool)
    assert (attempt["ambiguous_at"], len(suno.heard)) == (None, 1)


async def test_a_round_asks_for_an_accounts_balance_once_however_many_replies_were_lost(
    database: str, pool: Database, suno: Provider
) -> None:
    async with open_resources(settings(database, suno)) as resources:
        _run_id, segments = await add_run(pool, segments=LOST, due_in=(FAR,))
        await fetch(
            pool,
            "INSERT INTO segment_attempts (segment_id, user_id, attempt_no, provider, account, slot_no, token_sha256,"
            " rank, dispatched_at) SELECT id, gen_random_uuid(), 1, 'suno', 'suno-1', 1, '', 1, now() - interval '1 h'"
            " FROM unnest($1::uuid[]) id",
            segments,
        )
        await fetch(pool, "UPDATE parcours_segments SET requested_at = now() - interval '2 h'")
        await sweep_unanswered(resources)
        rows = await attempts(pool)
    assert [row["facts"].get("credits_when_resent") for row in rows] == [500] * LOST
    assert all(row["ambiguous_at"] for row in rows), "nobody was there to mark them in time; the record says so still"
    assert await value(pool, "SELECT count(*) FROM generation_queue") == LOST
    assert suno.credit_asked == 1, "each lost reply waited for a question of its own"
