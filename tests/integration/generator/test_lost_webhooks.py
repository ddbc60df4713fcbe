"""Claims about webhooks that come late or never: looked up, told on, given up, bridged; and about the surplus."""

import asyncio
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

from libs.common.database import Database
from services.generator.handlers.claim import Claim, claim
from services.generator.handlers.lookups import sweep_overdue
from services.generator.handlers.silence import sweep_silent
from tests.integration.generator.rig import (
    SCALE,
    Provider,
    accept,
    add_run,
    attempts,
    fetch,
    open_generator,
    open_resources,
    request,
    settings,
    until,
    value,
)

FAR = 3600.0  # seconds; nobody needs it soon, so that nothing is bridged
SILENT = """
UPDATE segment_attempts SET submitted_at = now() - interval '15.5 s', dispatched_at = now() - interval '15.5 s',
  news_at = NULL
"""
LATE = """
INSERT INTO segment_attempts
  (segment_id, user_id, attempt_no, provider, account, slot_no, token_sha256, rank, provider_task_id, dispatched_at)
SELECT id, gen_random_uuid(), 1, $2, CASE $2 WHEN 'suno' THEN 'suno-1' ELSE $2 END, 1, '\\x00', 2, id::text,
  now() - interval '4 min'
FROM unnest($1::uuid[]) AS id
"""


async def _rank(pool: Database, rank: int) -> bool:
    return bool(await value(pool, "SELECT count(*) > 0 FROM segment_attempts WHERE rank = $1", rank))


def finished(task_id: str, status: str = "SUCCESS") -> dict[str, Any]:
    item = {"id": "a", "audioUrl": "https://f/a.mp3", "streamAudioUrl": "https://f/a", "duration": 240.0}
    return {"taskId": task_id, "status": status, "response": {"sunoData": [item]}, "errorCode": None}


async def test_a_late_webhook_is_looked_up_and_told_to_the_callback_in_its_own_dialect(
    database: str, pool: Database, suno: Provider
) -> None:
    async def deliver(attempt_id: UUID, _body: dict[str, Any]) -> None:
        await fetch(pool, "UPDATE segment_attempts SET rank = 5, delivered_at = now() WHERE id = $1", attempt_id)

    suno.on_news = deliver
    made = settings(database, suno)
    async with open_generator(made) as resources:
        await request(resources, *await add_run(pool, due_in=(FAR,)))
        await until(lambda: _rank(pool, 2))
        [attempt] = await attempts(pool)
        suno.records[attempt["provider_task_id"]] = finished(attempt["provider_task_id"], "CALLBACK_EXCEPTION")
        await until(lambda: _rank(pool, 5))
    [(attempt_id, body)] = suno.news
    assert attempt_id == attempt["id"]
    assert (body["data"]["callbackType"], body["data"]["task_id"]) == ("complete", attempt["provider_task_id"])
    assert await value(pool, "SELECT facts ->> 'record_info' FROM segment_attempts") == "success"


async def test_look_ups_keep_one_a_gap_over_all_generators_and_thirty_seconds_an_attempt(
    database: str, pool: Database, suno: Provider
) -> None:
    made = settings(database, suno)
    async with open_generator(made) as one, open_generator(made):
        await request(one, *await add_run(pool, segments=5, due_in=(FAR,)))
        await until(lambda: _everybody_looked_up(pool, 5))
        await asyncio.sleep(made.clock.lookup_every)
        times = await fetch(pool, "SELECT attempt_id, called_at FROM provider_calls WHERE operation = 'record-info'")
    span = (max(row["called_at"] for row in times) - min(row["called_at"] for row in times)).total_seconds()
    assert len(times) <= span / made.clock.lookup_gap + 2
    for attempt_id in {row["attempt_id"] for row in times}:
        own = sorted(row["called_at"] for row in times if row["attempt_id"] == attempt_id)
        gaps = [(later - former).total_seconds() for former, later in pairwise(own)]
        assert all(gap >= made.clock.lookup_every * 0.8 for gap in gaps)


