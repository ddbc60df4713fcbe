"""Claims about PROVIDERS=suno,fal,replicate,composer: who is asked next, and why; every provider is its simulator."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from stack.simulators import fal, replicate, suno
from stack.simulators.jobs.settings import Settings as SignedSettings
from stack.simulators.jobs.works import Works
from tests.integration.generator import rig
from tests.integration.generator.rig import Provider, open_provider
from tests.integration.generator.whole import SPEED, Whole, open_whole, own_database, serving_callback

PAID = ("suno", "fal", "replicate")
ORDER = [*PAID, "composer"]
Faults = list[dict[str, Any]]


def refusing(status: int, **more: Any) -> Faults:
    """What makes fal's or Replicate's stand-in refuse."""
    return [{"fault": "http_error", "status": status, **more}]


# Each verdict as each provider says it. Only Suno's reseller has a code for maintenance.
VERDICTS: dict[str, dict[str, Faults]] = {
    "wallet": {
        "suno": [{"fault": "credits", "amount": 0}],
        "fal": refusing(403, detail="User is locked. Reason: Exhausted balance."),
        "replicate": refusing(402),
    },
    "key": {"suno": [{"fault": "code", "code": 401}], "fal": refusing(401), "replicate": refusing(401)},
    "bad_request": {"suno": [{"fault": "code", "code": 413}], "fal": refusing(422), "replicate": refusing(422)},
    "maintenance": {"suno": [{"fault": "code", "code": 455}], "fal": [], "replicate": []},
    "spent": {"suno": [{"fault": "code", "code": 500}], "fal": refusing(503), "replicate": refusing(500)},
}
CODES = {
    "wallet": ["body_429", "http_403_locked", "http_402"],
    "key": ["body_401", "http_401", "http_401"],
    "bad_request": ["body_413", "http_422", "http_422"],
}


@dataclass
class Order:
    """All four providers and the platform that asks them in order."""

    suno: suno.Simulator
    fal: Works
    replicate: Works
    composer: Provider
    whole: Whole

    def play(self, verdict: str, *names: str) -> None:
        """These providers refuse in the words of this verdict."""
        for name in names:
            getattr(self, name).faults.replace(VERDICTS[verdict][name])

    async def ended_at(self, segment: UUID, provider: str) -> list[asyncpg.Record]:
        """All attempts as soon as that provider has accepted one."""
        await self.whole.reached(segment, 2, provider=provider)
        return await self.whole.attempts(segment)

    async def accounts(self) -> dict[str, str | None]:
        rows = await rig.fetch(self.whole.pool, "SELECT provider, close_reason FROM quota_accounts")
        return {row["provider"]: row["close_reason"] for row in rows}


@pytest.fixture(scope="module")
async def everybody(
    postgres_dsn: str, database_template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Order]:
    """Each knows one key and refuses any other."""
    signed = SignedSettings(speed=SPEED, started_after=1.0, done_after=30.0)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        dsn = await enter(own_database(postgres_dsn, database_template))
        reseller = await enter(suno.serving(suno.Settings(speed=SPEED, reply_delay=(0.0, 0.0), keys=("key-1",))))
        queue = await enter(fal.serving(replace(signed, keys=("a:b",))))
        predictions = await enter(replicate.serving(replace(signed, keys=("r8_x",))))
        composer, callback = await enter(open_provider()), await enter(serving_callback(dsn))
        made = rig.settings(
            dsn,
            composer,
            composer,
            providers=",".join(ORDER),
            suno_base_url=reseller.origin,
            fal_key="a:b",
            fal_base_url=queue.origin,
            fal_jwks_url=f"{queue.origin}/.well-known/jwks.json",
            replicate_api_token="r8_x",
            replicate_base_url=f"{predictions.origin}/v1",
            callback_url=callback,
            callback_base=f"{callback}/callback",
        )
        whole = await enter(open_whole(made, dsn, tmp_path_factory.mktemp("order"), ()))
        yield Order(reseller, queue, predictions, composer, whole)


@pytest.fixture
async def order(everybody: Order) -> Order:
    everybody.suno.reseller.reset()
    everybody.fal.reset()
    everybody.replicate.reset()
    everybody.composer.heard.clear()
    await everybody.whole.begin_anew()
    return everybody


def providers(attempts: list[asyncpg.Record]) -> list[str]:
    return [attempt["provider"] for attempt in attempts]


async def test_a_healthy_first_is_the_only_one_asked(order: Order) -> None:
    [segment] = await order.whole.ask()
    attempts = await order.ended_at(segment, "suno")
    assert providers(attempts) == ["suno"]
    assert [order.fal.jobs, order.replicate.jobs, order.composer.heard] == [{}, {}, []]


@pytest.mark.parametrize("verdict", ["wallet", "key", "bad_request"])
async def test_what_no_repetition_mends_walks_the_whole_order_at_once(order: Order, verdict: str) -> None:
    order.play(verdict, *PAID)
    [segment] = await order.whole.ask()
    attempts = await order.ended_at(segment, "composer")
    assert providers(attempts) == ORDER
    assert [attempt["error_code"] for attempt in attempts] == [*CODES[verdict], None]
    assert [attempt["outcome"] for attempt in attempts[:3]] == ["refused"] * 3
    closed = dict.fromkeys(PAID, None if verdict == "bad_request" else verdict)
    assert await order.accounts() == {**closed, "composer": None}


@pytest.mark.parametrize("verdict", ["wallet", "key"])
async def test_a_closed_account_is_not_asked_for_the_next_segment(order: Order, verdict: str) -> None:
    order.play(verdict, "suno")
    first, second = await order.whole.ask(2)
    assert providers(await order.ended_at(first, "fal"))[-1] == "fal"
    await order.ended_at(second, "fal")
    [third] = await order.whole.ask()
    query = "SELECT provider FROM generation_queue WHERE segment_id = $1 UNION SELECT provider FROM segment_attempts"
    [row] = await rig.fetch(order.whole.pool, f"{query} WHERE segment_id = $1", third)
    assert row["provider"] == "fal"


async def test_maintenance_is_passed_by_and_closes_for_a_minute_alone(order: Order) -> None:
    order.play("maintenance", "suno")
    [segment] = await order.whole.ask()
    attempts = await order.ended_at(segment, "fal")
    assert [(each["provider"], each["error_code"]) for each in attempts] == [("suno", "body_455"), ("fal", None)]
    assert (await order.accounts())["suno"] == "maintenance"


async def test_each_has_three_tries_before_the_next_is_asked(order: Order) -> None:
    order.play("spent", *PAID)
    [segment] = await order.whole.ask()
    attempts = await order.ended_at(segment, "composer")
    asked = providers(attempts)
    assert [name for number, name in enumerate(asked) if name not in asked[:number]] == ORDER
    assert all(asked.count(name) <= 3 for name in PAID)
    assert asked.count("suno") == 3
    assert {attempt["outcome"] for attempt in attempts[:-1]} == {"refused"}


async def test_each_may_refuse_for_a_reason_of_its_own(order: Order) -> None:
    order.play("bad_request", "suno")
    order.play("wallet", "fal")
    order.play("key", "replicate")
    [segment] = await order.whole.ask()
    attempts = await order.ended_at(segment, "composer")
    assert providers(attempts) == ORDER
    assert [attempt["error_code"] for attempt in attempts[:3]] == ["body_413", "http_403_locked", "http_401"]


async def test_what_fails_after_it_was_accepted_walks_on_too(order: Order) -> None:
    order.suno.faults.replace([{"fault": "fail", "code": 400, "at": "text"}])
    order.fal.faults.replace([{"fault": "fail"}])
    [segment] = await order.whole.ask()
    attempts = await order.ended_at(segment, "replicate")
    assert [(each["provider"], each["error_code"]) for each in attempts[:2]] == [("suno", "400"), ("fal", "422")]
    assert [each["rank"] for each in attempts[:2]] == [4, 4]
