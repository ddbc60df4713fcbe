"""Claims about claiming: each segment once, within the window, most urgent first, one person not before all others."""

import asyncio
import hashlib
import random
import time
from typing import Any
from uuid import UUID, uuid4

from aiohttp import web

from libs.common.consumers import Consumers
from libs.common.database import Database
from libs.common.deliveries import Delivery
from services.generator.consumers import subscribe
from services.generator.handlers.claim import Claim, NoClaim, claim, claim_on
from tests.integration.generator.rig import (
    Provider,
    accept,
    add_run,
    attempts,
    events,
    fetch,
    open_generator,
    open_resources,
    refuse,
    request,
    requested,
    settings,
    until,
    value,
)


async def test_a_claim_writes_attempt_token_status_and_news_in_one_commit(
    database: str, pool: Database, suno: Provider
) -> None:
    async with open_resources(settings(database, suno)) as resources:
        run_id, (segment_id,) = await add_run(pool)
        await request(resources, run_id, [segment_id])
        made = await claim(resources, resources.roster.order[0])
        assert isinstance(made, Claim)
        [attempt] = await attempts(pool)
        [segment] = await fetch(pool, "SELECT status, callback_token FROM parcours_segments")
        assert (segment["status"], segment["callback_token"]) == ("generating", made.token)
        assert attempt["token_sha256"] == hashlib.sha256(str(made.token).encode()).digest()
        assert (attempt["attempt_no"], attempt["rank"], attempt["provider"]) == (1, 1, "suno")
        [started] = await events(pool, "segment.started")
        assert started["attempt_id"] == str(attempt["id"])
        [slot] = await fetch(pool, "SELECT * FROM quota_slots WHERE attempt_id IS NOT NULL")
        assert (slot["slot_no"], slot["attempt_id"]) == (attempt["slot_no"], attempt["id"])
        assert await value(pool, "SELECT count(*) FROM generation_queue") == 0


async def test_a_claim_costs_eight_round_trips(database: str, pool: Database, suno: Provider) -> None:
    async with open_resources(settings(database, suno)) as resources, resources.database.connection() as connection:
        await request(resources, *await add_run(pool, segments=2))
        sent: list[str] = []
        with connection.query_logger(lambda record: sent.append(record.query)):
            assert isinstance(await claim_on(connection, resources, resources.roster.order[0]), Claim)
    assert (sent[0], sent[-1], len(sent)) == ("BEGIN;", "COMMIT;", 8), sent


