"""Claims about an account's quota: what is in flight, throttling, a clock that steps, polls that count as calls."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import web

from libs.common import metrics
from libs.common.database import Database
from services.generator.app import _upsert_accounts
from services.generator.domain.clock_watch import ClockWatch
from services.generator.handlers import account_care
from services.generator.handlers.claim import Claim, NoClaim, claim
from services.generator.handlers.dispatch import Dispatcher
from services.generator.handlers.lookups import confirm, sweep_overdue
from services.generator.handlers.reply import conclude
from services.generator.handlers.resources import Resources
from services.generator.storage import accounts
from tests.integration.generator.rig import (
    Provider,
    accept,
    add_run,
    attempts,
    fetch,
    open_generator,
    open_resources,
    refuse,
    request,
    settings,
    until,
    value,
)

FAR = 3600.0  # seconds; nobody needs it soon, so that nothing is bridged
LOOSE = "SELECT count(*) FROM quota_slots WHERE free_at <= clock_timestamp()"


@pytest.fixture
async def resources(database: str, suno: Provider) -> AsyncIterator[Resources]:
    """At the pace of production: nothing runs out while a test looks."""
    async with open_resources(settings(database, suno, time_scale=1.0)) as opened:
        yield opened


def counted(metric: str, **labels: str) -> float:
    """What /metrics shows."""
    wanted = [f'{name}="{text}"' for name, text in labels.items()]
    lines = metrics.render()[0].decode().splitlines()
    found = [line for line in lines if line.startswith(f"{metric}{{") and all(each in line for each in wanted)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found)


async def claim_one(resources: Resources) -> Claim | NoClaim:
    return await claim(resources, resources.roster.order[0])


async def test_a_burst_of_twenty_leaves_before_any_reply_is_read(database: str, pool: Database, suno: Provider) -> None:
    all_there = asyncio.Event()

    async def wait_for_all(web_request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if len(suno.heard) == 20:
            all_there.set()
        await all_there.wait()
        return await accept(web_request, body)

    suno.always = wait_for_all
    async with open_generator(settings(database, suno, time_scale=1.0)) as resources:
        run_id, segment_ids = await add_run(pool, segments=21, due_in=(FAR,))
        await request(resources, run_id, segment_ids)
        await until(lambda: _replies(pool, 20))
        assert await value(pool, "SELECT count(*) FROM generation_queue") == 1
    span = "SELECT extract(epoch FROM max(dispatched_at) - min(dispatched_at))::float8 FROM segment_attempts"
    assert await value(pool, span) < 5.0, "0.1 s on a quiet machine"


async def _replies(pool: Database, count: int) -> bool:
    return bool(await value(pool, "SELECT count(*) FROM segment_attempts WHERE rank = 2") == count)


# --- in flight ------------------------------------------------------------------------------------------------------


async def test_only_what_the_provider_works_on_is_in_flight(resources: Resources, pool: Database) -> None:
    await fetch(pool, "UPDATE quota_accounts SET max_in_flight = 1")
    for became, counts in (
        ("rank = 2", True),
        ("rank = 3", True),
        ("ambiguous_at = now()", False),
        ("rank = 2, gave_up_rank = 2", False),
        ("rank = 4", False),
        ("rank = 5", False),
        ("outcome = 'refused'", False),
    ):
        await fetch(pool, "DELETE FROM parcours_runs")
        await request(resources, *await add_run(pool, segments=2))
        assert isinstance(await claim_one(resources), Claim), became
        assert await claim_one(resources) is NoClaim.NOTHING
        await fetch(pool, f"UPDATE segment_attempts SET {became}")  # noqa: S608 - a text of this file
        assert (await claim_one(resources) is NoClaim.NOTHING) == counts, became


async def test_an_attempt_nobody_looks_after_any_more_blocks_no_account_for_ever(
    resources: Resources, pool: Database
) -> None:
    await fetch(pool, "UPDATE quota_accounts SET max_in_flight = 1")
    run_id, (first, second) = await add_run(pool, segments=2)
    await request(resources, run_id, [first, second])
    assert isinstance(await claim_one(resources), Claim)
    await fetch(
        pool,
        "UPDATE parcours_segments SET status = 'complete', storage_path = 'x', callback_token = NULL"
        " WHERE status = 'generating'",
    )
    await fetch(pool, "UPDATE segment_attempts SET rank = 2")
    assert await claim_one(resources) is NoClaim.NOTHING, "the provider may still work on it"
    await fetch(pool, "UPDATE segment_attempts SET dispatched_at = now() - interval '241 s'")
    assert isinstance(await claim_one(resources), Claim)


# --- throttled ------------------------------------------------------------------------------------------------------


async def test_a_throttle_answer_freezes_every_slot_for_a_hold_and_halves_at_most_once_a_window(
    resources: Resources, pool: Database, suno: Provider
) -> None:
    await request(resources, *await add_run(pool, segments=3, due_in=(FAR,)))
    claims = [await claim_one(resources) for _ in range(3)]
    answer = await _answer(resources, suno, 430)
    for made in claims[:2]:
        assert isinstance(made, Claim)
        await conclude(resources, made, answer, 0.1)
    [account] = await fetch(pool, "SELECT * FROM quota_accounts")
    assert account["slots_allowed"] == 10
    assert await value(pool, LOOSE) == 0
    # The throttled slots rest for the hold as well, not for the lease of a call that nobody answers.
    held = "SELECT count(*) FROM quota_slots, quota_accounts WHERE free_at <= clock_timestamp() + hold"
    assert await value(pool, held) == 19
    await fetch(pool, "UPDATE quota_accounts SET throttled_at = now() - interval '11 s'")
    assert isinstance(claims[2], Claim)
    await conclude(resources, claims[2], answer, 0.1)
    assert await value(pool, "SELECT slots_allowed FROM quota_accounts") == 5


async def _answer(resources: Resources, suno: Provider, code: int) -> Any:
    """What the client makes of the provider's answer."""
    suno.script.append(refuse(code))
    segment = await value(resources.database, "SELECT segment_id FROM segment_attempts LIMIT 1")
    made = await fetch(resources.database, "SELECT id, title, plan FROM parcours_segments WHERE id = $1", segment)
    from services.generator.domain.request import SegmentBrief  # noqa: PLC0415 - only here

    brief = SegmentBrief(made[0]["id"], made[0]["title"], 0, 3, made[0]["plan"])
    return await resources.music.generate("suno-1", brief, uuid4())


