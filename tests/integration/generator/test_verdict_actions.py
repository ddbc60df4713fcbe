"""Claims about what each verdict does, played by a provider on a socket (performance-and-reliability.md §2.4)."""

from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web

from libs.common.database import Database
from tests.integration.generator.rig import (
    Provider,
    add_run,
    attempts,
    bare,
    events,
    fetch,
    open_generator,
    refuse,
    request,
    settings,
    until,
    value,
)

FAR = 3600.0  # seconds; no listener needs it soon, so that nothing is bridged


async def account(pool: Database, name: str = "suno-1") -> Any:
    [row] = await fetch(
        pool, "SELECT *, closed_until = 'infinity' AS for_good FROM quota_accounts WHERE account = $1", name
    )
    return row


async def accepted_by(pool: Database) -> str | None:
    found: str | None = await value(pool, "SELECT provider FROM segment_attempts WHERE rank = 2")
    return found


async def test_an_acceptance_returns_the_slot_and_records_the_task(
    database: str, pool: Database, suno: Provider
) -> None:
    async with open_generator(settings(database, suno)) as resources:
        await request(resources, *await add_run(pool))
        await until(lambda: _accepted(pool))
        [attempt] = await attempts(pool)
        assert attempt["provider_task_id"] == await value(pool, "SELECT suno_task_id FROM parcours_segments")
        assert attempt["cost"] == 12
        rest = "SELECT max(free_at - clock_timestamp()) < (SELECT hold FROM quota_accounts) FROM quota_slots"
        assert await value(pool, rest)
        [call] = await fetch(pool, "SELECT * FROM provider_calls WHERE operation = 'generate'")
        assert (call["outcome"], call["cost"]) == ("ok", 12)
    [heard] = suno.heard
    assert heard.body["style"] == "instrumental ambient, no vocals, 72 BPM steady, D dorian, about 4 minutes"
    assert "x_parcours" not in heard.body
    assert heard.token == str(await value(pool, "SELECT callback_token FROM parcours_segments"))


async def _accepted(pool: Database) -> bool:
    return await accepted_by(pool) is not None


async def test_composer_is_told_the_exact_numbers(database: str, pool: Database, composer: Provider) -> None:
    made = settings(database, composer, composer, suno_api_key="", providers="composer")
    async with open_generator(made) as resources:
        await request(resources, *await add_run(pool))
        await until(lambda: _accepted(pool))
    [heard] = composer.heard
    assert (heard.body["duration"], heard.body["x_parcours"]) == (245, {"version": 1, "seed": 7})
    assert heard.body["callBackUrl"].startswith(f"{composer.url}/callback?segment=")


async def test_a_throttle_freezes_and_halves_the_account_and_is_tried_again(
    database: str, pool: Database, suno: Provider
) -> None:
    suno.script.append(refuse(430))
    async with open_generator(settings(database, suno)) as resources:
        await request(resources, *await add_run(pool))
        await until(lambda: _refused(pool))
        assert (await account(pool))["slots_allowed"] == 10
        frozen_until = await value(pool, "SELECT min(free_at) FROM quota_slots WHERE free_at > clock_timestamp()")
        assert await value(pool, "SELECT bool_and(free_at >= $1) FROM quota_slots", frozen_until)
        await until(lambda: _accepted(pool))
        first, second = await attempts(pool)
        assert (first["outcome"], first["error_code"]) == ("refused", "body_430")
        assert second["dispatched_at"] >= frozen_until


async def _refused(pool: Database) -> bool:
    return bool(await value(pool, "SELECT count(*) > 0 FROM segment_attempts WHERE outcome = 'refused'"))