async def _everybody_looked_up(pool: Database, count: int) -> bool:
    asked = "SELECT count(DISTINCT attempt_id) FROM provider_calls WHERE operation = 'record-info'"
    return bool(await value(pool, asked) == count)


async def test_an_attempt_without_news_is_given_up_and_composer_makes_it(
    database: str, pool: Database, suno: Provider, composer: Provider
) -> None:
    made = settings(database, suno, composer)
    async with open_generator(made) as resources:
        await request(resources, *await add_run(pool, due_in=(FAR,)))
        await until(lambda: _rank(pool, 2))
        await fetch(pool, SILENT)
        await until(lambda: _asked(composer))
        first, *_ = await attempts(pool)
    assert (first["provider"], first["gave_up_rank"], first["error_code"]) == ("suno", 2, "silent")


async def test_nobody_is_given_up_for_silence_who_could_be_looked_up_and_was_not(
    database: str, pool: Database, suno: Provider
) -> None:
    made = settings(database, suno)
    async with open_resources(made) as resources:
        run_id, segment_ids = await add_run(pool, due_in=(FAR,))
        await request(resources, run_id, segment_ids)
        assert isinstance(await claim(resources, resources.roster.order[0]), Claim)
        await fetch(pool, "UPDATE segment_attempts SET rank = 2, provider_task_id = 't'")
        await fetch(pool, SILENT)
        await sweep_silent(resources)
        assert await value(pool, "SELECT gave_up_rank FROM segment_attempts") is None
        await sweep_overdue(resources)
        assert suno.looked_up == ["t"]
        await sweep_silent(resources)
        assert await value(pool, "SELECT gave_up_rank FROM segment_attempts") == 2
        await fetch(pool, "UPDATE segment_attempts SET gave_up_rank = NULL, provider_task_id = NULL, facts = '{}'")
        await sweep_silent(resources)  # nobody can look up what has no id
        assert await value(pool, "SELECT gave_up_rank FROM segment_attempts") == 2


async def test_many_late_tasks_of_one_provider_leave_look_ups_to_the_others(
    database: str, pool: Database, suno: Provider, composer: Provider
) -> None:
    made = settings(database, suno, composer, time_scale=1.0)
    async with open_resources(made) as resources:
        _run_id, segment_ids = await add_run(pool, segments=30, due_in=(FAR,))
        await fetch(pool, LATE, segment_ids[:29], "suno")
        await fetch(pool, LATE, segment_ids[29:], "composer")
        while not composer.looked_up:
            assert len(suno.looked_up) < 29
            await fetch(pool, "UPDATE segment_attempts SET looked_up_at = looked_up_at - interval '1 s'")
            await sweep_overdue(resources)


async def _asked(provider: Provider) -> bool:
    return bool(provider.heard)


async def test_while_the_provider_says_that_it_runs_it_is_waited_for_three_times_as_long(
    database: str, pool: Database, suno: Provider, composer: Provider
) -> None:
    made = settings(database, suno, composer)
    async with open_generator(made) as resources:
        await request(resources, *await add_run(pool, due_in=(FAR,)))
        await until(lambda: _rank(pool, 2))
        [attempt] = await attempts(pool)
        suno.records[attempt["provider_task_id"]] = {"status": "PENDING"}
        await fetch(
            pool,
            "UPDATE segment_attempts SET submitted_at = now() - interval '16 s',"
            ' facts = \'{"record_info": "running"}\'',
        )
        await asyncio.sleep(made.clock.sweep_every * 4)
        assert composer.heard == []
        await fetch(pool, "UPDATE segment_attempts SET submitted_at = now() - interval '46 s'")
        await until(lambda: _asked(composer))
    assert len(suno.heard) == 1