async def test_a_slot_a_clean_minute_comes_back_after_throttling_or_a_larger_contract(
    resources: Resources, pool: Database
) -> None:
    for throttled in ("clock_timestamp() - interval '61 s'", "NULL"):
        await fetch(
            pool,
            f"UPDATE quota_accounts SET slots_allowed = 10, restored_at = NULL, throttled_at = {throttled}",  # noqa: S608
        )
        for _ in range(2):
            await account_care.care_for_accounts(resources)
        assert await value(pool, "SELECT slots_allowed FROM quota_accounts") == 11


async def test_430_never_loops(database: str, pool: Database, suno: Provider, composer: Provider) -> None:
    suno.always = refuse(430)
    async with open_generator(settings(database, suno, composer)) as resources:
        await request(resources, *await add_run(pool, due_in=(FAR,)))
        await until(lambda: _made_by_composer(pool))
    assert len(suno.heard) <= 3


async def _made_by_composer(pool: Database) -> bool:
    return bool(await value(pool, "SELECT count(*) > 0 FROM segment_attempts WHERE provider = 'composer' AND rank = 2"))


# --- frozen ---------------------------------------------------------------------------------------------------------


async def test_a_frozen_account_takes_no_call_though_replies_return_their_slots(
    resources: Resources, pool: Database
) -> None:
    await request(resources, *await add_run(pool, segments=2))
    made = await claim_one(resources)
    assert isinstance(made, Claim)
    await fetch(pool, "UPDATE quota_accounts SET frozen_until = now() + interval '1 h', hold = '0 s'")
    async with pool.connection() as connection:
        await accounts.return_slot(connection, made.account, made.slot_no, made.attempt_id)
        assert await accounts.open_providers(connection, ["suno-1"]) == frozenset()
    assert await value(pool, LOOSE) == 20
    assert await claim_one(resources) is NoClaim.NOTHING


# --- the database's clock -------------------------------------------------------------------------------------------