async def test_two_generators_keep_the_window_and_ask_for_each_segment_once(
    database: str, pool: Database, suno: Provider
) -> None:
    scale = 0.3  # at ×1/20 a busy machine is late for its own send budget, and tries again
    window, slots, accepted_at = 10 * scale, 20, list[float]()
    jitter = random.Random(11)

    async def within_window(web_request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(jitter.uniform(0.0, 0.04))
        now = time.monotonic()
        if sum(now - at < window for at in accepted_at) >= slots:
            return await refuse(430)(web_request, body)
        accepted_at.append(now)
        await asyncio.sleep(jitter.uniform(0.0, 0.04))
        return await accept(web_request, body)

    suno.always = within_window
    made = settings(database, suno, time_scale=scale)
    runs = [await add_run(pool, segments=6) for _ in range(15)]
    async with open_generator(made) as one, open_generator(made):
        for run_id, segment_ids in runs:
            await request(one, run_id, segment_ids)
        await until(lambda: _all_accepted(pool, 90))
    assert len(suno.heard) == 90
    assert len({heard.segment_id for heard in suno.heard}) == 90
    assert len({heard.token for heard in suno.heard}) == 90
    assert await value(pool, "SELECT count(*) FROM segment_attempts WHERE outcome = 'refused'") == 0


async def _all_accepted(pool: Database, count: int) -> bool:
    return bool(await value(pool, "SELECT count(*) FROM segment_attempts WHERE rank = 2") == count)


async def test_claims_at_once_take_different_slots_and_segments(database: str, pool: Database, suno: Provider) -> None:
    async with open_resources(settings(database, suno)) as resources:
        for _ in range(5):
            await request(resources, *await add_run(pool, segments=5))
        made = await asyncio.gather(*(claim(resources, resources.roster.order[0]) for _ in range(12)))
        claims = [each for each in made if isinstance(each, Claim)]
        assert len({each.slot_no for each in claims}) == len(claims)
        assert len({each.brief.segment_id for each in claims}) == len(claims)
        assert len({each.attempt_id for each in claims}) == len(claims)


async def test_no_more_is_claimed_than_there_are_slots(database: str, pool: Database, suno: Provider) -> None:
    async with open_resources(settings(database, suno)) as resources:
        for _ in range(5):
            await request(resources, *await add_run(pool, segments=5))
        made = [await claim(resources, resources.roster.order[0]) for _ in range(22)]
        assert made.count(NoClaim.NOTHING) == 2


async def test_the_earliest_due_segment_goes_first(database: str, pool: Database, suno: Provider) -> None:
    async with open_resources(settings(database, suno)) as resources:
        wanted: dict[UUID, float] = {}
        for due in (30.0, 5.0, 90.0, 60.0, 1.0):
            run_id, (segment_id,) = await add_run(pool, due_in=(due,))
            wanted[segment_id] = due
            await request(resources, run_id, [segment_id])
        order = [await _claimed_segment(resources) for _ in wanted]
        assert [wanted[segment_id] for segment_id in order] == sorted(wanted.values())


async def test_ties_go_round_the_runs_not_through_one(database: str, pool: Database, suno: Provider) -> None:
    async with open_resources(settings(database, suno)) as resources:
        async with pool.connection() as connection:
            moment = await connection.fetchval("SELECT clock_timestamp()")
        runs = [await add_run(pool, segments=3) for _ in range(2)]
        await fetch(pool, "UPDATE parcours_segments SET due_at = $1", moment)
        for run_id, segment_ids in runs:
            await request(resources, run_id, segment_ids)
        order = [await _claimed_segment(resources) for _ in range(6)]
        [(_, first), (_, second)] = runs
        assert order == [first[0], second[0], first[1], second[1], first[2], second[2]]


async def _claimed_segment(resources: Any) -> UUID:
    made = await claim(resources, resources.roster.order[0])
    assert isinstance(made, Claim)
    return made.brief.segment_id


async def test_a_person_at_the_cap_waits_for_others_but_gets_what_nobody_wants(
    database: str, pool: Database, suno: Provider
) -> None:
    heavy, light = uuid4(), uuid4()
    async with open_resources(settings(database, suno, time_scale=1.0)) as resources:
        heavy_run = await add_run(pool, segments=7, user_id=heavy)
        light_run = await add_run(pool, segments=2, user_id=light, due_in=(60.0,))
        await request(resources, *heavy_run)
        await request(resources, *light_run)
        order = [await _claimed_segment(resources) for _ in range(9)]
    people = ["light" if segment_id in light_run[1] else "heavy" for segment_id in order]
    assert people == ["heavy"] * 4 + ["light"] * 2 + ["heavy"] * 3


async def test_another_tracks_segments_are_left_to_it(database: str, pool: Database, suno: Provider) -> None:
    async with open_resources(settings(database, suno, track="canary")) as resources:
        await request(resources, *await add_run(pool))
        assert await claim(resources, resources.roster.order[0]) is NoClaim.NOTHING


async def test_a_bound_in_flight_closes_the_account_while_it_is_full(
    database: str, pool: Database, suno: Provider
) -> None:
    async with open_resources(settings(database, suno)) as resources:
        await fetch(pool, "UPDATE quota_accounts SET max_in_flight = 2")
        await request(resources, *await add_run(pool, segments=4))
        made = await asyncio.gather(*(claim(resources, resources.roster.order[0]) for _ in range(4)))
        made += [await claim(resources, resources.roster.order[0]) for _ in range(4)]
        assert sum(isinstance(each, Claim) for each in made) == 2


async def test_several_accounts_add_up(database: str, pool: Database, suno: Provider) -> None:
    async with open_resources(settings(database, suno, suno_api_key="key-1,key-2")) as resources:
        for _ in range(5):
            await request(resources, *await add_run(pool, segments=9))
        made = [await claim(resources, resources.roster.order[0]) for _ in range(41)]
        accounts = [each.account for each in made if isinstance(each, Claim)]
        assert (accounts.count("suno-1"), accounts.count("suno-2")) == (20, 20)


async def test_a_row_whose_segment_is_over_sends_nothing(database: str, pool: Database, suno: Provider) -> None:
    async with open_resources(settings(database, suno)) as resources:
        await request(resources, *await add_run(pool))
        await fetch(pool, "UPDATE parcours_segments SET status = 'failed'")
        assert await claim(resources, resources.roster.order[0]) is NoClaim.DROPPED
        assert await attempts(pool) == []
        assert await value(pool, "SELECT count(*) FROM generation_queue") == 0


async def test_a_row_beside_a_live_attempt_sends_nothing(database: str, pool: Database, suno: Provider) -> None:
    async with open_resources(settings(database, suno)) as resources:
        run_id, segment_ids = await add_run(pool)
        await request(resources, run_id, segment_ids)
        assert isinstance(await claim(resources, resources.roster.order[0]), Claim)
        await fetch(
            pool,
            "INSERT INTO generation_queue (segment_id, run_id, user_id, track, provider, due_at, segment_index) "
            "SELECT $1, $2, user_id, 'stable', 'suno', now(), 0 FROM parcours_runs",
            segment_ids[0],
            run_id,
        )
        assert await claim(resources, resources.roster.order[0]) is NoClaim.DROPPED
        assert len(await attempts(pool)) == 1


async def test_a_segment_past_its_deadline_ends_in_the_verdict(database: str, pool: Database, suno: Provider) -> None:
    async with open_resources(settings(database, suno)) as resources:
        await request(resources, *await add_run(pool, deadline_in=-1))
        assert await claim(resources, resources.roster.order[0]) is NoClaim.DROPPED
        [failed] = await events(pool, "segment.failed")
        assert (failed["retryable"], failed["error_code"]) == (False, "deadline_passed")


async def test_a_request_that_is_delivered_again_makes_one_queue_row(
    database: str, pool: Database, suno: Provider
) -> None:
    async with open_resources(settings(database, suno)) as resources:
        run_id, (segment_id,) = await add_run(pool)
        consumers = Consumers(resources.database, "127.0.0.1:1", "generator")
        subscribe(consumers, resources)
        payload = requested(run_id, segment_id).model_dump_json().encode()
        same, other = str(uuid4()), str(uuid4())
        for offset, event_id in enumerate([same, same, other]):
            headers = {"ce_id": event_id}
            await consumers.process(Delivery("generator", "segment.requested", 0, offset, b"", headers, payload))
        assert await value(pool, "SELECT count(*) FROM generation_queue") == 1
        assert isinstance(await claim(resources, resources.roster.order[0]), Claim)
        headers = {"ce_id": str(uuid4())}
        await consumers.process(Delivery("generator", "segment.requested", 0, 3, b"", headers, payload))
        assert await value(pool, "SELECT count(*) FROM generation_queue") == 0
        assert await value(pool, "SELECT count(*) FROM dead_letters") == 0


async def test_a_restart_keeps_what_was_learnt_of_an_account(database: str, pool: Database, suno: Provider) -> None:
    async with open_resources(settings(database, suno)):
        await fetch(
            pool, "UPDATE quota_accounts SET slots_allowed = 5, closed_until = 'infinity', close_reason = 'key'"
        )
        await fetch(pool, "UPDATE quota_slots SET free_at = now() + interval '1 hour'")
    async with open_resources(settings(database, suno)):
        [account] = await fetch(pool, "SELECT * FROM quota_accounts")
        assert (account["slots_allowed"], account["close_reason"]) == (5, "key")
        assert await value(pool, "SELECT count(*) FROM quota_slots WHERE free_at > now()") == 20
