"""Claims about SUNO_DIALECT=kie: a job is asked for, its signed webhook believed, a lost or bad one made good."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from stack.simulators import suno
from tests.integration.generator import rig
from tests.integration.generator.rig import open_provider, until
from tests.integration.generator.whole import SPEED, Whole, open_whole, own_database, serving_callback

HMAC_KEY = "kie-test-key"


@dataclass
class Kie:
    """kie.ai's simulator and a platform that knows no other paid provider."""

    simulator: suno.Simulator
    whole: Whole


@pytest.fixture(scope="module")
async def everything(
    postgres_dsn: str, database_template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Kie]:
    facts = suno.Settings(
        dialect="kie",
        speed=SPEED,
        reply_delay=(0.0, 0.0),
        stages=(1.0, 2.0, 4.0),
        retries=(1.0, 2.0),
        keys=("key-1",),
        hmac_key=HMAC_KEY,
        refuse_bots=True,
    )
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        dsn = await enter(own_database(postgres_dsn, database_template))
        simulator = await enter(suno.serving(facts))
        composer = await enter(open_provider())
        callback = await enter(serving_callback(dsn, kie_webhook_hmac_key=HMAC_KEY))
        made = rig.settings(
            dsn,
            composer,
            composer,
            suno_dialect="kie",
            suno_base_url=simulator.origin,
            suno_model="V6",
            callback_url=callback,
            callback_base=f"{callback}/callback",
        )
        yield Kie(simulator, await enter(open_whole(made, dsn, tmp_path_factory.mktemp("kie"), ())))


@pytest.fixture
async def kie(everything: Kie) -> Kie:
    everything.simulator.reseller.reset()
    await everything.whole.begin_anew()
    return everything


async def test_a_job_is_delivered_by_its_signed_webhook(kie: Kie) -> None:
    [segment] = await kie.whole.ask()
    attempt = await kie.whole.reached(segment, 5)
    [job] = kie.simulator.ledger()["accepted"]
    assert (attempt["provider"], attempt["provider_task_id"]) == ("suno", job["taskId"])
    assert (attempt["facts"]["dialect"], len(attempt["facts"]["takes"])) == ("kie", 2)
    assert float(attempt["cost"]) == job["charged"]
    assert (job["model"], job["polls"]) == ("V6", 0)


async def test_a_lost_webhook_of_a_job_is_made_good_by_a_look_up(kie: Kie) -> None:
    kie.simulator.faults.replace([{"fault": "drop_callback"}])
    [segment] = await kie.whole.ask()
    await kie.whole.reached(segment, 2)
    await kie.whole.make_late(segment)
    await kie.whole.reached(segment, 5)
    [job] = kie.simulator.ledger()["accepted"]
    assert (job["callbacks"], job["polls"] >= 1) == ([], True)


@pytest.mark.parametrize("how", ["wrong", "missing", "stale"])
async def test_a_webhook_without_a_good_signature_is_refused(kie: Kie, how: str) -> None:
    kie.simulator.faults.replace([{"fault": "wrong_signature", "how": how}])
    [segment] = await kie.whole.ask()

    async def refused_for_good() -> bool:
        return any(len(job["callbacks"]) >= 3 for job in kie.simulator.ledger()["accepted"])

    await until(refused_for_good)
    [job] = kie.simulator.ledger()["accepted"]
    assert {call["status"] for call in job["callbacks"]} == {401}
    await kie.whole.make_late(segment)
    await kie.whole.reached(segment, 5)


@pytest.mark.parametrize(("code", "reason"), [(402, "wallet"), (433, "wallet"), (401, "key"), (455, "maintenance")])
async def test_its_codes_close_the_account_for_their_reason(kie: Kie, code: int, reason: str) -> None:
    kie.simulator.faults.replace([{"fault": "code", "code": code}])
    [segment] = await kie.whole.ask()
    attempt = await kie.whole.reached(segment, 2, provider="composer")
    assert attempt["attempt_no"] == 2
    query = "SELECT close_reason FROM quota_accounts WHERE account = 'suno-1'"
    assert await rig.value(kie.whole.pool, query) == reason