_CLOCK = """
CREATE SCHEMA clock;
CREATE TABLE clock.steps (by interval NOT NULL);
CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
  'SELECT pg_catalog.clock_timestamp() + coalesce((SELECT sum(by) FROM clock.steps), interval ''0'')';
"""


@pytest.mark.parametrize("step", ["1 h", "-1 h"])
async def test_a_clock_that_steps_lets_every_slot_wait_anew(
    database: str, pool: Database, suno: Provider, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    await fetch(pool, "SELECT 1")
    async with pool.connection() as connection:
        await connection.execute(_CLOCK)
    stepping = f"{database}{'&' if '?' in database else '?'}search_path=clock,pg_catalog,public"
    async with open_resources(settings(stepping, suno, time_scale=1.0)) as resources:
        dispatcher = Dispatcher(resources, resources.roster.order[0], asyncio.Event(), ClockWatch())
        await request(resources, *await add_run(pool, segments=2))
        under_way = await claim_one(resources)
        assert isinstance(under_way, Claim)
        await fetch(resources.database, "UPDATE generation_queue SET not_before = 'infinity'")
        await dispatcher.turn()
        await fetch(pool, f"INSERT INTO clock.steps VALUES ('{step}')")  # noqa: S608 - a text of this file
        await fetch(resources.database, "UPDATE generation_queue SET not_before = 'epoch'")
        await dispatcher.turn()
        assert suno.heard == []
        assert await claim_one(resources) is NoClaim.NOTHING
        waits = await fetch(
            resources.database,
            "SELECT slot_no, extract(epoch FROM free_at - clock_timestamp())::float8 AS seconds FROM quota_slots",
        )
        await dispatcher.finish(1)
    terms = resources.roster.order[0].terms
    for row in waits:
        longest = terms.lease_seconds if row["slot_no"] == under_way.slot_no else terms.hold_seconds
        assert longest - 5 < row["seconds"] <= longest
    assert "database_clock_stepped" in capsys.readouterr().out


# --- polls that count as calls ----------------------------------------------------------------------------------------


def counting(resources: Resources) -> Resources:
    """The same provider, whose record-info takes a place in the window."""
    provider = resources.roster.order[0]
    terms = replace(provider.terms, record_info_counts=True)
    changed = replace(provider, terms=terms)
    roster = replace(resources.roster, order=(changed,), known=dict(resources.roster.known) | {"suno": changed})
    return replace(resources, roster=roster)


async def _late_attempt(resources: Resources, pool: Database) -> UUID:
    await request(resources, *await add_run(pool, due_in=(FAR,)))
    made = await claim_one(resources)
    assert isinstance(made, Claim)
    await fetch(
        pool,
        "UPDATE segment_attempts SET rank = 2, provider_task_id = 't', dispatched_at = now() - interval '101 s'",
    )
    await fetch(pool, "UPDATE quota_slots SET free_at = 'epoch', attempt_id = NULL")
    return made.attempt_id


async def test_a_poll_that_counts_takes_a_slot_after_all_generations(
    resources: Resources, pool: Database, suno: Provider
) -> None:
    resources = counting(resources)
    await _late_attempt(resources, pool)
    suno.records["t"] = {"status": "PENDING"}
    await request(resources, *await add_run(pool, due_in=(FAR,)))
    await sweep_overdue(resources)
    assert suno.looked_up == [], "a generation waits"
    await fetch(pool, "DELETE FROM generation_queue")
    await sweep_overdue(resources)
    assert suno.looked_up == ["t"]
    held = "SELECT count(*) FROM quota_slots, quota_accounts WHERE free_at > clock_timestamp() + hold * 0.5"
    assert await value(pool, held) == 1
    await fetch(pool, "UPDATE quota_slots SET free_at = now() + interval '1 h'")
    await fetch(pool, "UPDATE segment_attempts SET looked_up_at = NULL")
    await sweep_overdue(resources)
    assert suno.looked_up == ["t"], "no slot is free"


async def test_a_poll_without_a_readable_answer_keeps_its_slot_for_the_lease(
    resources: Resources, pool: Database, suno: Provider
) -> None:
    resources = counting(resources)
    await _late_attempt(resources, pool)
    await sweep_overdue(resources)
    assert suno.looked_up == ["t"]
    longer = "SELECT count(*) FROM quota_slots, quota_accounts WHERE free_at > clock_timestamp() + hold"
    assert await value(pool, longer) == 1


async def test_where_polls_count_no_claim_is_confirmed_and_that_is_counted(
    resources: Resources, pool: Database, suno: Provider
) -> None:
    before = counted("file_confirmations_total", outcome="off")
    attempt_id = await _late_attempt(resources, pool)
    finding = await confirm(counting(resources), attempt_id)
    assert finding is not None
    assert (finding.state, suno.looked_up) == ("unknown", [])
    assert counted("file_confirmations_total", outcome="off") == before + 1


async def test_confirmations_keep_their_gap_and_their_ten_seconds_and_what_is_not_asked_is_counted(
    resources: Resources, pool: Database, suno: Provider
) -> None:
    attempt_id = await _late_attempt(resources, pool)
    clock = replace(resources.clock, confirm_gap=0.2, confirmation=0.5)
    hurried, before = replace(resources, clock=clock), _unasked()
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(confirm(hurried, attempt_id) for _ in range(6)))
    asked, gaps = len(suno.looked_up), (asyncio.get_running_loop().time() - began) / clock.confirm_gap
    assert 1 <= asked <= gaps + 1
    assert _unasked() - before >= 6 - asked