async def test_throttles_of_one_window_halve_once(database: str, pool: Database, suno: Provider) -> None:
    async def refuse_six_together(web_request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await until(_all_heard)
        return await refuse(430)(web_request, body)

    async def _all_heard() -> bool:
        return len(suno.heard) == 6

    suno.script.extend([refuse_six_together] * 6)
    # A window of 5 s: six answers read on a busy machine still fall into one.
    async with open_generator(settings(database, suno, time_scale=0.5)) as resources:
        await request(resources, *await add_run(pool, segments=6))
        await until(lambda: _count(pool, "outcome = 'refused'", 6))
        assert (await account(pool))["slots_allowed"] == 10


async def _count(pool: Database, where: str, count: int) -> bool:
    return bool(await value(pool, f"SELECT count(*) FROM segment_attempts WHERE {where}") >= count)  # noqa: S608


async def test_an_empty_wallet_closes_the_account_for_good_and_composer_takes_over(
    database: str, pool: Database, suno: Provider, composer: Provider
) -> None:
    suno.balance, suno.always = 3, refuse(429)
    async with open_generator(settings(database, suno, composer)) as resources:
        await request(resources, *await add_run(pool, segments=3, due_in=(FAR,)))
        await until(lambda: _count(pool, "provider = 'composer' AND rank = 2", 3))
        row = await account(pool)
        assert (row["close_reason"], row["for_good"]) == ("wallet", True)
        assert suno.credit_asked >= 1


async def test_429_with_credits_left_is_a_throttle(database: str, pool: Database, suno: Provider) -> None:
    suno.script.append(refuse(429))
    async with open_generator(settings(database, suno)) as resources:
        await request(resources, *await add_run(pool))
        await until(lambda: _accepted(pool))
        row = await account(pool)
        assert (row["close_reason"], row["slots_allowed"]) == (None, 10)


async def test_a_filled_wallet_opens_its_account(database: str, pool: Database, suno: Provider) -> None:
    async with open_generator(settings(database, suno)):
        await fetch(
            pool, "UPDATE quota_accounts SET close_reason = 'wallet', closed_until = 'infinity', restored_at = NULL"
        )
        await until(lambda: _is_open(pool))
        assert suno.credit_asked == 1


async def _is_open(pool: Database) -> bool:
    return (await account(pool))["close_reason"] is None


async def test_a_refused_key_closes_the_account_until_an_operator_opens_it(
    database: str, pool: Database, suno: Provider, composer: Provider
) -> None:
    suno.always = refuse(401, status=401)
    async with open_generator(settings(database, suno, composer)) as resources:
        await request(resources, *await add_run(pool, due_in=(FAR,)))
        await until(lambda: _accepted(pool))
        row = await account(pool)
        assert (await accepted_by(pool), row["close_reason"], row["for_good"]) == ("composer", "key", True)
        await request(resources, *await add_run(pool, due_in=(FAR,)))
        await until(lambda: _count(pool, "provider = 'composer' AND rank = 2", 2))
    assert len(suno.heard) == 1


async def test_a_bad_request_goes_to_the_next_provider_at_once(
    database: str, pool: Database, suno: Provider, composer: Provider
) -> None:
    suno.always = refuse(413)
    async with open_generator(settings(database, suno, composer)) as resources:
        await request(resources, *await add_run(pool, due_in=(FAR,)))
        await until(lambda: _accepted(pool))
        assert await accepted_by(pool) == "composer"
        assert await _is_open(pool)
    assert len(suno.heard) == 1


async def test_maintenance_closes_for_a_minute_and_a_probe_opens_again(
    database: str, pool: Database, suno: Provider, composer: Provider
) -> None:
    suno.script.append(refuse(455))
    async with open_generator(settings(database, suno, composer)) as resources:
        await request(resources, *await add_run(pool, due_in=(FAR,)))
        await until(lambda: _accepted(pool))
        row = await account(pool)
        assert (await accepted_by(pool), row["close_reason"], row["for_good"]) == ("composer", "maintenance", False)
        await until(lambda: _may_probe(pool))
        await request(resources, *await add_run(pool, due_in=(FAR,)))
        await until(lambda: _is_open(pool))


async def _may_probe(pool: Database) -> bool:
    return bool(
        await value(pool, "SELECT closed_until <= clock_timestamp() FROM quota_accounts WHERE account='suno-1'")
    )


async def test_a_refusal_is_tried_three_times_then_composer_makes_it(
    database: str, pool: Database, suno: Provider, composer: Provider
) -> None:
    suno.always = refuse(500)
    async with open_generator(settings(database, suno, composer)) as resources:
        await request(resources, *await add_run(pool, due_in=(FAR,)))
        await until(lambda: _accepted(pool))
        rows = await attempts(pool)
    assert [row["provider"] for row in rows] == ["suno"] * 3 + ["composer"]
    assert [row["attempt_no"] for row in rows] == [1, 2, 3, 4]
    pauses = [later["dispatched_at"] - former["finished_at"] for former, later in pairwise(rows[:3])]
    assert pauses[0].total_seconds() >= 0.08
    assert pauses[1].total_seconds() >= 0.16


async def test_retry_after_is_honoured(database: str, pool: Database, suno: Provider) -> None:
    suno.script.append(refuse(500, retry_after="1"))
    async with open_generator(settings(database, suno)) as resources:
        await request(resources, *await add_run(pool))
        await until(lambda: _accepted(pool))
    first, second = suno.heard
    assert second.at - first.at >= 1.0


async def test_an_unknown_code_is_tried_again_with_an_alert(
    database: str, pool: Database, suno: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    suno.script.append(refuse(777))
    async with open_generator(settings(database, suno)) as resources:
        await request(resources, *await add_run(pool))
        await until(lambda: _accepted(pool))
    assert "unknown_provider_code" in capsys.readouterr().out
    assert len(suno.heard) == 2


async def test_a_refused_connection_is_no_ambiguity(
    database: str, pool: Database, suno: Provider, composer: Provider
) -> None:
    made = settings(database, suno, composer, suno_base_url="http://127.0.0.1:9")
    async with open_generator(made) as resources:
        await request(resources, *await add_run(pool, due_in=(FAR,)))
        await until(lambda: _accepted(pool))
        rows = await attempts(pool)
    assert [(row["error_code"], row["outcome"]) for row in rows[:3]] == [("transport_connect", "refused")] * 3


async def test_five_failures_close_the_account_and_an_accepted_probe_opens_it(
    database: str, pool: Database, suno: Provider
) -> None:
    suno.always = refuse(500)
    async with open_generator(settings(database, suno)) as resources:
        await request(resources, *await add_run(pool, segments=8, due_in=(FAR,)))
        await until(lambda: _is_closed(pool))
        suno.always = None
        await until(lambda: _is_open(pool))
        assert await _count(pool, "rank = 2", 1)


async def _is_closed(pool: Database) -> bool:
    return bool((await account(pool))["close_reason"] == "breaker")


async def test_while_on_probation_claims_keep_the_probe_interval(database: str, pool: Database, suno: Provider) -> None:
    suno.always = refuse(500)
    made = settings(database, suno)
    async with open_generator(made) as resources, open_generator(made):
        await fetch(pool, "UPDATE quota_accounts SET close_reason = 'breaker', breaker_since = clock_timestamp()")
        await request(resources, *await add_run(pool, segments=6, due_in=(FAR,)))
        await until(lambda: _count(pool, "outcome = 'refused'", 4))
    # As the claims were written: a busy machine delays the calls, each by another time.
    times = [row["dispatched_at"] for row in await fetch(pool, "SELECT * FROM segment_attempts ORDER BY dispatched_at")]
    gaps = [(later - former).total_seconds() for former, later in pairwise(times)]
    assert min(gaps) >= made.clock.probe_every * 0.9


async def test_nobody_left_is_the_verdict_failed_told_once(database: str, pool: Database, suno: Provider) -> None:
    suno.always = refuse(413)
    async with open_generator(settings(database, suno)) as resources:
        await request(resources, *await add_run(pool))
        await until(lambda: _has_failed(pool))
    [failed] = await events(pool, "segment.failed")
    assert (failed["retryable"], failed["attempt_id"], failed["error_code"]) == (False, None, "body_413")
    assert await value(pool, "SELECT count(*) FROM generation_queue") == 0


async def _has_failed(pool: Database) -> bool:
    return bool(await value(pool, "SELECT status = 'failed' FROM parcours_segments"))


async def test_a_malformed_plan_is_never_sent(database: str, pool: Database, suno: Provider) -> None:
    async with open_generator(settings(database, suno)) as resources:
        await request(resources, *await add_run(pool, plan={"seconds": 240}))
        await until(lambda: _has_failed(pool))
    assert suno.heard == []
    assert (await events(pool, "segment.failed"))[0]["error_code"] == "plan_malformed"


async def test_a_bare_503_is_a_refusal_and_a_bare_502_is_not(database: str, pool: Database, suno: Provider) -> None:
    suno.script.extend([bare(503), bare(502)])
    async with open_generator(settings(database, suno)) as resources:
        await request(resources, *await add_run(pool))
        await until(lambda: _count(pool, "ambiguous_at IS NOT NULL", 1))
        rows = await attempts(pool)
    assert [(row["error_code"], row["outcome"]) for row in rows[:2]] == [("http_503", "refused"), ("http_502", None)]