async def test_an_overdue_segment_that_is_needed_is_bridged_while_the_provider_still_works(
    database: str, pool: Database, suno: Provider, composer: Provider
) -> None:
    async with open_generator(settings(database, suno, composer)) as resources:
        await request(resources, *await add_run(pool))
        await until(lambda: _rank(pool, 2))
        [attempt] = await attempts(pool)
        suno.records[attempt["provider_task_id"]] = {"status": "PENDING"}
        await fetch(pool, "UPDATE segment_attempts SET dispatched_at = now() - make_interval(secs => $1)", 101 * SCALE)
        await until(lambda: _asked(composer))
        first, second = await attempts(pool)
    assert (first["alive"], second["provider"], second["bridge"]) == (True, "composer", True)


async def test_a_row_that_waits_for_a_closed_account_is_bridged_when_it_is_needed(
    database: str, pool: Database, suno: Provider, composer: Provider
) -> None:
    async with open_generator(settings(database, suno, composer)) as resources:
        run_id, (far, near) = await add_run(pool, segments=2, due_in=(FAR, 0.0))
        await fetch(
            pool,
            "UPDATE quota_accounts SET closed_until = now() + interval '1 hour', close_reason = 'breaker'"
            " WHERE provider = 'suno'",
        )
        await fetch(
            pool,
            "INSERT INTO generation_queue (segment_id, run_id, user_id, track, provider, due_at, segment_index) "
            "SELECT s.id, r.id, r.user_id, r.track, 'suno', s.due_at, s.segment_index "
            "FROM parcours_segments s JOIN parcours_runs r ON r.id = s.run_id WHERE r.id = $1",
            run_id,
        )
        await until(lambda: _asked(composer))
        await asyncio.sleep(resources.clock.sweep_every * 2)
        assert [heard.segment_id for heard in composer.heard] == [near]
        assert await value(pool, "SELECT segment_id FROM generation_queue") == far


async def test_a_paid_result_that_nobody_needs_is_counted_once(database: str, pool: Database, suno: Provider) -> None:
    async with open_generator(settings(database, suno)) as resources:
        run_id, (segment_id,) = await add_run(pool)
        for number, rank, age in ((1, 5, 60), (2, 6, 60), (3, 5, -60)):
            await fetch(
                pool,
                "INSERT INTO segment_attempts (segment_id, user_id, attempt_no, provider, account, slot_no, "
                "token_sha256, rank, delivered_at) VALUES ($1, $2, $3, 'suno', 'suno-1', 1, $4, $5, "
                "now() - make_interval(secs => $6))",
                segment_id,
                uuid4(),
                number,
                uuid4().bytes,
                rank,
                age,
            )
        await fetch(
            pool, "UPDATE parcours_segments SET status = 'complete', storage_path = 'x' WHERE run_id = $1", run_id
        )
        await until(lambda: _surplus(pool))
        await asyncio.sleep(resources.clock.sweep_every * 2)
        assert await value(pool, "SELECT count(*) FROM segment_attempts WHERE facts ? 'surplus'") == 1


async def _surplus(pool: Database) -> bool:
    return bool(await value(pool, "SELECT count(*) > 0 FROM segment_attempts WHERE facts ? 'surplus'"))


async def test_rows_of_a_provider_that_is_configured_no_more_are_handed_on(
    database: str, pool: Database, suno: Provider, composer: Provider
) -> None:
    suno.always = accept
    async with open_generator(settings(database, suno, composer, suno_api_key="", providers="composer")) as resources:
        run_id, (segment_id,) = await add_run(pool, due_in=(FAR,))
        await fetch(
            pool,
            "INSERT INTO generation_queue (segment_id, run_id, user_id, track, provider, due_at, segment_index) "
            "SELECT $1, $2, user_id, 'stable', 'suno', now(), 0 FROM parcours_runs",
            segment_id,
            run_id,
        )
        await until(lambda: _asked(composer))
        assert resources.roster.names == ["composer"]