def _unasked() -> float:
    return sum(counted("file_confirmations_total", outcome=outcome) for outcome in ("busy", "late"))


async def test_questions_of_one_account_take_turns_whoever_asks_and_a_long_queue_is_turned_away(
    resources: Resources, pool: Database
) -> None:
    [account] = resources.roster.accounts_of("suno")
    waits = []
    for at_most in (0.0, 0.0, 30.0):
        async with pool.connection() as connection:
            waits.append(await accounts.take_turn(connection, account, 20.0, at_most))
    assert waits[:2] == [0.0, None]
    assert waits[2] == pytest.approx(20.0, abs=5.0)


# --- money ------------------------------------------------------------------------------------------------------------


async def test_the_balance_is_asked_each_minute_kept_and_noted_on_every_attempt(
    resources: Resources, pool: Database, suno: Provider
) -> None:
    suno.balance = 777
    for _ in range(3):
        await account_care.care_for_accounts(resources)
    assert suno.credit_asked == 1
    await request(resources, *await add_run(pool))
    await claim_one(resources)
    [attempt] = await attempts(pool)
    assert attempt["facts"]["credits_before"] == 777
    await fetch(pool, "UPDATE quota_accounts SET balance_at = now() - interval '61 s'")
    await account_care.care_for_accounts(counting(resources))
    assert suno.credit_asked == 1, "where questions count as calls the balance is not worth one"
    await account_care.care_for_accounts(resources)
    assert suno.credit_asked == 2


async def test_an_unknown_code_is_counted_for_the_alert(resources: Resources, pool: Database, suno: Provider) -> None:
    before = counted("unknown_provider_codes_total", provider="suno")
    await request(resources, *await add_run(pool, due_in=(FAR,)))
    made = await claim_one(resources)
    assert isinstance(made, Claim)
    await conclude(resources, made, await _answer(resources, suno, 777), 0.1)
    assert counted("unknown_provider_codes_total", provider="suno") == before + 1
    assert await value(pool, "SELECT facts ->> 'verdict' FROM segment_attempts") == "retry"


async def test_accounts_are_frozen_halved_and_closed_alone(database: str, pool: Database, suno: Provider) -> None:
    async with open_resources(settings(database, suno, suno_api_key="key-1,key-2", time_scale=1.0)) as resources:
        await _upsert_accounts(resources)
        async with pool.transaction() as connection:
            await accounts.freeze_and_halve(connection, "suno-1")
        await request(resources, *await add_run(pool, segments=3, due_in=(FAR,)))
        made = [await claim_one(resources) for _ in range(3)]
    assert {each.account for each in made if isinstance(each, Claim)} == {"suno-2"}
    rows = await fetch(pool, "SELECT slots_allowed FROM quota_accounts ORDER BY account")
    assert [row["slots_allowed"] for row in rows] == [10, 20]
